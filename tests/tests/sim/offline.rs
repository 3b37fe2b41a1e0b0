//! Payments without the host: who may, by which rule, what is told, and how the queue goes out.
use payterm_core::{Effect, Input, Machine, Settings};
use payterm_schema::{
    Fault, Kind, Record, RequestRecord, Status, Time,
    card::Interface,
    config::OfflineLimits,
    host::MessageKind,
    offline::{Judgement, OfflineAnswer, OfflineAuthority, OfflineRule, QueueAct},
    outcome::{Authority, Forwarding},
    record::ObligationState,
    settlement::{Settlement, UnpaidLine},
};
use payterm_tests::sim::fixtures::*;
use payterm_tests::sim::{
    bank::HostFault,
    world::{Customer, Order, Script, World, at_epoch},
};

fn with(policy: OfflineLimits, script: Script) -> World {
    let mut s = offline_settings();
    s.accounts[0].config.offline.merchant = Some(policy);
    let mut w = World::new(s, script, None);
    w.run();
    w
}
fn policy() -> OfflineLimits {
    OfflineLimits::default()
}
fn denied(w: &World) -> Vec<OfflineRule> {
    w.journal
        .iter()
        .filter_map(|e| {
            if let Record::Request(RequestRecord::OfflineDenied { judgement, .. }) = &e.record {
                Some(judgement.by.rule)
            } else {
                None
            }
        })
        .collect()
}
fn allowed(w: &World) -> Vec<Judgement> {
    w.journal
        .iter()
        .filter_map(|e| {
            if let Record::Request(RequestRecord::OfflineAllowed { judgement, .. }) = &e.record {
                Some(*judgement)
            } else {
                None
            }
        })
        .collect()
}

#[test]
fn what_could_not_leave_is_accepted_and_told_later() {
    let w = with(policy(), script([plain("a", 0)], [HostFault::NotSent]));
    assert_eq!(
        w.transcript("a"),
        [
            "started",
            "allowed",
            "not_sent",
            "offline_allowed",
            "outcome",
            "obligation_tried",
            "outcome",
            "obligation_ended"
        ]
    );
    let both: Vec<_> =
        w.told.iter().map(|o| (o.status, o.authority, o.offline_authority, o.forwarding.clone())).collect();
    let told = |f| (Status::Approved, Some(Authority::Merchant), Some(OfflineAuthority::Merchant), Some(f));
    assert_eq!(both, [told(Forwarding::Pending), told(Forwarding::Forwarded)]);
    let j = allowed(&w)[0];
    assert_eq!(
        (j.allowed, j.by.rule, j.by.limit, j.by.now, j.exposure.count),
        (true, OfflineRule::CardCount, Some(3), Some(1), 0)
    );
    assert_eq!(w.machine.state().ledger(&up()).debit_minor, 1234);
    assert_eq!(
        w.machine.obligations().exposure(&up(), OfflineAuthority::Merchant).count,
        0,
        "it is the acquirer's now"
    );
}

#[test]
fn what_may_have_left_is_never_accepted_offline() {
    for fault in [
        HostFault::LoseRequest,
        HostFault::LoseReply,
        HostFault::LateReply,
        HostFault::BadMac,
        HostFault::Refuse("91"),
        HostFault::Refuse("51"),
    ] {
        let w = with(policy(), script([plain("a", 0)], [fault.clone()]));
        assert!(allowed(&w).is_empty() && denied(&w).is_empty(), "{fault:?}");
    }
    // Asked again after a refusal, and then not sent: the line was there a moment ago, the host has said no.
    let w = with(policy(), script([plain("a", 0)], [HostFault::Refuse("91"), HostFault::NotSent]));
    assert!(allowed(&w).is_empty());
}

