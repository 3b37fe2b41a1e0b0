//! The flows of the counter: refund, pre-authorisation, completion, tip, voice sale, partial approval, busy
//! host, wallet queries.
use payterm_core::{Ask, Effect, Input, Machine, Step};
use payterm_schema::{
    Kind, Status,
    card::Interface,
    config::NoCvmConfig,
    host::EntryMode,
    host::MessageKind,
    outcome::{Authority, Forwarding},
    paper::PaperKind,
    record::ObligationState,
};
use payterm_tests::sim::fixtures::*;
use payterm_tests::sim::{
    bank::HostFault,
    world::{Customer, Order, Script, World},
};
use std::sync::Arc;

fn failed(code: &str) -> Vec<(Status, String)> {
    vec![(Status::Failed, code.into())]
}
fn approved() -> Vec<(Status, String)> {
    vec![(Status::Approved, String::new())]
}

#[test]
fn a_refund_in_parts_never_takes_more_than_the_original() {
    let w = run(script(
        [
            sale("a"),
            part(Kind::Refund, "b", "a", 1000),
            part(Kind::Refund, "c", "a", 235),
            on(Kind::Refund, "d", "a"),
            on(Kind::Refund, "e", "a"),
        ],
        [],
    ));
    assert_eq!((told(&w, "b"), told(&w, "c")), (approved(), failed("refund-above-original")));
    assert_eq!(w.outcome("d").sums.amount, Some(234), "without an amount: all that is left");
    assert_eq!(told(&w, "e"), failed("original-refunded"));
    assert_eq!(w.outcome("a").sums.refunded, Some(1234));
    let w = run(script([sale("a"), part(Kind::Refund, "b", "a", 1000), void("v", "a")], []));
    assert_eq!(told(&w, "v"), failed("original-refunded"));
}

#[test]
fn what_a_refused_refund_held_is_free_again() {
    let w = run(script(
        [sale("a"), part(Kind::Refund, "b", "a", 1000), part(Kind::Refund, "c", "a", 1000)],
        [HostFault::Answer, HostFault::Refuse("51")],
    ));
    assert_eq!(told(&w, "b"), [(Status::Declined, "host-51".into())]);
    assert_eq!(told(&w, "c"), approved());
    let w = run(script(
        [sale("a"), part(Kind::Refund, "b", "a", 1000), part(Kind::Refund, "c", "a", 1000)],
        [HostFault::Answer, HostFault::Refuse("77")],
    ));
    assert_eq!(
        (told(&w, "b"), told(&w, "c")),
        (approved(), failed("refund-above-original")),
        "held once though it was sent twice"
    );
}

#[test]
fn a_refund_without_an_answer_is_stuck_and_a_person_settles_it() {
    for fault in [
        HostFault::LoseReply,
        HostFault::LoseRequest,
        HostFault::BadMac,
        HostFault::NoMac,
        HostFault::RefuseNoMac("51"),
        HostFault::Refuse("96"),
    ] {
        let executed =
            !matches!(fault, HostFault::LoseRequest | HostFault::RefuseNoMac(_) | HostFault::Refuse(_));
        let orders =
            [sale("a"), part(Kind::Refund, "b", "a", 1000), part(Kind::Refund, "c", "a", 1000), sale("d")];
        let mut w = World::new(settings(), script(orders.clone(), [HostFault::Answer, fault.clone()]), None);
        w.run();
        let first = told(&w, "b");
        assert_eq!((first.len(), first[0].0), (1, Status::Unknown), "{fault:?}");
        assert_eq!(told(&w, "c"), failed("refund-above-original"), "in doubt counts as taken");
        assert_eq!(told(&w, "d"), approved(), "it holds nobody up");
        assert!(
            matches!(w.machine.obligations().to_vec().as_slice(), [o] if o.state == ObligationState::Stuck)
        );
        assert_eq!(w.queued().filter(|job| job.kind == PaperKind::StuckSlip).count(), 1);
        let w = run(Script { settle: true, ..script(orders, [HostFault::Answer, fault.clone()]) });
        let last = if executed {
            (Status::Approved, String::new())
        } else {
            (Status::Declined, "resolved-not-executed".into())
        };
        assert_eq!(told(&w, "b").last(), Some(&last), "{fault:?}");
        assert!(w.machine.obligations().is_empty());
    }
}

