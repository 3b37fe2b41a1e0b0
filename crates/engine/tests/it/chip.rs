//! Chip cards in a whole engine: the reader's thread runs the kernel, the machine decides in between.
mod download;
mod expired;
mod slot;

use crate::rig::{Rig, SOON, caller, sale};
use payterm_devices::virtual_bench::When;
use payterm_schema::{
    DeviceKind, Outcome, Status,
    config::{DeviceConfig, EmvConfig, ExpiredKeys},
    host::EntryMode,
};
use payterm_simulator::card::{TestCard, ca_key_370, inserted::Inserted};
use slot::{CARD_PIN, PIN, Slot};
use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

/// The demo with the slot in place of its chip reader.
fn rig(slot: &Arc<Slot>) -> Rig {
    Rig::with(slot::drivers(slot), |config| {
        config.devices.retain(|device| device.kind != DeviceKind::ChipReader);
        config.devices.push(DeviceConfig::new("chip", DeviceKind::ChipReader, "slot"));
    })
}

/// Sum on the account of the test card.
fn balance(rig: &Rig) -> i64 {
    rig.acquirer.balance("card:chip-debit").unwrap()
}

fn pays(rig: &mut Rig, slot: &Slot, card: TestCard, id: &str) -> Outcome {
    let key = rig.begin_patiently(sale(id));
    slot.insert(card);
    rig.virtuals().pin(PIN, When::Within(SOON)).unwrap();
    let outcome = rig.end(&key, true);
    assert_eq!(outcome.status, Status::Approved, "{outcome:?}");
    outcome
}

#[test]
fn an_inserted_card_pays_with_its_own_word() {
    let slot = Arc::new(Slot::default());
    let mut rig = rig(&slot);
    let before = balance(&rig);
    let outcome = pays(&mut rig, &slot, slot::card("debit"), "a");
    assert_eq!((outcome.entry, balance(&rig)), (Some(EntryMode::Chip), before - 1_234));
    rig.until("the reader lets go of the card", |_| slot.lock().released > 0);
    let card = slot.pull().unwrap();
    let given: Vec<u8> = card.given().iter().map(|given| given.cid).collect();
    assert_eq!(given, [0x80, 0x40], "an ARQC, then the TC");
    // Once more, on the same reader.
    pays(&mut rig, &slot, card, "b");
}

#[test]
fn a_card_that_refuses_after_the_hosts_yes_takes_the_money_back() {
    const REFUSES: &str = "card:chip-refuses-after-approval";
    let slot = Arc::new(Slot::default());
    let rig = rig(&slot);
    let before = rig.acquirer.balance(REFUSES).unwrap();
    let key = rig.begin_patiently(sale("a"));
    slot.insert(slot::card("refuses-after-approval"));
    let outcome = rig.end(&key, true);
    assert_eq!(outcome.status, Status::Declined, "{outcome:?}");
    let given: Vec<u8> = slot.pull().unwrap().given().iter().map(|given| given.cid).collect();
    assert_eq!(given, [0x80, 0x00]);
    rig.until("the reversal is at the acquirer", |rig| rig.acquirer.balance(REFUSES).unwrap() == before);
}

#[test]
fn a_card_that_is_pulled_while_the_customer_types_ends_the_payment_and_not_the_reader() {
    let slot = Arc::new(Slot::default());
    let mut rig = rig(&slot);
    let before = balance(&rig);
    let key = rig.begin_patiently(sale("a"));
    slot.insert(slot::card("debit"));
    // It is read, has waited for the account, and waits for the PIN.
    rig.until("the card waits for the PIN", |_| {
        let sent = slot.lock().sent;
        std::thread::sleep(Duration::from_millis(500));
        sent > 5 && slot.lock().sent == sent
    });
    let card = slot.pull().unwrap();
    let outcome = rig.end(&key, true);
    assert_eq!((outcome.status, balance(&rig)), (Status::Cancelled, before), "{outcome:?}");
    assert_eq!(outcome.reason.map(|reason| reason.code).as_deref(), Some("card-removed"));
    pays(&mut rig, &slot, card, "b");
}

#[test]
fn a_wrong_pin_runs_the_card_in_the_reader_again() {
    let slot = Arc::new(Slot::default());
    let mut rig = rig(&slot);
    let key = rig.begin_patiently(sale("a"));
    slot.insert(slot::card("debit"));
    rig.virtuals().pin("000000", When::Within(SOON)).unwrap();
    rig.virtuals().pin(PIN, When::Within(SOON)).unwrap();
    let outcome = rig.end(&key, true);
    assert_eq!(outcome.status, Status::Approved, "{outcome:?}");
    let card = slot.pull().unwrap();
    let given: Vec<u8> = card.given().iter().map(|given| given.cid).collect();
    assert_eq!(given, [0x80, 0x00, 0x80, 0x40], "no to the first ARQC, and a run of its own");
    pays(&mut rig, &slot, card, "b");
}