#[test]
fn each_rule_is_named() {
    let refuse = |policy: OfflineLimits, orders: Vec<Order>, rule| {
        let n = orders.len();
        let w = with(policy, Script { down: vec![(1_500, 20_000)], ..script(orders, []) });
        assert_eq!(
            denied(&w).last(),
            Some(&rule),
            "{:?}",
            w.journal.iter().map(|e| &e.record).collect::<Vec<_>>()
        );
        assert_eq!(w.told.iter().filter(|o| o.status == Status::Failed).count(), 1);
        assert_eq!(allowed(&w).len(), n - 1);
        let shown = w
            .told
            .iter()
            .find(|o| o.status == Status::Failed)
            .and_then(|o| o.offline)
            .map(|j| (j.allowed, j.by.rule));
        assert_eq!(shown, Some((false, rule)), "the app is told the rule");
    };
    refuse(policy(), vec![sale("a")], OfflineRule::Chip);
    refuse(
        OfflineLimits { per_transaction: Some(cny(1233)), ..policy() },
        vec![plain("a", 0)],
        OfflineRule::Transaction,
    );
    refuse(
        OfflineLimits { per_card_count: 1, ..policy() },
        vec![plain("a", 0), plain("b", 0)],
        OfflineRule::CardCount,
    );
    refuse(
        OfflineLimits { per_card: Some(cny(2467)), ..policy() },
        vec![plain("a", 0), plain("b", 0)],
        OfflineRule::CardSum,
    );
    refuse(
        OfflineLimits { total_count: 1, ..policy() },
        vec![plain("a", 0), plain("b", 1)],
        OfflineRule::TotalCount,
    );
    refuse(
        OfflineLimits { total: Some(cny(2467)), ..policy() },
        vec![plain("a", 0), plain("b", 1)],
        OfflineRule::TotalSum,
    );
    refuse(
        OfflineLimits { bins: vec!["40-49".parse().unwrap()], ..policy() },
        vec![plain("a", 0)],
        OfflineRule::Listed,
    );
    refuse(
        OfflineLimits { refused_bins: vec!["622500-622599".parse().unwrap()], ..policy() },
        vec![plain("a", 0)],
        OfflineRule::Refused,
    );
    // The limit is of what is at risk: once forwarded, the next one is accepted.
    let w = with(
        OfflineLimits { per_card_count: 1, ..policy() },
        script([plain("a", 0), plain("b", 0)], [HostFault::NotSent, HostFault::Answer, HostFault::NotSent]),
    );
    assert_eq!(allowed(&w).len(), 2);
    // A currency that is not named has the limit zero.
    for (policy, rule) in [
        (OfflineLimits { per_transaction: Some(yen(9_999)), ..policy() }, OfflineRule::Transaction),
        (OfflineLimits { per_card: Some(yen(9_999)), ..policy() }, OfflineRule::CardSum),
        (OfflineLimits { total: Some(yen(9_999)), ..policy() }, OfflineRule::TotalSum),
    ] {
        refuse(policy, vec![plain("a", 0)], rule);
    }
}

#[test]
fn pin_codes_other_kinds_and_no_policy_are_never_accepted() {
    let run = |s: payterm_core::Settings, order: Order| {
        let mut w = World::new(s, script([order], [HostFault::NotSent]), None);
        w.run();
        w
    };
    let mut pin = offline_settings();
    std::sync::Arc::make_mut(&mut pin.accounts[0].rules).no_pin.clear();
    assert_eq!(denied(&run(pin.clone(), plain("a", 0))), [OfflineRule::Pin]);
    // A customer who confirms without a PIN was asked for one.
    pin.flow.pin_bypass = true;
    let mut w = World::new(
        pin,
        script([Order { customer: Customer::SwipesPlain(0), ..sale("a") }], [HostFault::NotSent]),
        None,
    );
    w.run();
    assert_eq!(denied(&w), [OfflineRule::Pin]);
    for order in [
        scan("a"),
        Order { customer: Customer::SwipesPlain(0), ..new(Kind::PreAuth, "a") },
        Order { amount: None, ..new(Kind::Balance, "a") },
    ] {
        let kind = order.kind;
        assert!(allowed(&run(offline_settings(), order)).is_empty(), "{kind:?}");
    }
    let mut off = offline_settings();
    off.accounts[0].config.offline.merchant = None;
    let w = run(off, plain("a", 0));
    assert!(allowed(&w).is_empty() && denied(&w).is_empty());
    let mut none = offline_settings();
    std::sync::Arc::make_mut(&mut none.accounts[0].rules).offline_authorities.clear();
    assert_eq!(denied(&run(none, plain("a", 0))), [OfflineRule::Profile]);
}

#[test]
fn never_while_a_payment_of_that_card_is_in_doubt() {
    // The reversal of `a` cannot leave: its card is not taken, another one is.
    let line = Script {
        down: vec![(40_000, 400_000)],
        ..script([plain("a", 0), plain("b", 0), plain("c", 1)], [HostFault::LoseReply])
    };
    let w = with(policy(), line);
    assert_eq!(denied(&w), [OfflineRule::Reversal]);
    assert_eq!(w.outcome("b").status, Status::Failed);
    assert_eq!(
        (w.outcome("c").authority, w.outcome("c").forwarding),
        (Some(Authority::Merchant), Some(Forwarding::Forwarded))
    );
    assert_eq!(w.outcome("a").status, Status::Declined);
}