#[test]
fn a_pre_authorisation_is_completed_once_up_to_its_share() {
    let w = run(script(
        [
            new(Kind::PreAuth, "p"),
            part(Kind::Completion, "x", "p", 1420),
            part(Kind::Completion, "c", "p", 1419),
            part(Kind::Completion, "d", "p", 1),
        ],
        [],
    ));
    assert_eq!(told(&w, "x"), failed("completion-above-hold"));
    assert_eq!((told(&w, "c"), told(&w, "d")), (approved(), failed("original-completed")));
    assert!(w.outcome("p").completed);
    assert_eq!(w.machine.state().ledger(&up()).debit_minor, 1419);
    let w = run(script(
        [
            new(Kind::PreAuth, "p"),
            on(Kind::PreAuthCancel, "k", "p"),
            part(Kind::Completion, "c", "p", 100),
            on(Kind::PreAuthCancel, "l", "p"),
        ],
        [],
    ));
    assert_eq!(
        (told(&w, "k"), told(&w, "c"), told(&w, "l")),
        (approved(), failed("original-cancelled"), failed("original-cancelled"))
    );
    // A completion whose answer is lost is reversed, and the hold can be completed again.
    let w = run(script(
        [
            new(Kind::PreAuth, "p"),
            part(Kind::Completion, "c", "p", 100),
            part(Kind::Completion, "d", "p", 200),
        ],
        [HostFault::Answer, HostFault::LoseReply],
    ));
    assert_eq!(told(&w, "c").last(), Some(&(Status::Declined, "reversed".into())));
    assert_eq!(told(&w, "d"), approved());
}

#[test]
fn a_completion_is_cancelled_in_its_batch() {
    for kind in [Kind::Completion, Kind::CompletionAdvice] {
        let w = run(script(
            [
                new(Kind::PreAuth, "p"),
                part(kind, "c", "p", 1000),
                on(Kind::CompletionCancel, "k", "c"),
                on(Kind::CompletionCancel, "l", "c"),
            ],
            [],
        ));
        assert_eq!((told(&w, "k"), told(&w, "l")), (approved(), failed("original-voided")), "{kind:?}");
        assert_eq!(w.sealed.len(), 1, "{kind:?}: the upload of the batch needs its PAN");
    }
}

#[test]
fn advices_are_told_until_they_are_answered() {
    for kind in [Kind::CompletionAdvice, Kind::VoiceSale, Kind::TipAdjust] {
        let first = if kind == Kind::TipAdjust { sale("p") } else { new(Kind::PreAuth, "p") };
        let advice = if kind == Kind::VoiceSale { new(kind, "c") } else { part(kind, "c", "p", 200) };
        for fault in [
            HostFault::LoseReply,
            HostFault::LoseRequest,
            HostFault::NotSent,
            HostFault::BadMac,
            HostFault::NoMac,
            HostFault::RefuseNoMac("51"),
            HostFault::Refuse("96"),
            HostFault::LateReply,
        ] {
            let w = run(script(
                [first.clone(), advice.clone(), sale("z")],
                [HostFault::Answer, fault.clone(), HostFault::LoseReply],
            ));
            let steps: Vec<_> =
                w.told.iter().filter(|o| o.key.id == "c").map(|o| (o.status, o.forwarding.clone())).collect();
            let both = [
                (Status::Approved, Some(Forwarding::Pending)),
                (Status::Approved, Some(Forwarding::Forwarded)),
            ];
            assert_eq!(steps, both, "{kind:?} {fault:?}");
            assert!(w.outcome("z").status.is_final());
            let by = if kind == Kind::VoiceSale { Authority::Voice } else { Authority::Host };
            assert_eq!(w.outcome("c").authority, Some(by));
        }
        let w = run(script([first.clone(), advice.clone()], [HostFault::Answer, HostFault::Refuse("51")]));
        assert_eq!(
            told(&w, "c"),
            [(Status::Declined, "host-51".into())],
            "{kind:?}: refused before anything was told"
        );
        let w = run(script(
            [first, advice],
            [HostFault::Answer, HostFault::LoseRequest, HostFault::Refuse("51")],
        ));
        assert_eq!(w.outcome("c").forwarding, Some(Forwarding::Refused("51".into())), "{kind:?}");
        assert_eq!(
            w.queued().filter(|job| job.kind == PaperKind::StuckSlip).count(),
            1,
            "{kind:?}: a person must look"
        );
    }
}

