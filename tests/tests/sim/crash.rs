//! The crash loop: for each script, cut the power before and after the Nth effect or disk write, for every N;
//! restart, replay, let everything settle, check all invariants.
use payterm_core::Settings;
use payterm_schema::{AccountRecord, Kind, Record, TerminalRecord, paper::PrintResult};
use payterm_tests::sim::fixtures::*;
use payterm_tests::sim::{
    bank::HostFault,
    world::{Order, Script, World},
};

/// Cuts at every point; and again a second time soon after the restart, for `twice` distances.
fn everywhere(name: &str, script: &Script, snapshot_every: u32) {
    everywhere_with(name, settings(), script, snapshot_every);
}
fn everywhere_with(name: &str, mut s: Settings, script: &Script, snapshot_every: u32) {
    s.snapshot_every = snapshot_every;
    let points = World::new(s.clone(), script.clone(), None).run();
    assert!(points > 20, "{name}: only {points} points");
    for n in 1..=points {
        let mut world = World::new(s.clone(), script.clone(), Some(n));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
        assert!(caught.is_ok(), "{name}: cut at point {n} of {points}");
        assert_eq!(world.cuts, 1, "{name}: point {n} was not reached");
    }
    println!("{name}: {points} cuts");
}

#[test]
fn sale_cut_at_every_effect_and_write() {
    for every in [1, 3, 10_000] {
        everywhere("sale", &script([sale("a"), sale("b")], []), every);
    }
}

#[test]
fn sale_with_mishaps_cut_at_every_effect_and_write() {
    for fault in [
        HostFault::Refuse("51"),
        HostFault::LoseReply,
        HostFault::LoseRequest,
        HostFault::LateReply,
        HostFault::LateRequest,
        HostFault::NotSent,
        HostFault::BadMac,
        HostFault::NoMac,
        HostFault::RefuseNoMac("51"),
        HostFault::Refuse("55"),
        HostFault::Refuse("77"),
    ] {
        everywhere(&format!("sale, {fault:?}"), &script([sale("a"), sale("b")], [fault.clone()]), 10_000);
    }
    everywhere(
        "reversal lost too",
        &script([sale("a"), sale("b")], [HostFault::LoseReply, HostFault::LoseReply, HostFault::LoseRequest]),
        10_000,
    );
}

/// The clock is set back by a year while the power is off: what is owed is not waited for until then.
#[test]
fn the_clock_goes_back_while_the_power_is_off() {
    for orders in [vec![sale("a")], vec![scan("a")]] {
        let script = Script {
            skews: vec![-365 * 86_400_000],
            ..script(orders, [HostFault::LoseReply, HostFault::LoseReply, HostFault::LoseReply])
        };
        let points = World::new(settings(), script.clone(), None).run();
        for n in 1..=points {
            World::new(settings(), script.clone(), [n]).run();
        }
    }
}

/// A terminal that signed off stays so until somebody needs it, also when it had been restarted before.
#[test]
fn a_sign_off_holds() {
    let script = script([sale("a"), control("o", Kind::SignOff)], []);
    let points = World::new(settings(), script.clone(), None).run();
    for n in 1..=points {
        let mut w = World::new(settings(), script.clone(), [n]);
        w.run();
        let off = w
            .journal
            .iter()
            .rposition(|e| matches!(e.record, Record::Account(AccountRecord::SignedOut { .. })));
        let booted = w
            .journal
            .iter()
            .rposition(|e| matches!(e.record, Record::Terminal(TerminalRecord::Booted { .. })));
        assert!(off.is_some() || n > 1);
        assert!(
            off < booted || !w.machine.state().ledger(&up()).signed_in,
            "cut at point {n}: signed in again by itself"
        );
    }
}

#[test]
fn code_sale_void_balance_and_control_cut_at_every_effect_and_write() {
    everywhere("code", &script([scan("a"), scan("b")], [HostFault::Refuse("09")]), 10_000);
    everywhere("void", &script([sale("a"), void("v", "a")], []), 10_000);
    everywhere(
        "void lost",
        &script([sale("a"), void("v", "a"), void("w", "a")], [HostFault::Answer, HostFault::LoseReply]),
        10_000,
    );
    everywhere(
        "balance",
        &script([Order { kind: Kind::Balance, amount: None, ..sale("b") }, sale("a")], []),
        10_000,
    );
    everywhere(
        "control",
        &script(
            [control("i", Kind::SignIn), control("e", Kind::Echo), control("o", Kind::SignOff), sale("a")],
            [],
        ),
        10_000,
    );
    let prints =
        vec![PrintResult::NotStarted("no paper".into()), PrintResult::Unconfirmed("line lost".into())];
    everywhere("papers", &Script { prints, ..script([sale("a")], []) }, 10_000);
}

/// Accepted without the host and forwarded, several at a time and one card after the other: exactly once,
/// whenever the power goes.
#[test]
fn offline_sales_cut_at_every_effect_and_write() {
    let down = |orders: Vec<Order>, to| Script { down: vec![(1_500, to)], ..script(orders, []) };
    let two = down(vec![plain("a", 0), plain("b", 0)], 9_000);
    for every in [1, 10_000] {
        everywhere_with("offline", offline_settings(), &two, every);
    }
    let lost = Script {
        faults: [HostFault::Answer, HostFault::Answer]
            .into_iter()
            .chain([HostFault::LoseReply, HostFault::LoseRequest, HostFault::LateReply])
            .collect(),
        ..two
    };
    everywhere_with("offline, advices lost", offline_settings(), &lost, 10_000);
    everywhere_with(
        "offline and in doubt",
        offline_settings(),
        &script([plain("a", 0), plain("b", 0)], [HostFault::LoseReply, HostFault::NotSent]),
        10_000,
    );
}
