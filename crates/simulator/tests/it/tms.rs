//! The registry of the terminal management: one onboarding whatever is repeated, and a person's word once.
use payterm_primitives::signature::{Signer, Verifier};
use payterm_schema::{
    Time,
    onboarding::{Grant, Offer, OnboardingStatus, Signed, Submission, Verdict},
};
use payterm_simulator::{
    World,
    tms::{self, Decision, Registry, RegistryError},
};
use payterm_vault::{SealingKey, Vault};
use std::{collections::BTreeMap, path::Path, sync::Arc};

const ID: &str = "0123456789abcdef0123456789abcdef";

fn registry(dir: &Path) -> (Registry, Verifier) {
    let (_, signer): (_, Signer) = tms::identity(dir).unwrap();
    let public = Verifier::from_spki(&signer.spki().unwrap()).unwrap();
    let hosts = BTreeMap::from([("unionpay".to_owned(), "127.0.0.1:1".parse().unwrap())]);
    (Registry::open(&tms::dir(dir), Arc::new(World::demo().unwrap()), signer, hosts).unwrap(), public)
}
fn submission(dir: &Path, offer: &Signed) -> Submission {
    let key =
        Vault::open(dir, SealingKey::new(std::array::from_fn(|i| i as u8))).unwrap().terminal_key().unwrap();
    let json = serde_json::json!({
        "onboarding": ID,
        "revision": 1,
        "offer": offer.hash(),
        "accepted_at": 0,
        "terminal": key.fingerprint,
        "public_key": key.public,
        "draft": {
            "name": "Shop",
            "legal_name": "Shop Ltd",
            "licence": "91310000MA1",
            "address": "1 Road",
            "city": "Shanghai",
            "category": "5411",
            "contact": "Wang",
            "phone": "021-5555",
            "products": ["card"]
        },
    });
    serde_json::from_value(json).unwrap()
}
fn standing(s: &Signed) -> (u32, Verdict) {
    let s: OnboardingStatus = serde_json::from_str(&s.text).unwrap();
    (s.revision, s.verdict)
}
fn refused<T>(r: Result<T, RegistryError>) -> bool {
    matches!(r, Err(RegistryError::Refused { .. }))
}

#[test]
fn what_is_repeated_is_one_onboarding_and_only_a_rejected_one_is_revised() {
    let dir = tempfile::tempdir().unwrap();
    let (mut registry, public) = self::registry(dir.path());
    let offer: Offer = serde_json::from_str(&registry.offer().text).unwrap();
    assert_eq!(
        (offer.check(), offer.fees[0].basis_points, offer.fees[0].max),
        (Ok(()), 60, "80.00 CNY".parse().ok())
    );
    let s = submission(dir.path(), &registry.offer().clone());
    for _ in 0..3 {
        let answer = registry.submit(s.clone(), Time(0)).unwrap();
        assert_eq!(standing(&answer), (1, Verdict::InReview));
        assert!(public.good(answer.text.as_bytes(), &hex::decode(answer.signature).unwrap()));
    }
    assert_eq!(registry.all().count(), 1);
    let mut other = s.clone();
    other.draft.city = "Beijing".into();
    assert!(refused(registry.submit(other.clone(), Time(0))), "the same revision with another content");
    other.revision = 2;
    assert!(refused(registry.submit(other.clone(), Time(0))), "it was not rejected");
    assert!(
        refused(registry.submit(Submission { terminal: "0".repeat(64), ..s.clone() }, Time(0))),
        "another terminal"
    );
    assert!(
        refused(registry.submit(
            Submission { onboarding: "f".repeat(32), public_key: "30".into(), ..s.clone() },
            Time(0)
        )),
        "no key"
    );
    assert!(
        refused(registry.submit(Submission { onboarding: "..".into(), ..s.clone() }, Time(0))),
        "a name that is none"
    );
    assert!(refused(registry.grant(ID, &"0".repeat(32))), "not approved");

    assert!(refused(registry.decide(ID, Decision::Reject { reason: String::new() })));
    registry.decide(ID, Decision::Reject { reason: "licence".into() }).unwrap();
    assert_eq!(
        standing(&registry.submit(s, Time(0)).unwrap()),
        (1, Verdict::Rejected),
        "the old revision stays rejected"
    );
    assert_eq!(standing(&registry.submit(other.clone(), Time(0)).unwrap()), (2, Verdict::InReview));
    let given = registry.decide(ID, Decision::Approve { account: None }).unwrap();
    assert_eq!(given.account.as_deref(), Some("cup2"));
    assert!(refused(registry.decide(ID, Decision::Reject { reason: "late".into() })), "decided once");
    assert!(refused(registry.grant(ID, "short")));

    // All of it is there after a restart, and a grant is for its question alone.
    drop(registry);
    let (mut registry, again) = self::registry(dir.path());
    assert_eq!(again, public, "the same signing key");
    assert_eq!(standing(&registry.submit(other, Time(0)).unwrap()), (2, Verdict::Approved));
    let nonces = ["a".repeat(32), "b".repeat(32)];
    let grants =
        nonces.clone().map(|n| serde_json::from_str::<Grant>(&registry.grant(ID, &n).unwrap().text).unwrap());
    assert_eq!(grants.clone().map(|g| g.nonce), nonces);
    assert_ne!(grants[0].accounts[0].key.wrapped, grants[1].accounts[0].key.wrapped);
    assert!(matches!(registry.status(&"9".repeat(32)), Err(RegistryError::NotFound(_))));
}

#[test]
fn an_offer_of_yesterday_and_a_wrong_draft_are_rejected_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let (mut registry, _) = self::registry(dir.path());
    let s = submission(dir.path(), &registry.offer().clone());
    let old = Submission { offer: "0".repeat(64), ..s.clone() };
    assert_eq!(standing(&registry.submit(old, Time(0)).unwrap()), (1, Verdict::Rejected));
    let mut wrong = Submission { onboarding: "1".repeat(32), ..s };
    wrong.draft.category = "no".into();
    let answer: OnboardingStatus =
        serde_json::from_str(&registry.submit(wrong, Time(0)).unwrap().text).unwrap();
    assert!(answer.reason.is_some_and(|r| r.contains("category")));
}