#[test]
fn a_tip_is_counted_once_in_place_of_the_original() {
    let w = run(script(
        [
            sale("a"),
            part(Kind::TipAdjust, "t", "a", 247),
            part(Kind::TipAdjust, "s", "a", 246),
            part(Kind::TipAdjust, "r", "a", 1),
            void("v", "a"),
        ],
        [],
    ));
    assert_eq!(told(&w, "t"), failed("tip-too-high"));
    let o = w.outcome("s");
    assert_eq!((o.status, o.sums.amount, o.sums.tip), (Status::Approved, Some(1480), Some(246)));
    assert_eq!((told(&w, "r"), told(&w, "v")), (failed("original-adjusted"), failed("original-adjusted")));
    let ledger = w.machine.state().ledger(&up());
    assert_eq!((ledger.debit_count, ledger.debit_minor), (1, 1480));
    // What goes back is sale and tip.
    let w = run(script(
        [
            sale("a"),
            part(Kind::TipAdjust, "t", "a", 200),
            part(Kind::Refund, "x", "a", 1435),
            on(Kind::Refund, "r", "a"),
        ],
        [],
    ));
    assert_eq!(told(&w, "x"), failed("refund-above-original"));
    assert_eq!(w.outcome("r").sums.amount, Some(1434));
    let w = run(script([scan("a"), part(Kind::TipAdjust, "t", "a", 1)], []));
    assert_eq!(told(&w, "t"), failed("tip-card-only"));
}

#[test]
fn a_partial_approval_is_taken_by_the_cashier_or_taken_back() {
    let w = run(script([Order { customer: Customer::TakesPart, ..sale("a") }], [HostFault::Partial]));
    let o = w.outcome("a");
    assert_eq!((o.status, o.sums.amount, o.sums.asked), (Status::Approved, Some(617), Some(1234)));
    let w = run(script([sale("a"), sale("b")], [HostFault::Partial]));
    assert_eq!(told(&w, "a"), [(Status::Declined, "partial-not-taken".into())]);
    assert_eq!(w.outcome("b").status, Status::Approved);
}

#[test]
fn a_busy_host_is_asked_again_with_a_new_stan() {
    let w = run(script([sale("a")], [HostFault::Refuse("91"), HostFault::Refuse("91")]));
    assert_eq!(told(&w, "a"), approved());
    assert_eq!(
        w.transcript("a"),
        ["started", "allowed", "answered", "allowed", "answered", "allowed", "answered", "outcome"]
    );
    let w =
        run(script([sale("a")], [HostFault::Refuse("91"), HostFault::Refuse("91"), HostFault::Refuse("91")]));
    assert_eq!(told(&w, "a"), [(Status::Declined, "host-91".into())], "two further tries");
    // Unsigned, it may be forged: it is not tried again, and taken back.
    let w = run(script([sale("a")], [HostFault::RefuseNoMac("91")]));
    assert_eq!(w.transcript("a").last().map(String::as_str), Some("obligation_ended"));
}

#[test]
fn a_wallet_is_asked_until_its_payer_confirms() {
    let w = run(script([scan("a")], [HostFault::Pending(3)]));
    assert_eq!(told(&w, "a"), approved(), "the customer is told once, when it is known");
    assert_eq!(w.transcript("a").iter().filter(|r| *r == "obligation_queried").count(), 4);
    let w = run(script([scan("a"), sale("b")], [HostFault::Pending(99)]));
    assert_eq!(told(&w, "a"), [(Status::Unknown, "pending".into()), (Status::Declined, "reversed".into())]);
    assert_eq!(w.outcome("b").status, Status::Approved);
    let w = run(script(
        [scan("a")],
        [HostFault::Pending(3), HostFault::NoMac, HostFault::BadMac, HostFault::NotSent],
    ));
    assert_eq!(told(&w, "a"), approved(), "a query that fails is asked again");
    let w = run(script([scan("a")], [HostFault::Pending(3), HostFault::Refuse("51")]));
    assert_eq!(told(&w, "a"), [(Status::Declined, "host-51".into())].to_vec(), "a clear refusal");
}