#[test]
fn contact_and_clock() {
    let w = with(policy(), script([plain("a", 0)], []));
    let hours = |h: i64| Time(w.now.0 + h * 3_600_000);
    let ask = |now: Time, state: &payterm_core::State| {
        payterm_core::offline::beforehand(&w.settings, &w.settings.accounts[0], state, None, now, 1_000)
            .first()
            .map(|a| (a.judgement.allowed, a.judgement.by.rule))
    };
    let state = w.machine.state();
    assert_eq!(ask(hours(1), state), Some((true, OfflineRule::Transaction)));
    assert_eq!(ask(hours(25), state), Some((false, OfflineRule::Contact)));
    assert_eq!(
        ask(hours(-9), state),
        Some((false, OfflineRule::Contact)),
        "heard in the future: which clock is right?"
    );
    let never = payterm_core::State::default();
    assert_eq!(
        ask(hours(1), &never),
        Some((false, OfflineRule::Contact)),
        "a terminal that never spoke with its host"
    );
    // Set back over a restart.
    let mut m = Machine::replay(w.settings.clone(), None, w.journal.clone()).expect("replay");
    m.boot(Time(w.now.0 - 3_600_000), "test", &[up()]);
    assert_eq!(ask(hours(0), m.state()), Some((false, OfflineRule::Clock)));
}

#[test]
fn each_authority_says_beforehand_what_closes_it() {
    let w = with(policy(), script([plain("a", 0)], []));
    let ask = |change: &dyn Fn(&mut Settings)| {
        let mut settings = w.settings.clone();
        change(&mut settings);
        let (account, state) = (&settings.accounts[0], w.machine.state());
        let all = payterm_core::offline::beforehand(&settings, account, state, None, w.now, 1_000);
        let told =
            |a: &OfflineAnswer| (a.judgement.offline_authority, a.judgement.allowed, a.judgement.by.rule);
        all.iter().map(told).collect::<Vec<_>>()
    };
    let (merchant, card) = (OfflineAuthority::Merchant, OfflineAuthority::Card);
    let unable = OfflineAuthority::CardUnableOnline;
    let swiped = (merchant, true, OfflineRule::Transaction);
    let off = OfflineRule::Off;
    assert_eq!(ask(&|_| ()), [swiped, (card, false, off), (unable, false, off)]);
    let tables = |s: &mut Settings, chip: &[Interface], least: u64| {
        let limits = OfflineLimits { per_transaction: Some(cny(999 + least)), ..policy() };
        s.accounts[0].config.offline.card = Some(limits.clone());
        s.accounts[0].config.offline.card_unable_online = Some(limits);
        s.chip = chip.to_vec();
    };
    let closed = |rule| [swiped, (card, false, rule), (unable, false, rule)];
    assert_eq!(ask(&|s| tables(s, &[], 1)), closed(OfflineRule::Instrument), "no reader runs chips");
    let contact = [Interface::Contact];
    assert_eq!(ask(&|s| tables(s, &contact, 0)), closed(OfflineRule::Transaction));
    let open = [swiped, (card, true, OfflineRule::Transaction), (unable, true, OfflineRule::Transaction)];
    assert_eq!(ask(&|s| tables(s, &contact, 1)), open);
    let taps = ask(&|s| tables(s, &[Interface::Contactless], 1));
    assert_eq!(taps, [open[0], open[1], (unable, false, OfflineRule::Instrument)], "a tap has spoken");
}

#[test]
fn a_refusal_on_forwarding_is_told_and_leaves_the_totals() {
    let w = with(policy(), script([plain("a", 0)], [HostFault::NotSent, HostFault::Refuse("51")]));
    assert_eq!(w.outcome("a").forwarding, Some(Forwarding::Refused("51".into())));
    assert_eq!(w.machine.state().ledger(&up()).debit_minor, 0);
    assert_eq!(w.machine.obligations().exposure(&up(), OfflineAuthority::Merchant).count, 0);
    assert_eq!(
        w.queued().filter(|job| job.kind == payterm_schema::paper::PaperKind::StuckSlip).count(),
        1,
        "a person must look"
    );
}

