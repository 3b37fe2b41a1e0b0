//! CA keys behind their last day: the self-test tells them, the configuration says whether they are used.
use super::*;
use payterm_schema::selftest::Verdict;

#[test]
fn a_ca_key_behind_its_last_day_is_told_and_used_or_refused() {
    let cases = [(ExpiredKeys::Use, "ca-keys-ended", "00"), (ExpiredKeys::Refuse, "ca-keys-refused", "08")];
    for (expired, code, tvr) in cases {
        let (mut rig, at) = rig_with(DeviceKind::ChipReader, expired, |key| {
            let ended = key.replace(&hex::encode("20991231"), &hex::encode("20201231"));
            assert_ne!(ended, key);
            format!(
                "version = 1\nkeys = [\"{ended}\"]\n[[aid]]\naid = \"A000000333010101\"\nversion = \"0030\"\n"
            )
        });
        let report = rig.runtime.block_on(rig.t().self_test(&caller(), false)).unwrap();
        let item = report.items.iter().find(|item| item.code == code);
        let item = item.unwrap_or_else(|| panic!("{report:?}"));
        assert_eq!(
            (item.verdict, item.facts["keys"].as_str()),
            (Verdict::Degraded, "A000000333 F1 2020-12-31")
        );
        assert!(item.reason.contains("A000000333") && !item.remedy.is_empty(), "{item:?}");
        // It blocks nothing: the issuer decides, and hears that the card was not authenticated.
        let key = rig.begin_patiently(sale("a"));
        let _inserted = insert(&rig, slot::card("debit"), at);
        rig.virtuals().pin(PIN, When::Within(SOON)).unwrap();
        let outcome = rig.end(&key, true);
        let results = outcome.chip.as_ref().and_then(|chip| chip.tvr.clone()).unwrap_or_default();
        assert_eq!((outcome.status, &results[..2]), (Status::Approved, tvr), "{outcome:?}");
    }
}