#[test]
fn a_query_that_speaks_of_another_amount_is_no_word_on_this_payment() {
    let w = run(script([scan("a"), sale("b")], [HostFault::Pending(0), HostFault::Partial]));
    assert_eq!(told(&w, "a"), [(Status::Unknown, "pending".into()), (Status::Declined, "reversed".into())]);
    assert_eq!(w.outcome("b").status, Status::Approved);
}

/// Only a payment waits for its payer. What else a wallet answers with 09 may have been executed.
#[test]
fn an_undecided_undo_of_a_wallet_is_no_refusal() {
    // For longer than it is tried again.
    let undecided = |of: Order| {
        run(script([scan("a"), of], [vec![HostFault::Answer], vec![HostFault::Refuse("09"); 4]].concat()))
    };
    let w = undecided(part(Kind::Refund, "b", "a", 400));
    assert_eq!(told(&w, "b")[0].0, Status::Unknown);
    assert!(matches!(w.machine.obligations().to_vec().as_slice(), [o] if o.state == ObligationState::Stuck));
    assert_eq!(w.outcome("a").sums.refunded, Some(400), "in doubt counts as taken");
    let w = undecided(void("b", "a"));
    assert_eq!(told(&w, "b"), [(Status::Unknown, "pending".into()), (Status::Declined, "reversed".into())]);
}

#[test]
fn a_completion_that_is_cancelled_gives_its_hold_free() {
    let orders = [
        new(Kind::PreAuth, "p"),
        part(Kind::Completion, "c", "p", 500),
        on(Kind::CompletionCancel, "k", "c"),
        on(Kind::PreAuthCancel, "l", "p"),
    ];
    let w = run(script(orders, []));
    assert_eq!(told(&w, "l"), approved());
    assert!(!w.outcome("p").completed && w.outcome("p").voided);
}

#[test]
fn nothing_is_done_to_what_is_in_doubt() {
    // The void's reversal is never answered: Stuck.
    let lost = vec![HostFault::LoseReply; 5];
    let orders =
        [sale("a"), void("v", "a"), void("x", "a"), void("y", "a"), part(Kind::Refund, "r", "a", 100)];
    let w = run(script(orders, [vec![HostFault::Answer], lost].concat()));
    assert!(matches!(w.machine.obligations().to_vec().as_slice(), [o] if o.state == ObligationState::Stuck));
    assert_eq!(told(&w, "r"), failed("original-in-doubt"));
}

#[test]
fn an_advice_is_refunded_when_it_has_been_forwarded() {
    let orders =
        [new(Kind::VoiceSale, "a"), part(Kind::Refund, "r", "a", 100), part(Kind::Refund, "s", "a", 100)];
    let w = run(script(orders, [HostFault::NotSent, HostFault::NotSent]));
    assert_eq!(told(&w, "r"), failed("original-not-forwarded"));
    let o = w.outcome("a");
    assert_eq!(
        (o.forwarding, o.host_date.is_some(), o.rrn.is_some()),
        (Some(Forwarding::Forwarded), true, true)
    );
}

/// A sign-in that does not come must not keep a customer waiting for the wallet for ever.
#[test]
fn the_wallets_time_ends_signed_in_or_not() {
    let mut s = settings();
    s.accounts[0].config.auto_sign_in = false;
    Arc::make_mut(&mut s.accounts[0].rules).sign_in = true;
    let mut w = World::new(
        s,
        Script {
            settle: false,
            ..script(
                [control("i", Kind::SignIn), scan("a")],
                [HostFault::Answer, HostFault::Pending(99), HostFault::Refuse("77")],
            )
        },
        None,
    );
    w.run_for(300_000);
    assert_eq!(
        told(&w, "a"),
        [(Status::Unknown, "pending".into())],
        "its reversal waits for a person's sign-in"
    );
}

/// Cut at every point: what was pending is asked on after the restart, paid or reversed, never both.
#[test]
fn a_pending_wallet_survives_every_cut() {
    for queries in [1, 99] {
        let orders = [scan("a"), sale("b")];
        let mut w = World::new(settings(), script(orders.clone(), [HostFault::Pending(queries)]), None);
        let points = w.run();
        for cut in 1..=points {
            let mut w =
                World::new(settings(), script(orders.clone(), [HostFault::Pending(queries)]), Some(cut));
            w.run();
        }
    }
}