/// What the acquirer refused is on the report of the next settlement, once; what it took is not.
#[test]
fn a_refusal_on_forwarding_is_listed_on_the_settlement() {
    let settle = |id| control(id, Kind::Settlement);
    let orders = || vec![plain("a", 0), sale("b"), settle("z"), sale("c"), settle("y")];
    let unpaid = |w: &World, id: &str| w.outcome(id).settlement.map(|s| s.unpaid).unwrap_or_default();
    let w = with(policy(), script(orders(), [HostFault::NotSent, HostFault::Refuse("51")]));
    let a = w.outcome("a");
    let line = UnpaidLine {
        txn: a.txn,
        kind: Kind::Sale,
        batch: a.batch,
        stan: a.stan,
        masked_pan: a.masked_pan,
        minor: a.sums.amount,
        forwarding: Forwarding::Refused("51".into()),
    };
    assert!(line.minor.is_some() && line.masked_pan.is_some());
    assert_eq!((unpaid(&w, "z"), unpaid(&w, "y")), (vec![line.clone()], vec![]));
    let w = with(policy(), script(orders(), [HostFault::NotSent]));
    assert_eq!((w.outcome("a").forwarding, unpaid(&w, "z")), (Some(Forwarding::Forwarded), vec![]));
}

/// A wave of refusals does not make the report, or the state, grow: the rest is a number.
#[test]
fn more_refusals_than_a_report_has_room_for_are_counted() {
    let n = Settlement::ROWS + 3;
    let faults = vec![HostFault::Refuse("51"); 10 * n];
    let mut w = World::new(
        offline_settings(),
        Script { down: vec![(1_500, n as i64 * 4_000)], ..script(many(n), faults) },
        None,
    );
    w.run();
    assert_eq!(allowed(&w).len(), n);
    let ledger = w.machine.state().ledger(&up());
    assert_eq!((ledger.unpaid.len(), ledger.unpaid_more, ledger.debit_count), (Settlement::ROWS, 3, 0));
}

/// `n` payments of two cards while the line is down for the first hours.
fn many(n: usize) -> Vec<Order> {
    (0..n).map(|i| plain(Box::leak(format!("o{i:03}").into_boxed_str()), u8::from(i % 3 == 0))).collect()
}

#[test]
fn one_that_is_never_accepted_holds_up_nobody() {
    let n = 30;
    let mut s = offline_settings();
    std::sync::Arc::make_mut(&mut s.accounts[0].rules).advices_in_flight = 8;
    let mut w = World::new(
        s,
        Script { down: vec![(1_500, n as i64 * 4_000)], never: Some(15), ..script(many(n), []) },
        None,
    );
    w.run();
    assert_eq!(allowed(&w).len(), n);
    let stuck: Vec<_> = w.machine.obligations().iter().map(|o| (o.txn, o.state)).collect();
    assert_eq!(stuck, [(15, ObligationState::Stuck)]);
    let forwarded = payterm_tests::sim::checks::outcomes(&w.journal)
        .into_values()
        .filter(|o| o.forwarding == Some(Forwarding::Forwarded))
        .count();
    assert_eq!(forwarded, n - 1);
    assert_eq!(
        w.machine.obligations().exposure(&up(), OfflineAuthority::Merchant).count,
        1,
        "what is Stuck is at risk"
    );
}

#[test]
fn several_are_under_way_but_one_of_a_card_and_a_customer_goes_first() {
    let mut s = offline_settings();
    std::sync::Arc::make_mut(&mut s.accounts[0].rules).advices_in_flight = 2;
    let mut w = World::new(s, Script { down: vec![(1_500, i64::MAX)], ..script(many(6), []) }, None);
    w.run_for(40_000);
    assert_eq!(w.machine.obligations().len(), 6);
    let mut m = Machine::replay(w.settings.clone(), None, w.journal.clone()).expect("replay");
    let booted = m.boot(w.clock(), "test", &[up()]);
    let step =
        m.handle(Input::Queue { call: 1, act: QueueAct::Forward { txn: None }, by: "x".into() }, w.clock());
    let sent = |effects: &[Effect]| {
        effects
            .iter()
            .filter(|e| matches!(e, Effect::Send(m) if m.message_kind == MessageKind::Repeat))
            .count()
    };
    assert_eq!(sent(&booted.effects) + sent(&step.effects), 2, "two cards, two places");
    let fields = m.obligations().iter().filter(|o| o.tries > 0).map(|o| o.txn).collect::<Vec<_>>();
    assert_eq!(fields, [1, 2], "the first of each card");
}

