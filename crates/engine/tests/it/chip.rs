//! Chip cards in a whole engine: the reader's thread runs the kernel, the machine decides in between.
mod download;
mod slot;

use crate::rig::{Rig, SOON, caller, sale};
use payterm_devices::virtual_bench::When;
use payterm_schema::{
    DeviceKind, Outcome, Status,
    config::{Config, DeviceConfig, EmvConfig},
    host::EntryMode,
};
use payterm_simulator::card::{TestCard, ca_key_370, inserted::Inserted};
use slot::{PIN, Slot};
use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

/// F55 of a sale and of a reversal, as in docs/host-protocol.md.
const ICC: &str = r#"["9F26", "9F27", "9F10", "9F37", "9F36", "95", "9A", "9C", "9F02", "5F2A", "82", "9F1A",
    "9F03", "9F33", "9F34", "9F35", "9F1E", "84", "9F09"]"#;
const BACK: &str = r#"["95", "9F1E", "9F10", "9F36", "DF31"]"#;

/// The profile with the chip's data in a sale.
fn chip_profile(config: &mut Config) {
    let own = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../hosts/profiles/unionpay.toml"));
    let mut text = std::fs::read_to_string(own).unwrap();
    let sale = "values = { 3 = \"000000\", 25 = \"00\", 60 = \"22{batch}000501\" }";
    let chip = sale.replace("60 =", "55 = \"{icc}\", 60 =");
    for (old, new) in
        [(sale, format!("{chip}\nicc = {ICC}")), ("[reversal] ", format!("[reversal]\nicc = {BACK} "))]
    {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        text = text.replace(old, &new);
    }
    let path = config.store.dir.parent().unwrap().join("chip.toml");
    std::fs::write(&path, text).unwrap();
    config.accounts[0].profile = path.display().to_string();
}

/// The demo with the slot in place of its chip reader.
fn rig(slot: &Arc<Slot>) -> Rig {
    Rig::with(slot::drivers(slot), |config| {
        config.devices.retain(|device| device.kind != DeviceKind::ChipReader);
        config.devices.push(DeviceConfig::new("chip", DeviceKind::ChipReader, "slot"));
        chip_profile(config);
    })
}

/// A card whose issuer does not answer its cryptogram.
fn plain() -> TestCard {
    let issuer = "issuer_authentication = \"external\"";
    slot::card("debit", |text| text.replacen(issuer, "issuer_authentication = \"none\"", 1))
}

fn pays(rig: &mut Rig, slot: &Slot, id: &str) -> Outcome {
    let key = rig.begin_patiently(sale(id));
    slot.insert(plain());
    rig.virtuals().pin(PIN, When::Within(SOON)).unwrap();
    let outcome = rig.end(&key, true);
    assert_eq!(outcome.status, Status::Approved, "{outcome:?}");
    outcome
}

#[test]
fn an_inserted_card_pays_with_its_own_word() {
    let slot = Arc::new(Slot::default());
    let mut rig = rig(&slot);
    let before = rig.balance();
    let outcome = pays(&mut rig, &slot, "a");
    assert_eq!((outcome.entry, rig.balance()), (Some(EntryMode::Chip), before - 1_234));
    rig.until("the reader lets go of the card", |_| slot.lock().released > 0);
    let given: Vec<u8> = slot.pull().unwrap().given().iter().map(|given| given.cid).collect();
    assert_eq!(given, [0x80, 0x40], "an ARQC, then the TC");
    // The next one, on the same reader.
    pays(&mut rig, &slot, "b");
}

#[test]
fn a_card_that_refuses_after_the_hosts_yes_takes_the_money_back() {
    let slot = Arc::new(Slot::default());
    let mut rig = rig(&slot);
    let before = rig.balance();
    let key = rig.begin_patiently(sale("a"));
    // Its issuer is not heard in the answer.
    slot.insert(slot::card("debit", |text| text));
    rig.virtuals().pin(PIN, When::Within(SOON)).unwrap();
    let outcome = rig.end(&key, true);
    assert_eq!(outcome.status, Status::Declined, "{outcome:?}");
    let given: Vec<u8> = slot.pull().unwrap().given().iter().map(|given| given.cid).collect();
    assert_eq!(given, [0x80, 0x00]);
    rig.until("the reversal is at the acquirer", |rig| rig.balance() == before);
}

