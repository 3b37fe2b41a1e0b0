//! The interface Onboarding: what goes through, for whom, and what hostile arguments meet.
use crate::common::*;
use payterm_fake::sample::*;
use payterm_schema::{
    Caller, Fault, Terminal,
    onboarding::{Draft, Product, Step},
};

const ONBOARDING: &str = "org.payterm.Terminal1.Onboarding";

fn draft() -> Draft {
    let s = String::from;
    Draft {
        name: s("便民超市 \"中\""),
        legal_name: s("Corner Shop Ltd"),
        licence: s("91310000MA1"),
        address: s("1 Renmin Road"),
        city: s("Shanghai"),
        category: s("5411"),
        contact: s("Wang"),
        phone: s("021-5555"),
        email: None,
        products: vec![Product::Card, Product::Scan],
    }
}
fn who() -> Caller {
    Caller { app: "till".into(), uid: 0, manager: true, kinds: Vec::new(), limit: None }
}
async fn call(conn: &zbus::Connection, member: &str, text: Option<String>) -> Result<(), Fault> {
    let (name, root) = (Some("org.payterm.Terminal1"), payterm_dbus::ROOT);
    let done = match text {
        Some(text) => conn.call_method(name, root, Some(ONBOARDING), member, &(text)).await,
        None => conn.call_method(name, root, Some(ONBOARDING), member, &()).await,
    };
    done.map(drop).map_err(payterm_dbus::fault_of)
}

#[tokio::test]
async fn each_step_reaches_the_terminal_as_it_was() {
    let w = World::start(vec![caller("till", true)]).await;
    for c in [w.client().await, w.peer().await] {
        assert_eq!(c.offer(&who()).await, Ok(offer()));
        assert_eq!(c.onboarding(&who()).await, w.fake.onboarding(&who()).await);
        for step in [
            Step::Draft(Box::new(draft())),
            Step::Accept { hash: "ab".into() },
            Step::Submit,
            Step::Refresh,
            Step::Activate,
        ] {
            c.apply(&who(), step.clone()).await.unwrap();
            assert!(w.fake.has_done(&format!("apply till {step:?}")), "{step:?}");
        }
    }
}

#[tokio::test]
async fn all_of_it_is_for_managers() {
    let w = World::start(vec![caller("till", false)]).await;
    let conn = w.raw().await;
    for member in ["Offer", "State", "Submit", "Refresh", "Activate"] {
        assert!(matches!(call(&conn, member, None).await, Err(Fault::NotAllowed { .. })), "{member}");
    }
    let json = serde_json::to_string(&draft()).unwrap();
    assert!(matches!(call(&conn, "SetDraft", Some(json)).await, Err(Fault::NotAllowed { .. })));
    assert!(!w.fake.log.lock().unwrap().iter().any(|l| l.starts_with("apply ")));
}

#[tokio::test]
async fn drafts_are_checked_at_the_door() {
    let w = World::start(vec![caller("till", true)]).await;
    let conn = w.raw().await;
    let json = |change: fn(&mut Draft)| {
        let mut d = draft();
        change(&mut d);
        serde_json::to_string(&d).unwrap()
    };
    let cases = [
        ("category", json(|d| d.category = "5".into())),
        ("name", json(|d| d.name = "\u{1b}[2J".into())),
        ("products", json(|d| d.products = vec![Product::Card; 2])),
        ("json", "{".into()),
        ("json", "[]".into()),
        ("json", json(|_| ()).replacen('{', "{\"merchant\":\"1\",", 1)),
        ("json", format!("\"{}\"", "x".repeat(9_000))),
        ("json", "[".repeat(8_000)),
    ];
    for (field, text) in cases {
        let got = call(&conn, "SetDraft", Some(text.clone())).await;
        assert!(matches!(&got, Err(Fault::Invalid { field: f, .. }) if f == field), "{text}: {got:?}");
    }
    assert!(!w.fake.log.lock().unwrap().iter().any(|l| l.starts_with("apply ")));
}