/// The power is cut at every point of every flow; the checkers see to the rest.
#[test]
fn every_flow_survives_every_cut() {
    let flows: Vec<(&str, Vec<Order>, Vec<HostFault>)> = vec![
        ("refund", vec![sale("a"), part(Kind::Refund, "b", "a", 700), on(Kind::Refund, "c", "a")], vec![]),
        (
            "refund in doubt",
            vec![sale("a"), part(Kind::Refund, "b", "a", 700), on(Kind::Refund, "c", "a")],
            vec![HostFault::Answer, HostFault::LoseReply],
        ),
        (
            "completion",
            vec![
                new(Kind::PreAuth, "p"),
                part(Kind::Completion, "c", "p", 900),
                on(Kind::CompletionCancel, "k", "c"),
            ],
            vec![],
        ),
        (
            "completion lost",
            vec![new(Kind::PreAuth, "p"), part(Kind::Completion, "c", "p", 900), sale("z")],
            vec![HostFault::Answer, HostFault::LoseReply],
        ),
        (
            "advice",
            vec![new(Kind::PreAuth, "p"), part(Kind::CompletionAdvice, "c", "p", 900), sale("z")],
            vec![HostFault::Answer, HostFault::LoseReply],
        ),
        (
            "advice refused",
            vec![new(Kind::PreAuth, "p"), part(Kind::CompletionAdvice, "c", "p", 900)],
            vec![HostFault::Answer, HostFault::NotSent, HostFault::Refuse("51")],
        ),
        (
            "cancel",
            vec![new(Kind::PreAuth, "p"), on(Kind::PreAuthCancel, "c", "p")],
            vec![HostFault::Answer, HostFault::LoseReply],
        ),
        (
            "tip",
            vec![sale("a"), part(Kind::TipAdjust, "t", "a", 100), sale("z")],
            vec![HostFault::Answer, HostFault::LoseReply],
        ),
        ("voice", vec![new(Kind::VoiceSale, "a"), sale("z")], vec![HostFault::NotSent]),
        (
            "provisional",
            vec![Order { customer: Customer::TakesPart, ..sale("a") }, sale("z")],
            vec![HostFault::Partial],
        ),
        ("busy", vec![sale("a"), sale("z")], vec![HostFault::Refuse("91")]),
    ];
    for (name, orders, faults) in flows {
        let go = |cut: Option<usize>| {
            let mut w = World::new(
                settings(),
                Script { settle: true, ..script(orders.clone(), faults.clone()) },
                cut,
            );
            w.run()
        };
        let points = go(None);
        for cut in 1..=points {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| go(Some(cut))));
            assert!(result.is_ok(), "{name}: cut at {cut} of {points}");
        }
    }
}

fn machine(change: impl FnOnce(&mut payterm_core::Settings)) -> Machine {
    let mut s = settings();
    change(&mut s);
    let mut m = Machine::replay(s, None, []).expect("an empty journal");
    m.boot(payterm_tests::sim::world::at_epoch(), "test", &[up()]);
    m.handle(
        Input::Devices {
            modes: vec![EntryMode::Swipe, EntryMode::Chip, EntryMode::Code],
            pin_pad: true,
            printer: true,
        },
        payterm_tests::sim::world::at_epoch(),
    );
    m
}
fn start(m: &mut Machine, minor: u64) -> Step {
    let wire = payterm_schema::request::RequestWire {
        id: "a".into(),
        kind: "sale".into(),
        amount: Some(format!("{}.{:02}", minor / 100, minor % 100)),
        currency: Some("CNY".into()),
        ..Default::default()
    };
    let request = Box::new(payterm_schema::Request::try_from(wire).expect("request"));
    m.handle(
        Input::Start { call: 1, key: payterm_tests::sim::world::key("a"), request },
        payterm_tests::sim::world::at_epoch(),
    )
}
fn swipe(m: &mut Machine, track2: &str) -> Step {
    let tracks = payterm_schema::Tracks { track1: None, track2: Some(track2.into()), track3: None };
    m.handle(
        Input::Instrument { instrument: payterm_schema::Instrument::Swiped(tracks), card: None },
        payterm_tests::sim::world::at_epoch(),
    )
}
fn problem(step: &Step) -> Option<String> {
    step.asks.iter().find_map(|a| {
        if let Ask::Show(payterm_schema::Screen::Present { problem, .. }, _) = a {
            problem.clone()
        } else {
            None
        }
    })
}
fn reason(step: &Step) -> Option<String> {
    step.effects.iter().find_map(|e| {
        if let Effect::Tell(n) = e
            && let payterm_schema::Notice::Outcome { outcome } = &**n
        {
            outcome.reason.as_ref().map(|r| r.code.clone())
        } else {
            None
        }
    })
}