#[test]
fn a_card_that_is_pulled_while_the_customer_types_ends_the_payment_and_not_the_reader() {
    let slot = Arc::new(Slot::default());
    let mut rig = rig(&slot);
    let before = rig.balance();
    let key = rig.begin_patiently(sale("a"));
    slot.insert(plain());
    // It is read, has waited for the account, and waits for the PIN.
    rig.until("the card waits for the PIN", |_| {
        let sent = slot.lock().sent;
        std::thread::sleep(Duration::from_millis(500));
        sent > 5 && slot.lock().sent == sent
    });
    slot.pull();
    let outcome = rig.end(&key, true);
    assert_eq!((outcome.status, rig.balance()), (Status::Cancelled, before), "{outcome:?}");
    assert_eq!(outcome.reason.map(|reason| reason.code).as_deref(), Some("card-removed"));
    pays(&mut rig, &slot, "b");
}

#[test]
fn a_wrong_pin_runs_the_card_in_the_reader_again() {
    let slot = Arc::new(Slot::default());
    let mut rig = rig(&slot);
    let key = rig.begin_patiently(sale("a"));
    slot.insert(plain());
    rig.virtuals().pin("000000", When::Within(SOON)).unwrap();
    rig.virtuals().pin(PIN, When::Within(SOON)).unwrap();
    let outcome = rig.end(&key, true);
    assert_eq!(outcome.status, Status::Approved, "{outcome:?}");
    let given: Vec<u8> = slot.pull().unwrap().given().iter().map(|given| given.cid).collect();
    assert_eq!(given, [0x80, 0x00, 0x80, 0x40], "no to the first ARQC, and a run of its own");
    pays(&mut rig, &slot, "b");
}

#[test]
fn a_cancel_ends_the_card_between_two_commands() {
    let slot = Arc::new(Slot::default());
    let mut rig = rig(&slot);
    slot.lock().slow = Duration::from_millis(200);
    let key = rig.begin_patiently(sale("a"));
    slot.insert(plain());
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
    pays(&mut rig, &slot, "b");
}

/// The demo with a socket for cards, and what `[emv]` needs for the test CA.
fn rig_with_socket() -> (Rig, SocketAddr) {
    rig_with_file(|key| {
        format!("version = 1\nkeys = [\"{key}\"]\n[[aid]]\naid = \"A000000333010101\"\nversion = \"0030\"\n")
    })
}
/// With this file of parameters, made of the test CA's key.
fn rig_with_file(file: impl FnOnce(&str) -> String) -> (Rig, SocketAddr) {
    // A port that is free now.
    let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rig = Rig::new(|config| {
        let chip = config.devices.iter_mut().find(|device| device.kind == DeviceKind::ChipReader).unwrap();
        chip.options.insert("card".into(), at.to_string().into());
        let key = hex::encode(ca_key_370([0xA0, 0, 0, 0x03, 0x33]));
        let path = config.store.dir.parent().unwrap().join("emv.toml");
        std::fs::write(&path, file(&key)).unwrap();
        config.emv = Some(EmvConfig::new(path));
        assert_eq!(config.check(), Ok(()));
        chip_profile(config);
    });
    (rig, at)
}
fn insert(rig: &Rig, at: SocketAddr) -> Inserted {
    let mut inserted = None;
    let found = std::cell::RefCell::new(&mut inserted);
    rig.until("the reader listens", |_| {
        **found.borrow_mut() = Inserted::insert(plain(), at).ok();
        found.borrow().is_some()
    });
    inserted.unwrap()
}

#[test]
fn a_card_behind_a_socket_pays_through_the_configured_kernel() {
    let (mut rig, at) = rig_with_socket();
    let before = rig.balance();
    let key = rig.begin_patiently(sale("a"));
    let inserted = insert(&rig, at);
    rig.virtuals().pin(PIN, When::Within(SOON)).unwrap();
    let outcome = rig.end(&key, true);
    assert_eq!((outcome.status, outcome.entry), (Status::Approved, Some(EntryMode::Chip)), "{outcome:?}");
    assert_eq!(rig.balance(), before - 1_234);
    let card = inserted.pull();
    let given: Vec<_> = card.given().iter().map(|given| (given.cid, given.amount)).collect();
    assert_eq!(given, [0x80, 0x40].map(|cid| (cid, [0, 0, 0, 0, 0x12, 0x34])));
    // Pulled before the PIN is typed: nothing is paid, and the next card is taken.
    let key = rig.begin_patiently(sale("b"));
    let inserted = insert(&rig, at);
    // It is read, and more.
    std::thread::sleep(Duration::from_secs(1));
    drop(inserted);
    let outcome = rig.end(&key, true);
    assert_eq!(outcome.status, Status::Cancelled, "{outcome:?}");
    assert_eq!(outcome.reason.map(|reason| reason.code).as_deref(), Some("card-removed"));
    let key = rig.begin_patiently(sale("c"));
    let _inserted = insert(&rig, at);
    rig.virtuals().pin(PIN, When::Within(SOON)).unwrap();
    assert_eq!(rig.end(&key, true).status, Status::Approved);
    assert_eq!(rig.balance(), before - 2 * 1_234);
}