#[test]
fn hold_release_and_write_off() {
    let mut s = offline_settings();
    std::sync::Arc::make_mut(&mut s.accounts[0].rules).advices_in_flight = 1;
    let mut w = World::new(
        s,
        Script { down: vec![(1_500, 20_000)], ..script([plain("a", 0), plain("b", 0)], []) },
        None,
    );
    w.run_for(16_000);
    let mut m = Machine::replay(w.settings.clone(), None, w.journal.clone()).expect("replay");
    m.boot(w.clock(), "test", &[up()]);
    let mut now = w.clock();
    let act = |m: &mut Machine, now: Time, act: QueueAct| {
        let step = m.handle(Input::Queue { call: 7, act, by: "boss".into() }, now);
        step.effects
            .iter()
            .find_map(
                |e| if let Effect::Answer { call: 7, result } = e { Some(result.clone()) } else { None },
            )
            .expect("answered")
    };
    let under_way = m.obligations().iter().find(|o| o.tries > 0).map(|o| o.txn);
    if let Some(txn) = under_way {
        let refused = act(&mut m, now, QueueAct::WriteOff { txn, why: "lost".into() });
        assert!(matches!(refused, Err(Fault::WrongState { .. })), "it is under way: {refused:?}");
    }
    let idle = m.obligations().iter().find(|o| Some(o.txn) != under_way).map(|o| o.txn).expect("one waits");
    assert!(act(&mut m, now, QueueAct::Hold { txn: idle }).is_ok());
    // Each of these is in the list: the answer says what is wrong with it.
    let rule = |result: Result<(), Fault>| {
        if let Err(Fault::WrongState { rule }) = result { rule } else { format!("{result:?}") }
    };
    assert_eq!(rule(act(&mut m, now, QueueAct::Hold { txn: idle })), "it is held already");
    assert_eq!(rule(act(&mut m, now, QueueAct::Forward { txn: Some(idle) })), "it is held: release it first");
    let step = m.handle(Input::RetryObligation { call: 8, txn: idle, by: "boss".into() }, now);
    let answer = step
        .effects
        .iter()
        .find_map(|e| if let Effect::Answer { call: 8, result } = e { Some(result.clone()) } else { None });
    assert_eq!(rule(answer.expect("answered")), "it is not stuck: forward has it tried now");
    let (reference, by) = ("case 1".to_owned(), "boss".to_owned());
    let step =
        m.handle(Input::Resolve { call: 9, txn: idle, executed: true, stan: None, reference, by }, now);
    let answer = step
        .effects
        .iter()
        .find_map(|e| if let Effect::Answer { call: 9, result } = e { Some(result.clone()) } else { None });
    assert_eq!(rule(answer.expect("answered")), "it is not stuck: it ends by itself");
    if let Some(txn) = under_way {
        assert_eq!(rule(act(&mut m, now, QueueAct::Release { txn })), "it is not held");
    }
    assert!(matches!(act(&mut m, now, QueueAct::Hold { txn: 99 }), Err(Fault::NotFound { .. })));
    let refused = act(&mut m, now, QueueAct::WriteOff { txn: idle, why: String::new() });
    assert!(matches!(&refused, Err(Fault::Invalid { field, .. }) if field == "why"), "{refused:?}");
    let exposure = m.obligations().exposure(&up(), OfflineAuthority::Merchant).count;
    let debit = m.state().ledger(&up()).debit_minor;
    now = Time(now.0 + 1_000);
    assert!(act(&mut m, now, QueueAct::Release { txn: idle }).is_ok());
    if m.obligations().of(idle).next().is_some_and(|o| o.tries == 0) {
        assert!(
            act(&mut m, now, QueueAct::WriteOff { txn: idle, why: "the till was stolen".into() }).is_ok()
        );
        assert_eq!(m.obligations().exposure(&up(), OfflineAuthority::Merchant).count, exposure - 1);
        assert_eq!(m.state().ledger(&up()).debit_minor, debit - 1234);
        assert!(m.obligations().of(idle).next().is_none());
        let listed: Vec<_> = m
            .state()
            .ledger(&up())
            .unpaid
            .iter()
            .map(|l| (l.txn, matches!(l.forwarding, Forwarding::WrittenOff { .. })))
            .collect();
        assert_eq!(listed, [(idle, true)], "on the next settlement's report");
    }
    assert!(at_epoch() < now);
}
