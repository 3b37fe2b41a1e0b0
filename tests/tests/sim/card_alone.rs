//! Sales that a chip card approves without the host: by itself, or because nothing could be sent. Its TC is
//! on disk before anything is told, and the acquirer is told later.
use payterm_core::Settings;
use payterm_schema::{
    Record, RequestRecord, Status,
    card::Interface,
    config::{OfflineConfig, OfflineLimits},
    host::EntryMode,
    offline::{OfflineAuthority, OfflineRule},
    outcome::{Authority, Cryptogram, Forwarding},
};
use payterm_tests::sim::{
    bank::HostFault,
    fixtures::*,
    world::{ChipCard, Customer, Order, Script, World},
};

fn settings_with(offline: OfflineConfig) -> Settings {
    let mut s = Settings { chip: vec![Interface::Contact, Interface::Contactless], ..settings() };
    s.flow.no_cvm = Some(serde_json::from_str(r#"{"limit":"50.00 CNY"}"#).unwrap());
    s.accounts[0].config.offline = offline;
    s
}
fn card(limits: OfflineLimits) -> Settings {
    settings_with(OfflineConfig { card: Some(limits), ..OfflineConfig::default() })
}
fn unable(limits: OfflineLimits) -> Settings {
    settings_with(OfflineConfig { card_unable_online: Some(limits), ..OfflineConfig::default() })
}
fn insert(id: &'static str, persona: &'static str) -> Order {
    Order { customer: Customer::Inserts(ChipCard::Persona(persona, 0)), ..sale(id) }
}
fn tap(id: &'static str, persona: &'static str) -> Order {
    Order { customer: Customer::Taps(persona, 0), ..sale(id) }
}
fn with(orders: impl Into<Vec<Order>>, faults: impl Into<Vec<HostFault>>) -> Script {
    Script { digested: false, ..script(orders, faults) }
}
fn run(settings: Settings, script: Script) -> World {
    let mut w = World::new(settings, script, None);
    w.run();
    w
}
fn approved() -> Vec<(Status, String)> {
    vec![(Status::Approved, String::new())]
}
/// Rules by which a sale was not accepted.
fn denied(w: &World) -> Vec<OfflineRule> {
    let rule = |r: &Record| {
        let Record::Request(RequestRecord::OfflineDenied { judgement, .. }) = r else { return None };
        Some(judgement.by.rule)
    };
    w.journal.iter().filter_map(|e| rule(&e.record)).collect()
}
fn of_card(w: &World, id: &str, by: OfflineAuthority) {
    let outcome = w.outcome(id);
    // Once when the card said so, and once when the acquirer had it.
    assert_eq!(told(w, id), [approved(), approved()].concat());
    assert_eq!((outcome.authority, outcome.offline_authority), (Some(Authority::Card), Some(by)));
    assert_eq!(outcome.forwarding, Some(Forwarding::Forwarded), "the acquirer was told");
    assert_eq!(outcome.chip.unwrap().cryptogram_kind, Some(Cryptogram::Tc));
    assert_eq!(w.machine.obligations().exposure(&up(), by).count, 0);
}
const SEVERAL: OfflineLimits = OfflineLimits {
    per_transaction: None,
    per_card: None,
    per_card_count: 9,
    total: None,
    total_count: 9,
    contact_hours: 24,
    bins: Vec::new(),
    refused_bins: Vec::new(),
};

#[test]
fn a_card_that_approves_by_itself_is_accepted_and_told_with_its_tc() {
    for order in [insert("a", "offline"), tap("a", "qpboc-offline")] {
        let w = run(card(SEVERAL), with([order.clone()], []));
        of_card(&w, "a", OfflineAuthority::Card);
        let transcript = w.transcript("a");
        assert_eq!(transcript[..4], ["started", "card_ended", "offline_allowed", "outcome"], "{order:?}");
        // Without the table the issuer is asked.
        let w = run(settings_with(OfflineConfig::default()), with([order.clone()], []));
        assert_eq!(told(&w, "a"), approved());
        assert_eq!(w.outcome("a").authority, Some(Authority::Host), "{order:?}");
    }
}

#[test]
fn a_card_may_approve_what_could_not_be_sent() {
    let not_sent = || with([insert("a", "offline")], [HostFault::NotSent]);
    let w = run(unable(SEVERAL), not_sent());
    of_card(&w, "a", OfflineAuthority::CardUnableOnline);
    let transcript = w.transcript("a");
    let begins = ["started", "allowed", "not_sent", "card_hears", "card_ended", "offline_allowed", "outcome"];
    assert_eq!(transcript[..begins.len()], begins);
    // Without the table it is asked to decline.
    let w = run(settings_with(OfflineConfig::default()), not_sent());
    assert_eq!(told(&w, "a"), [(Status::Failed, "not-sent".into())]);
    // A tap is over when the host is asked.
    let w = run(unable(SEVERAL), with([tap("a", "qpboc-online")], [HostFault::NotSent]));
    assert_eq!(told(&w, "a"), [(Status::Failed, "not-sent".into())]);
    // What left, or may have, no card approves.
    for fault in [HostFault::LoseReply, HostFault::LoseRequest, HostFault::BadMac] {
        let w = run(unable(SEVERAL), with([insert("a", "offline")], [fault.clone()]));
        assert_eq!(w.outcome("a").status, Status::Declined, "{fault:?}");
        assert!(!w.transcript("a").contains(&"offline_allowed".to_owned()), "{fault:?}");
    }
    for faults in
        [[HostFault::Refuse("91"), HostFault::NotSent], [HostFault::Refuse("51"), HostFault::NotSent]]
    {
        let w = run(unable(SEVERAL), with([insert("a", "offline")], faults));
        assert_ne!(w.outcome("a").status, Status::Approved, "the host had heard of it");
    }
}

/// No sign-in, and so no account: the card decides alone; where it may not it is refused before it is asked.
#[test]
fn without_a_line_the_card_is_asked_all_the_same() {
    let lost = || vec![HostFault::NotSent; 6];
    let down = |order| {
        let sign_ins = [vec![HostFault::Answer], lost()].concat();
        Script { sign_ins, ..with([plain("x", 0), order], [vec![HostFault::BadMac], lost()].concat()) }
    };
    for settings in [card(SEVERAL), unable(SEVERAL)] {
        let w = run(settings, down(insert("a", "offline")));
        assert_eq!(w.outcome("a").status, Status::Approved);
        assert!(!w.transcript("a").contains(&"allowed".to_owned()), "{:?}", w.transcript("a"));
        assert_eq!(w.outcome("a").forwarding, Some(Forwarding::Forwarded));
    }
    let w = run(card(SEVERAL), down(tap("a", "qpboc-offline")));
    of_card(&w, "a", OfflineAuthority::Card);
    for (settings, order) in [
        (settings_with(OfflineConfig::default()), insert("a", "offline")),
        (unable(SEVERAL), tap("a", "qpboc-offline")),
    ] {
        let w = run(settings, down(order));
        assert_eq!(told(&w, "a"), [(Status::Failed, "not-sent".into())]);
    }
    // By config a tap goes on as an insertion, where the card may approve by its contacts.
    let inserts = |mut s: Settings| {
        s.flow.insert_after_tap = true;
        s
    };
    let order = || Order { customer: Customer::TapsThenInserts("qpboc-offline", "offline"), ..sale("a") };
    let w = run(inserts(unable(SEVERAL)), down(order()));
    of_card(&w, "a", OfflineAuthority::CardUnableOnline);
    assert_eq!((w.outcome("a").entry, w.chips_run), (Some(EntryMode::Chip), 2));
    let w = run(inserts(settings_with(OfflineConfig::default())), down(order()));
    assert_eq!((told(&w, "a"), w.chips_run), (vec![(Status::Failed, "not-sent".into())], 1));
    // It wants to go online, and nothing can be sent.
    let w = run(card(SEVERAL), down(tap("a", "qpboc-online")));
    assert_eq!(told(&w, "a"), [(Status::Failed, "not-sent".into())]);
}

#[test]
fn limits_hold_and_each_authority_has_its_own() {
    let one = || OfflineLimits { per_card_count: 1, ..SEVERAL };
    let down = |orders: Vec<Order>| Script { down: vec![(1_500, 60_000)], ..with(orders, []) };
    let orders = || vec![insert("a", "offline"), insert("b", "offline")];
    let w = run(unable(one()), down(orders()));
    of_card(&w, "a", OfflineAuthority::CardUnableOnline);
    assert_eq!(told(&w, "b"), [(Status::Failed, "not-sent".into())]);
    // The card's second payment is the issuer's, who cannot be asked.
    let w = run(card(one()), down(orders()));
    of_card(&w, "a", OfflineAuthority::Card);
    assert_eq!(told(&w, "b"), [(Status::Failed, "not-sent".into())]);
    let both =
        OfflineConfig { card: Some(one()), card_unable_online: Some(one()), ..OfflineConfig::default() };
    let w = run(settings_with(both), down(orders()));
    of_card(&w, "a", OfflineAuthority::Card);
    of_card(&w, "b", OfflineAuthority::CardUnableOnline);
    assert!(denied(&w).is_empty());
}

/// A PIN that only the issuer could check is not checked by the card's word.
#[test]
fn a_pin_for_the_issuer_needs_the_issuer() {
    let w = run(unable(SEVERAL), with([insert("a", "debit")], [HostFault::NotSent]));
    assert_eq!(told(&w, "a"), [(Status::Failed, "not-sent".into())]);
    // The shop wants a PIN for this tap, or for one of some other card: it goes to the issuer.
    for rule in [r#"{"limit":"12.33 CNY"}"#, r#"{"limit":"12.34 CNY","bins":["40-49"]}"#] {
        let mut s = card(SEVERAL);
        s.flow.no_cvm = Some(serde_json::from_str(rule).unwrap());
        let w = run(s, with([tap("a", "qpboc-offline")], []));
        let outcome = w.outcome("a");
        assert_eq!((outcome.authority, outcome.pin), (Some(Authority::Host), true), "{rule}");
    }
}

/// Power is cut at every point: approved with a TC on disk and told once, or not approved and nothing owed.
#[test]
fn a_power_cut_at_any_point_loses_no_tc_that_was_told() {
    let scripts = [
        (card(SEVERAL), with([insert("a", "offline"), plain("b", 0)], [])),
        (card(SEVERAL), with([tap("a", "qpboc-offline"), plain("b", 0)], [])),
        (unable(SEVERAL), with([insert("a", "offline"), plain("b", 0)], [HostFault::NotSent])),
    ];
    for (settings, script) in scripts {
        let points = World::new(settings.clone(), script.clone(), None).run();
        for n in 1..=points {
            let mut w = World::new(settings.clone(), script.clone(), Some(n));
            w.run();
            let outcome = w.outcome("a");
            let tc = w.transcript("a").contains(&"offline_allowed".to_owned());
            assert_eq!(outcome.status == Status::Approved, tc, "cut at {n}: {:?}", w.transcript("a"));
            assert!(w.machine.obligations().is_empty(), "cut at {n}");
        }
    }
}