/// The card checks the PIN itself: pad and card are asked again in the same run, and no host has seen it.
#[test]
fn a_card_that_checks_the_pin_is_shown_it_by_the_pad() {
    let slot = Arc::new(Slot::default());
    let mut rig = rig(&slot);
    let key = rig.begin_patiently(sale("a"));
    slot.insert(slot::card("credit"));
    rig.virtuals().pin("975310", When::Within(SOON)).unwrap();
    rig.virtuals().pin(CARD_PIN, When::Within(SOON)).unwrap();
    let outcome = rig.end(&key, true);
    assert_eq!((outcome.status, outcome.pin), (Status::Approved, false), "{outcome:?}");
    assert!(outcome.chip.is_some_and(|chip| chip.pin && !chip.sign));
    let card = slot.pull().unwrap();
    let given: Vec<u8> = card.given().iter().map(|given| given.cid).collect();
    assert_eq!(given, [0x80, 0x40], "one run");
    // Pulled while the customer types, and while the card looks at the PIN.
    let mut card = Some(card);
    for (id, slow) in [("b", Duration::ZERO), ("c", Duration::from_millis(700))] {
        let key = rig.begin_patiently(sale(id));
        slot.insert(card.take().unwrap());
        rig.until("the card waits for the PIN", |_| {
            let sent = slot.lock().sent;
            std::thread::sleep(Duration::from_millis(500));
            sent > 5 && slot.lock().sent == sent
        });
        slot.lock().slow = slow;
        if slow > Duration::ZERO {
            rig.virtuals().pin(CARD_PIN, When::Within(SOON)).unwrap();
            std::thread::sleep(slow / 2);
        }
        card = slot.pull();
        let outcome = rig.end(&key, true);
        assert_eq!(outcome.reason.map(|reason| reason.code).as_deref(), Some("card-removed"), "{id}");
        slot.lock().slow = Duration::ZERO;
    }
    // Cancelled at the pad; pad and card serve the next customer.
    let key = rig.begin_patiently(sale("d"));
    slot.insert(card.take().unwrap());
    rig.virtuals().pin("cancel", When::Within(SOON)).unwrap();
    assert_eq!(rig.end(&key, true).status, Status::Cancelled);
    let card = slot.pull().unwrap();
    let key = rig.begin_patiently(sale("e"));
    slot.insert(card);
    rig.virtuals().pin(CARD_PIN, When::Within(SOON)).unwrap();
    assert_eq!(rig.end(&key, true).status, Status::Approved);
}

#[test]
fn a_cancel_ends_the_card_between_two_commands() {
    let slot = Arc::new(Slot::default());
    let mut rig = rig(&slot);
    slot.lock().slow = Duration::from_millis(200);
    let key = rig.begin_patiently(sale("a"));
    slot.insert(slot::card("debit"));
    rig.until("the card is at work", |_| slot.lock().sent > 1);
    let t = rig.t();
    rig.runtime.block_on(t.cancel(&caller(), &key)).unwrap();
    let outcome = rig.end(&key, true);
    assert_eq!(outcome.status, Status::Cancelled, "{outcome:?}");
    rig.until("the reader lets go of the card", |_| slot.lock().released > 0);
    let sent = slot.lock().sent;
    std::thread::sleep(Duration::from_millis(600));
    assert!(sent < 10 && slot.lock().sent == sent, "{sent} commands");
    slot.lock().slow = Duration::ZERO;
    let card = slot.pull().unwrap();
    pays(&mut rig, &slot, card, "b");
}

/// It is stopped, and heard: its TC comes too late, goes into the reversal, and the reader serves the next.
#[test]
fn a_card_that_takes_too_long_to_approve_is_taken_back_with_its_last_word() {
    let slot = Arc::new(Slot::default());
    let mut rig = Rig::with(slot::drivers(&slot), |config| {
        config.devices.retain(|device| device.kind != DeviceKind::ChipReader);
        config.devices.push(DeviceConfig::new("chip", DeviceKind::ChipReader, "slot"));
        config.flow.completing_ms = 300;
    });
    let before = balance(&rig);
    slot.lock().slow_tc = Duration::from_millis(1_500);
    let key = rig.begin_patiently(sale("a"));
    slot.insert(slot::card("debit"));
    rig.virtuals().pin(PIN, When::Within(SOON)).unwrap();
    let outcome = rig.end(&key, true);
    let code = outcome.reason.as_ref().map(|reason| reason.code.clone());
    assert_eq!((outcome.status, code.as_deref()), (Status::Declined, Some("card-gone-after-approval")));
    let tc = outcome.chip.as_ref().and_then(|chip| chip.cryptogram_kind);
    assert_eq!(tc, Some(payterm_schema::outcome::Cryptogram::Tc), "the slip shows what it said: {outcome:?}");
    rig.until("the reversal is at the acquirer", |rig| balance(rig) == before);
    slot.lock().slow_tc = Duration::ZERO;
    let card = slot.pull().unwrap();
    pays(&mut rig, &slot, card, "b");
}

