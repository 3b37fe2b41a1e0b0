//! TCs of chip cards (0320, 203 to 206).
use payterm_core::Settings;
use payterm_schema::{Kind, card::Interface};
use payterm_tests::sim::{
    bank::HostFault,
    fixtures::*,
    world::{ChipCard, Customer, Order, Script, World},
};

/// TCs of chip cards are told whether the batch balances or not, each once; what was voided, tapped or told
/// as an advice already is not among them.
#[test]
fn certificates_of_chip_cards_are_told_before_the_end() {
    let insert =
        |id, persona| Order { customer: Customer::Inserts(ChipCard::Persona(persona, 0)), ..sale(id) };
    let orders = || {
        vec![
            insert("a", "debit"),
            insert("b", "debit"),
            void("v", "a"),
            plain("c", 0),
            Order { customer: Customer::Taps("qpboc-online", 0), ..sale("t") },
            insert("d", "expired-certificate"),
            control("s", Kind::Settlement),
            insert("e", "debit"),
        ]
    };
    for (fault, uploaded) in [(HostFault::Answer, 0), (HostFault::Unbalanced, 6)] {
        let faults = [vec![HostFault::Answer; 6], vec![fault.clone()]].concat();
        let settings = Settings { chip: vec![Interface::Contact, Interface::Contactless], ..settings() };
        let script = Script { digested: false, ..script(orders(), faults) };
        let mut w = World::new(settings.clone(), script.clone(), None);
        let points = w.run();
        let told = w.outcome("s").settlement.unwrap();
        assert_eq!((told.certificates, told.uploaded, told.stuck.len()), (2, uploaded, 0), "{fault:?}");
        let closing = w.bank.closing.values().next().unwrap();
        let stans: Vec<u32> = ["b", "d"].map(|id| w.outcome(id).stan.unwrap().get()).to_vec();
        assert_eq!(closing.certificates.iter().copied().collect::<Vec<_>>(), stans);
        for n in 1..=points {
            let mut w = World::new(settings.clone(), script.clone(), Some(n));
            w.run();
            let closed = w.bank.closing.values().all(|c| c.closed);
            assert!(closed, "{fault:?}: cut at {n} of {points}");
        }
    }
}

/// One that cannot be read is a person's: the report lists it, and the batch is closed all the same.
#[test]
fn a_certificate_that_cannot_be_read_holds_nothing_up() {
    let insert = Customer::Inserts(ChipCard::Persona("debit", 0));
    let orders = [Order { customer: insert, ..sale("a") }, control("s", Kind::Settlement)];
    let settings = Settings { chip: vec![Interface::Contact], ..settings() };
    let script = Script { digested: false, loses_certificates: true, ..script(orders, []) };
    let mut w = World::new(settings, script, None);
    w.run();
    let told = w.outcome("s").settlement.unwrap();
    assert_eq!((told.certificates, told.stuck[0].txn), (0, w.outcome("a").txn));
    assert_eq!(told.domestic.debit_count, 1, "it is in the totals");
    assert!(w.bank.closing.values().all(|c| c.closed && c.certificates.is_empty()));
}