#[test]
fn a_chip_card_is_asked_for_its_chip_where_chips_can_be_read() {
    let mut m = machine(|s| s.chip = vec![Interface::Contact]);
    start(&mut m, 100);
    assert_eq!(
        problem(&swipe(&mut m, "6225768317945678=30122010000012300000")).as_deref(),
        Some("insert-chip")
    );
    let mut m = machine(|s| s.chip = Vec::new());
    start(&mut m, 100);
    assert_eq!(problem(&swipe(&mut m, "6225768317945678=30122010000012300000")), None);
    let mut m = machine(|s| s.chip = vec![Interface::Contact]);
    start(&mut m, 100);
    assert_eq!(
        problem(&swipe(&mut m, "6225768317945678=30121010000012300000")),
        None,
        "service code 101 has no chip"
    );
}

#[test]
fn refused_ranges_and_large_amounts() {
    let mut m = machine(|s| s.flow.refused_bins = vec!["622570-622579".parse().unwrap()]);
    start(&mut m, 100);
    assert_eq!(
        reason(&swipe(&mut m, "6225768317945678=30121010000012300000")).as_deref(),
        Some("card-refused")
    );
    let mut m = machine(|s| s.flow.confirm_above = Some(cny(10_000)));
    let asked = |s: &Step| {
        s.effects.iter().any(|e| matches!(e, Effect::Show(payterm_schema::Screen::Confirm { .. }, _)))
    };
    assert!(!asked(&start(&mut m, 10_000)));
    let mut m = machine(|s| s.flow.confirm_above = Some(cny(10_000)));
    assert!(asked(&start(&mut m, 10_001)));
    let mut m = machine(|s| s.flow.confirm_above = Some(yen(10_000)));
    assert!(asked(&start(&mut m, 1)), "a currency that is not named has the limit zero");
}

#[test]
fn small_amounts_need_no_pin_where_the_shop_says_so() {
    let rule = |limit| {
        Some(NoCvmConfig {
            limit,
            bins: vec!["622576-622576".parse().unwrap()],
            modes: vec![EntryMode::Swipe],
        })
    };
    let pin = |m: &Machine| m.phase() == payterm_schema::Phase::PinEntry;
    for (limit, minor, track, asks) in [
        (cny(1000), 1000, "6225768317945678=30121010000012300000", false),
        (cny(1000), 1001, "6225768317945678=30121010000012300000", true),
        (cny(1000), 1000, "4096669462738765=30121010000012300000", true),
        (yen(1000), 1, "6225768317945678=30121010000012300000", true),
    ] {
        let mut m = machine(|s| {
            s.flow.no_cvm = rule(limit);
            Arc::make_mut(&mut s.accounts[0].rules).sign_in = false;
        });
        start(&mut m, minor);
        let step = swipe(&mut m, track);
        assert_eq!(pin(&m), asks, "{minor} {track}");
        if !asks {
            let sent = step.effects.iter().find_map(|e| {
                if let Effect::Send(m) = e { Some((m.message_kind, m.plan.pin)) } else { None }
            });
            assert_eq!(sent, Some((MessageKind::Request, false)));
            assert_eq!(m.running().and_then(|(_, o)| o.no_cvm), Some(1000));
        }
    }
}

#[test]
fn a_key_narrows_what_is_offered() {
    let mut m = machine(|_| ());
    start(&mut m, 100);
    let modes = |asks: Vec<Ask>| {
        asks.into_iter().find_map(|a| if let Ask::Offer { modes, .. } = a { Some(modes) } else { None })
    };
    let mut press = |d| {
        modes(
            m.handle(
                Input::Key(payterm_schema::device::Key::Digit(d)),
                payterm_tests::sim::world::at_epoch(),
            )
            .asks,
        )
    };
    assert_eq!(press(b'1'), Some(vec![EntryMode::Swipe, EntryMode::Chip]));
    assert_eq!(press(b'2'), Some(vec![EntryMode::Code]));
    assert_eq!(press(b'2'), None);
    assert_eq!(press(b'0'), Some(vec![EntryMode::Swipe, EntryMode::Chip, EntryMode::Code]));
}