/// The demo with a socket for cards, and what `[emv]` needs for the test CA.
fn rig_with_socket(kind: DeviceKind) -> (Rig, SocketAddr) {
    rig_with_file(kind, |key| {
        format!(
            "version = 1\nkeys = [\"{key}\"]\n[[aid]]\naid = \"A000000333010101\"\nversion = \"0030\"\n\
             tap = {{ most = 500_000, cvm = 1_000 }}\n"
        )
    })
}
/// With this file of parameters, made of the test CA's key.
fn rig_with_file(kind: DeviceKind, file: impl FnOnce(&str) -> String) -> (Rig, SocketAddr) {
    rig_with(kind, ExpiredKeys::Use, file)
}
fn rig_with(
    kind: DeviceKind,
    expired_keys: ExpiredKeys,
    file: impl FnOnce(&str) -> String,
) -> (Rig, SocketAddr) {
    // A port that is free now.
    let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rig = Rig::new(|config| {
        let reader = config.devices.iter_mut().find(|device| device.kind == kind).unwrap();
        reader.options.insert("card".into(), at.to_string().into());
        let key = hex::encode(ca_key_370([0xA0, 0, 0, 0x03, 0x33]));
        let path = config.store.dir.parent().unwrap().join("emv.toml");
        std::fs::write(&path, file(&key)).unwrap();
        config.emv = Some(EmvConfig { expired_keys, ..EmvConfig::new(path) });
        assert_eq!(config.check(), Ok(()));
    });
    (rig, at)
}
fn insert(rig: &Rig, card: TestCard, at: SocketAddr) -> Inserted {
    rig.until("the reader listens", |_| TcpListener::bind(at).is_err());
    Inserted::insert(card, at).unwrap()
}

#[test]
fn a_card_behind_a_socket_pays_through_the_configured_kernel() {
    let (mut rig, at) = rig_with_socket(DeviceKind::ChipReader);
    let before = balance(&rig);
    let key = rig.begin_patiently(sale("a"));
    let inserted = insert(&rig, slot::card("debit"), at);
    rig.virtuals().pin(PIN, When::Within(SOON)).unwrap();
    let outcome = rig.end(&key, true);
    assert_eq!((outcome.status, outcome.entry), (Status::Approved, Some(EntryMode::Chip)), "{outcome:?}");
    assert_eq!(balance(&rig), before - 1_234);
    let card = inserted.pull();
    let given: Vec<_> = card.given().iter().map(|given| (given.cid, given.amount)).collect();
    assert_eq!(given, [0x80, 0x40].map(|cid| (cid, [0, 0, 0, 0, 0x12, 0x34])));
    // Pulled before the PIN is typed: nothing is paid, and the next card is taken.
    let key = rig.begin_patiently(sale("b"));
    let inserted = insert(&rig, card, at);
    // It is read, and more.
    std::thread::sleep(Duration::from_secs(1));
    let card = inserted.pull();
    let outcome = rig.end(&key, true);
    assert_eq!(outcome.status, Status::Cancelled, "{outcome:?}");
    assert_eq!(outcome.reason.map(|reason| reason.code).as_deref(), Some("card-removed"));
    let key = rig.begin_patiently(sale("c"));
    let _inserted = insert(&rig, card, at);
    rig.virtuals().pin(PIN, When::Within(SOON)).unwrap();
    assert_eq!(rig.end(&key, true).status, Status::Approved);
    assert_eq!(balance(&rig), before - 2 * 1_234);
}

#[test]
fn a_card_that_is_tapped_pays_with_its_pin_and_a_torn_tap_is_repeated() {
    let (mut rig, at) = rig_with_socket(DeviceKind::ContactlessReader);
    let balance = |rig: &Rig| rig.acquirer.balance("card:chip-qpboc-online-2").unwrap();
    let before = balance(&rig);
    let key = rig.begin_patiently(sale("a"));
    // In the field, and gone before it was asked for anything.
    drop(insert(&rig, slot::card("qpboc-online"), at));
    std::thread::sleep(Duration::from_millis(300));
    let inserted = insert(&rig, slot::card("qpboc-online"), at);
    rig.virtuals().pin(PIN, When::Within(SOON)).unwrap();
    // It has said all.
    let card = inserted.pull();
    let outcome = rig.end(&key, true);
    assert_eq!(
        (outcome.status, outcome.entry),
        (Status::Approved, Some(EntryMode::Contactless)),
        "{outcome:?}"
    );
    assert_eq!((outcome.pin, balance(&rig)), (true, before - 1_234));
    assert_eq!(card.given().iter().map(|given| given.cid).collect::<Vec<_>>(), [0x80]);
}
