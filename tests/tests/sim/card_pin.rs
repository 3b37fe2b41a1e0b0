//! PINs that the card checks itself: the pad shows it to the card, and the card says what it makes of it.
use payterm_core::Settings;
use payterm_schema::{
    Status,
    card::Interface,
    config::{OfflineConfig, OfflineLimits},
    outcome::{Authority, Cryptogram},
};
use payterm_tests::sim::{
    bank::HostFault,
    fixtures::*,
    world::{AtPad, Customer, Order, Script, World},
};

fn settings_with(bypass: bool) -> Settings {
    let mut s = Settings { chip: vec![Interface::Contact], ..settings() };
    s.flow.pin_bypass = bypass;
    s
}
fn sells(id: &'static str, at_pad: AtPad) -> Order {
    by("credit", id, at_pad)
}
fn by(persona: &'static str, id: &'static str, at_pad: AtPad) -> Order {
    Order { customer: Customer::InsertsForPin(persona, at_pad), ..sale(id) }
}
fn with(orders: impl Into<Vec<Order>>, faults: impl Into<Vec<HostFault>>) -> Script {
    Script { digested: false, ..script(orders, faults) }
}
fn run(settings: Settings, at_pad: AtPad) -> World {
    let mut w = World::new(settings, with([sells("a", at_pad), plain("b", 0)], []), None);
    w.run();
    assert_eq!(told(&w, "b"), [(Status::Approved, String::new())], "the next customer is served");
    w
}
/// Byte 3 of the TVR.
fn cvm(w: &World) -> u8 {
    let tvr = w.outcome("a").chip.and_then(|c| c.tvr).unwrap();
    u8::from_str_radix(&tvr[4..6], 16).unwrap()
}

/// The card has three tries; each question says how many are left.
#[test]
fn a_card_finds_the_pin_right_or_tells_how_many_tries_are_left() {
    for (wrong, left, byte) in [
        (0, vec![Some(3)], 0),
        (1, vec![Some(3), Some(2)], 0),
        (2, vec![Some(3), Some(2), Some(1)], 0),
        // Try limit exceeded: the next method is a signature.
        (3, vec![Some(3), Some(2), Some(1)], 0x20),
    ] {
        let w = run(settings_with(false), AtPad::WrongFirst(wrong));
        assert_eq!(told(&w, "a"), [(Status::Approved, String::new())], "{wrong}");
        assert_eq!(w.pins_left, left, "{wrong}");
        let outcome = w.outcome("a");
        let chip = outcome.chip.unwrap();
        assert_eq!((chip.pin, chip.sign, cvm(&w)), (wrong < 3, wrong == 3, byte), "{wrong}");
        assert_eq!((outcome.pin, w.chips_run), (false, 1), "{wrong}: no PIN went to the host");
    }
}

#[test]
fn a_blocked_pin_stays_blocked_for_the_next_payment() {
    let orders = [sells("a", AtPad::WrongFirst(3)), sells("b", AtPad::WrongFirst(0))];
    let mut w = World::new(settings_with(false), with(orders, []), None);
    w.run();
    assert_eq!(w.pins_left, [], "it is not asked for");
    let chip = w.outcome("b").chip.unwrap();
    assert!(chip.sign && !chip.pin);
}

/// Who types none is refused by the terminal or, where that lets it pass, by the action codes of this issuer.
#[test]
fn the_card_hears_that_no_pin_was_typed() {
    let w = run(settings_with(true), AtPad::Bypasses);
    assert_eq!(told(&w, "a"), [(Status::Declined, "card-declined".into())]);
    assert_eq!(cvm(&w), 0x08, "PIN asked for, pad there, PIN not entered");
    let w = run(settings_with(false), AtPad::Bypasses);
    assert_eq!(told(&w, "a"), [(Status::Failed, "pin-required".into())]);
}

#[test]
fn nothing_is_sent_for_a_pin_that_does_not_come() {
    for (at_pad, status, code) in [
        (AtPad::Cancels, Status::Cancelled, "cancelled-by-customer"),
        (AtPad::PressesCancel, Status::Cancelled, "cancelled-by-customer"),
        (AtPad::FallsAsleep, Status::Cancelled, "pin-timeout"),
        (AtPad::Fails, Status::Failed, "pin-pad-unavailable"),
        (AtPad::Pulls, Status::Cancelled, "card-removed"),
    ] {
        let w = run(settings_with(false), at_pad);
        assert_eq!(told(&w, "a"), [(status, code.to_owned())], "{at_pad:?}");
        assert_eq!((w.bank.books.len(), w.bank.reversals.len()), (1, 0), "{at_pad:?}");
        assert_eq!(w.transcript("a"), ["started", "outcome"], "{at_pad:?}");
    }
}

/// Without the host the card approves by itself, with its PIN or a signature: no PIN has to be checked
/// elsewhere.
#[test]
fn a_right_pin_is_good_without_the_host() {
    let limits = OfflineLimits { per_card_count: 5, ..OfflineLimits::default() };
    for (wrong, pin) in [(1, true), (3, false)] {
        let mut s = settings_with(false);
        s.accounts[0].config.offline =
            OfflineConfig { card: Some(limits.clone()), ..OfflineConfig::default() };
        let mut w = World::new(s, with([by("offline-pin", "a", AtPad::WrongFirst(wrong))], []), None);
        w.run();
        let outcome = w.outcome("a");
        assert_eq!((outcome.status, outcome.authority), (Status::Approved, Some(Authority::Card)));
        let chip = outcome.chip.unwrap();
        assert_eq!((chip.pin, chip.sign, chip.cryptogram_kind), (pin, !pin, Some(Cryptogram::Tc)));
    }
}

#[test]
fn a_sale_with_a_wrong_and_a_right_pin_cut_at_every_step() {
    for fault in [HostFault::Scripts, HostFault::NotSent, HostFault::LoseReply] {
        let script = with([sells("a", AtPad::WrongFirst(1))], [fault.clone()]);
        let points = World::new(settings_with(false), script.clone(), None).run();
        for n in 1..=points {
            let ran =
                std::panic::catch_unwind(|| World::new(settings_with(false), script.clone(), Some(n)).run());
            assert!(ran.is_ok(), "{fault:?}: cut at {n} of {points}");
        }
    }
}
