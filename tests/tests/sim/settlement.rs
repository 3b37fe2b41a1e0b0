//! Settlement on the simulated bank: the verdicts, lost answers, power cuts at every effect and write, and
//! what must not happen meanwhile. The bank's books prove that each record was uploaded once.
mod by_itself;
mod certificates;

use payterm_core::{By, Effect, Input, Machine};

use payterm_schema::{
    Authority, Kind, Notice, Record, RequestRecord, Screen, SettlementRecord, Status,
    config::{AccountConfig, OfflineLimits},
    paper::PaperKind,
    settlement::{BatchPart, Half, Settlement, Verdict},
    time::Millis,
};

use payterm_tests::sim::fixtures::*;

use payterm_tests::sim::{
    bank::HostFault,
    rng::Rng,
    world::{Customer, Order, Script, Scripted, World, at_epoch},
};

fn settle(id: &'static str) -> Order {
    control(id, Kind::Settlement)
}

fn visa(id: &'static str) -> Order {
    Order { customer: Customer::SwipesOther, ..sale(id) }
}

/// A batch with a record of every kind, of both halves.
fn full_batch() -> Vec<Order> {
    vec![
        sale("a"),
        sale("b"),
        void("c", "b"),
        visa("d"),
        scan("e"),
        part(Kind::Refund, "f", "a", 100),
        sale("g"),
        part(Kind::TipAdjust, "h", "g", 200),
        new(Kind::VoiceSale, "i"),
        new(Kind::PreAuth, "j"),
        part(Kind::Completion, "k", "j", 900),
        Order { customer: Customer::SwipesOther, ..new(Kind::PreAuth, "l") },
        Order { customer: Customer::SwipesOther, ..part(Kind::CompletionAdvice, "m", "l", 800) },
        new(Kind::PreAuth, "n"),
        part(Kind::Completion, "o", "n", 700),
        on(Kind::CompletionCancel, "p", "o"),
    ]
}

/// Script of a settlement: what comes before its totals is answered, the faults are those of its own
/// messages.
fn of_settlement(orders: Vec<Order>, faults: impl IntoIterator<Item = HostFault>) -> Script {
    let before = orders.len();
    let all = vec![HostFault::Answer; before].into_iter().chain(faults).collect::<Vec<_>>();
    let orders: Vec<Order> = orders.into_iter().chain([settle("z"), sale("y")]).collect();
    Script { settle: true, ..script(orders, all) }
}

fn settlement(w: &World, id: &str) -> Settlement {
    w.outcome(id)
        .settlement
        .map(|s| *s)
        .unwrap_or_else(|| panic!("{id} has no settlement: {:?}", told(w, id)))
}

fn reports(w: &World) -> usize {
    w.queued().filter(|job| job.kind == PaperKind::SettlementReport).count()
}

#[test]
fn a_batch_that_balances_is_closed_and_the_next_one_opens() {
    let w = run(of_settlement(full_batch(), []));
    let (o, s) = (w.outcome("z"), settlement(&w, "z"));
    assert_eq!(
        (o.status, o.authority, s.verdict(), s.uploaded),
        (Status::Approved, Some(Authority::Host), Some(Verdict::Balanced), 0)
    );
    assert_eq!(
        s.domestic,
        Half {
            debit_minor: 5 * 1234 + 200 + 900 + 700,
            debit_count: 7,
            credit_minor: 1234 + 100 + 700,
            credit_count: 3
        }
    );
    assert_eq!(s.foreign, Half { debit_minor: 1234 + 800, debit_count: 2, credit_minor: 0, credit_count: 0 });
    assert_eq!(
        s.schemes.iter().map(|o| o.sums.debit_minor).sum::<u64>(),
        s.domestic.debit_minor + s.foreign.debit_minor
    );
    let next = w.outcome("y").batch.map(|b| b.get());
    assert_eq!(next, o.batch.map(|b| b.get() + 1), "a new batch");
    assert_eq!(w.machine.state().ledger(&up()).debit_count, 1, "only what came after it");
    assert_eq!(
        w.transcript("z"),
        [
            "started",
            "settlement_asked",
            "settlement_judged",
            "settlement_upload_allowed",
            "settlement_batch_closed",
            "outcome"
        ]
    );
    assert_eq!(reports(&w), 1);
}

#[test]
fn only_the_half_that_does_not_balance_is_uploaded() {
    let w = run(of_settlement(full_batch(), [HostFault::Unbalanced]));
    let s = settlement(&w, "z");
    assert_eq!(
        (s.domestic_verdict, s.foreign_verdict, s.uploaded),
        (Some(Verdict::NotBalanced), Some(Verdict::Balanced), 10)
    );
    let w = run(of_settlement(full_batch(), [HostFault::UnbalancedForeign]));
    let s = settlement(&w, "z");
    assert_eq!(
        (s.domestic_verdict, s.foreign_verdict, s.uploaded),
        (Some(Verdict::Balanced), Some(Verdict::NotBalanced), 2)
    );
    let w = run(of_settlement(full_batch(), [HostFault::SettleError]));
    assert_eq!(
        (settlement(&w, "z").verdict(), settlement(&w, "z").uploaded),
        (Some(Verdict::Error), 12),
        "what it could not compare it gets"
    );
}

#[test]
fn lists_hold_eight() {
    const IDS: [&str; 19] =
        ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s"];
    let w = run(of_settlement(IDS.map(sale).to_vec(), [HostFault::Unbalanced]));
    assert_eq!(settlement(&w, "z").uploaded, 19);
    assert_eq!(
        w.transcript("z").iter().filter(|r| *r == "settlement_upload_allowed").count(),
        4,
        "8, 8, 3, and the end"
    );
}

#[test]
fn a_lost_answer_of_any_message_is_asked_for_again_with_the_same_message() {
    let quiet = run(of_settlement(full_batch(), [HostFault::Unbalanced]));
    let messages = quiet.transcript("z").iter().filter(|r| *r == "settlement_upload_allowed").count() + 1;
    for fault in [
        HostFault::LoseReply,
        HostFault::LoseRequest,
        HostFault::LateReply,
        HostFault::LateRequest,
        HostFault::NotSent,
        HostFault::Refuse("96"),
        HostFault::Refuse("A0"),
        HostFault::Refuse("91"),
    ] {
        for n in 0..messages {
            let mut faults = vec![HostFault::Unbalanced; n];
            faults.extend([fault.clone(), HostFault::Unbalanced]);
            let w = run(of_settlement(full_batch(), faults));
            let dropped = n == 0 && fault == HostFault::NotSent;
            let want = if dropped { vec![Status::Failed] } else { vec![Status::Unknown, Status::Approved] };
            assert_eq!(
                told(&w, "z").into_iter().map(|t| t.0).collect::<Vec<_>>(),
                want,
                "{fault:?} of message {n}"
            );
            assert_eq!(w.outcome("y").status, Status::Approved, "{fault:?} of message {n}");
            assert_eq!(
                w.outcome("y").batch.map(|b| b.get()),
                Some(7 + u32::from(!dropped)),
                "a sale waits until the batch is closed"
            );
        }
    }
}

#[test]
fn what_cannot_be_is_named_and_waits_for_a_person() {
    for (fault, code) in [
        (HostFault::ImpossibleDigit, "settlement-malformed"),
        (HostFault::Garbage, "settlement-malformed"),
        (HostFault::Contradiction, "settlement-contradiction"),
    ] {
        let script = Script { settle: false, ..of_settlement(full_batch(), [fault]) };
        let w = run(script.clone());
        assert_eq!(told(&w, "z"), [(Status::Unknown, code.into())]);
        assert_eq!(told(&w, "y"), [(Status::Failed, "settlement-open".into())], "told why it waits");
        let w = run(Script { settle: true, ..script });
        assert_eq!(told(&w, "z").last(), Some(&(Status::Approved, String::new())), "tried again");
    }
    // A plain no: nothing was settled, the shop goes on.
    let w = run(of_settlement(full_batch(), [HostFault::Refuse("51")]));
    assert_eq!(
        (told(&w, "z"), w.outcome("y").batch.map(|b| b.get())),
        (vec![(Status::Declined, "host-51".into())], Some(7))
    );
}

#[test]
fn a_person_closes_or_drops_what_cannot_be_driven() {
    for executed in [true, false] {
        let w = run(Script { settle: false, ..of_settlement(vec![sale("a")], [HostFault::Garbage]) });
        let mut m = Machine::replay(w.settings.clone(), None, w.journal.clone()).expect("replay");
        m.boot(w.now, "test", &[up()]);
        let txn = w.outcome("z").txn;
        let step = m.handle(
            Input::Resolve {
                call: 1,
                txn,
                executed,
                stan: None,
                reference: "case 7".into(),
                by: "test".into(),
            },
            w.now,
        );
        let closed = step
            .records
            .iter()
            .any(|e| matches!(e.record, Record::Settlement(SettlementRecord::BatchClosed { .. })));
        assert_eq!((closed, step.erase_batch.is_some()), (executed, executed));
        assert!(m.state().ledger(&up()).settling.is_none());
        assert_eq!(m.state().ledger(&up()).debit_count, u64::from(!executed));
    }
}

#[test]
fn what_is_owed_is_driven_first() {
    // The reversal of a: lost twice more, then answered.
    let faults = [HostFault::LoseReply, HostFault::LoseReply, HostFault::LoseReply];
    let w = run(script([sale("a"), sale("b"), settle("z")], faults));
    assert_eq!(w.outcome("z").status, Status::Failed, "nothing to settle yet");
    let w = run(script(
        [sale("b"), sale("a"), settle("z")],
        [HostFault::Answer, HostFault::LoseReply, HostFault::LoseReply],
    ));
    let s = settlement(&w, "z");
    assert_eq!(
        (w.outcome("z").status, s.verdict(), s.domestic.debit_count, s.stuck.len()),
        (Status::Approved, Some(Verdict::Balanced), 1, 0)
    );
    // A voice sale that has not left goes before the totals.
    let w = run(script([new(Kind::VoiceSale, "v"), settle("z")], [HostFault::NotSent]));
    assert_eq!(
        (settlement(&w, "z").verdict(), settlement(&w, "z").domestic.debit_count),
        (Some(Verdict::Balanced), 1)
    );
}

#[test]
fn what_is_stuck_is_listed_and_not_settled() {
    let mut faults = vec![HostFault::Answer, HostFault::LoseReply];
    faults.extend(vec![HostFault::LoseReply; 4]);
    let w = run(script([sale("b"), sale("a"), sale("c"), sale("d"), settle("z"), sale("e")], faults));
    let s = settlement(&w, "z");
    assert_eq!((s.stuck.len(), s.domestic_verdict), (1, Some(Verdict::Balanced)), "its reversal had arrived");
    assert_eq!(s.stuck[0].batch.get(), 7);
    assert_eq!(w.machine.obligations().to_vec()[0].plan.batch.get(), 7, "it keeps its batch and STAN");

    // A voice sale that is Stuck is counted on the terminal, but not settled.
    let orders = [sale("b"), new(Kind::VoiceSale, "v"), sale("c"), sale("d"), settle("z")];
    let mut patient = settings();
    patient.settlement.clear_timeout_ms = 600_000;
    let mut w = World::new(
        patient,
        Script { never: Some(2), ..script(orders, [HostFault::Answer, HostFault::LoseRequest]) },
        None,
    );
    w.run();
    let s = settlement(&w, "z");
    assert_eq!(
        (s.stuck.len(), s.domestic.records(), s.verdict()),
        (1, 3, Some(Verdict::Balanced)),
        "b, c and d: an advice holds nobody up"
    );
    assert!(w.sealed.len() == 1, "its PAN is kept for it, all others of the batch are gone: {:?}", w.sealed);
}

#[test]
fn an_empty_batch_is_not_settled() {
    let w = run(script([settle("z"), sale("a"), settle("y"), settle("x")], []));
    assert_eq!(told(&w, "z"), [(Status::Failed, "batch-empty".into())]);
    assert_eq!(w.outcome("y").status, Status::Approved);
    assert_eq!(told(&w, "x"), [(Status::Failed, "batch-empty".into())]);
}

#[test]
fn a_full_batch_takes_nothing_that_adds_a_record() {
    let mut s = settings();
    s.settlement.batch_max = 2;
    let orders = [
        sale("a"),
        sale("b"),
        sale("c"),
        void("d", "a"),
        new(Kind::PreAuth, "e"),
        part(Kind::TipAdjust, "t", "b", 10),
        settle("z"),
        sale("f"),
    ];
    let mut w = World::new(s, script(orders, []), None);
    w.run();
    for id in ["c", "d"] {
        assert_eq!(told(&w, id), [(Status::Failed, "batch-full".into())], "{id}");
    }
    for id in ["e", "t", "z", "f"] {
        assert_eq!(w.outcome(id).status, Status::Approved, "{id}");
    }
}

/// Totals, lists, single records, the end; with answers that are lost; cut at every effect and write, and
/// once more soon after.
#[test]
fn cut_at_every_effect_and_write() {
    let short = || {
        vec![
            sale("a"),
            void("c", "a"),
            visa("d"),
            Order { customer: Customer::SwipesOther, ..part(Kind::Refund, "f", "d", 100) },
            new(Kind::VoiceSale, "i"),
        ]
    };
    let scripts = [
        ("balanced", of_settlement(short(), [])),
        ("not balanced", of_settlement(short(), [HostFault::Unbalanced])),
        ("error", of_settlement(short(), [HostFault::SettleError])),
        (
            "answers lost",
            of_settlement(
                short(),
                [
                    HostFault::LoseReply,
                    HostFault::SettleError,
                    HostFault::LoseReply,
                    HostFault::LoseRequest,
                    HostFault::Answer,
                    HostFault::LoseReply,
                ],
            ),
        ),
        ("malformed", of_settlement(short(), [HostFault::Garbage, HostFault::Contradiction])),
        (
            "stuck",
            Script {
                settle: true,
                ..script([sale("b"), new(Kind::VoiceSale, "v"), sale("c"), settle("z"), sale("y")], {
                    let mut faults = vec![HostFault::Answer];
                    faults.extend(vec![HostFault::LoseRequest; 5]);
                    faults
                })
            },
        ),
    ];
    for (name, script) in scripts {
        for every in if name == "not balanced" { vec![1, 10_000] } else { vec![10_000] } {
            let mut s = settings();
            s.snapshot_every = every;
            let points = World::new(s.clone(), script.clone(), None).run();
            let cut = |n| {
                let mut w = World::new(s.clone(), script.clone(), Some(n));
                let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| w.run()));
                assert!(caught.is_ok(), "{name}: cut at point {n} of {points}");
                assert_eq!(w.cuts, 1, "{name}: point {n} was not reached");
            };
            std::thread::scope(|t| {
                t.spawn(|| (1..=points).step_by(2).for_each(cut));
                t.spawn(|| (2..=points).step_by(2).for_each(cut));
            });
            println!("{name}: {points} cuts");
        }
    }
}

/// The batch is closed while a void of it waits for that: the void does not leave for a settled sale.
#[test]
fn a_void_does_not_follow_its_sale_into_a_closed_batch() {
    let w = run(script(
        [sale("a"), settle("z"), void("v", "a"), part(Kind::TipAdjust, "t", "a", 10)],
        [HostFault::Answer, HostFault::LoseReply],
    ));
    assert_eq!(
        told(&w, "z").into_iter().map(|t| t.0).collect::<Vec<_>>(),
        [Status::Unknown, Status::Approved]
    );
    assert_eq!(told(&w, "v"), [(Status::Failed, "original-settled".into())]);
    assert_eq!(w.outcome("t").status, Status::Failed);
}

/// Between two of its messages the host wants a sign-in, and the line is down: the counter is free meanwhile.
#[test]
fn a_settlement_that_cannot_sign_in_goes_on_behind() {
    let script = script([sale("a"), settle("z"), sale("b")], [HostFault::Answer, HostFault::Require(3)]);
    let w =
        run(Script { sign_ins: vec![HostFault::Answer, HostFault::NotSent, HostFault::NotSent], ..script });
    assert_eq!(
        told(&w, "z"),
        [(Status::Unknown, "settlement-open".into()), (Status::Approved, String::new())]
    );
}

/// Never answered: after as many tries as a reversal has, a person asks the acquirer.
#[test]
fn a_settlement_that_is_never_answered_waits_for_a_person() {
    let mut faults = vec![HostFault::Answer];
    faults.extend(vec![HostFault::LoseRequest; 40]);
    let w = run(Script { settle: false, ..script([sale("a"), settle("z")], faults) });
    let settling = w.machine.state().ledger(&up()).settling.as_deref();
    assert!(settling.is_some_and(|s| s.hold && s.tries == 4), "{settling:?}");
}

/// The scheme of a card that was taken without the host is known when the host has been told: its half
/// is the right one.
#[test]
fn a_foreign_card_without_the_host_is_settled_as_foreign() {
    let w = run(script(
        [Order { customer: Customer::SwipesOther, ..new(Kind::VoiceSale, "v") }, sale("a"), settle("z")],
        [HostFault::NotSent],
    ));
    let s = settlement(&w, "z");
    assert_eq!((s.verdict(), s.domestic.debit_count, s.foreign.debit_count), (Some(Verdict::Balanced), 1, 1));
}

/// A sale that was accepted offline is an advice at the acquirer: it goes up alone, the others in a list.
#[test]
fn a_sale_without_the_host_is_uploaded_alone() {
    let mut settings = offline_settings();
    settings.accounts[0].config.offline.merchant = Some(OfflineLimits::default());
    let script = Script {
        settle: true,
        ..script(
            [plain("a", 0), plain("b", 1), settle("z")],
            [HostFault::NotSent, HostFault::Answer, HostFault::Answer, HostFault::SettleError],
        )
    };
    let mut w = World::new(settings, script, None);
    w.run();
    assert_eq!(settlement(&w, "z").uploaded, 2);
    let sent = w.journal.iter().filter_map(|e| {
        if let Record::Settlement(SettlementRecord::UploadAllowed { plan, .. }) = &e.record {
            plan.settlement.as_deref()
        } else {
            None
        }
    });
    let alone = |p: &BatchPart| match p {
        BatchPart::One { kind: Kind::Sale, record } => Some((true, record.txn)),
        BatchPart::List(list) => Some((false, list[0].txn)),
        BatchPart::Totals(_)
        | BatchPart::One { .. }
        | BatchPart::Certificate { .. }
        | BatchPart::End { .. } => None,
    };
    assert_eq!(
        sent.filter_map(alone).collect::<Vec<_>>(),
        [(true, w.outcome("a").txn), (false, w.outcome("b").txn)]
    );
}

/// Under other numbers the batch would be another terminal's: nothing leaves until they are set back.
#[test]
fn numbers_that_change_before_the_settlement_hold_the_account() {
    let w = run(script([sale("a")], []));
    let try_with = |settings: payterm_core::Settings| {
        let mut machine = Machine::replay(settings, None, w.journal.clone()).unwrap();
        let mut effects = machine.boot(w.clock(), "test", &[up()]).effects;
        let request = payterm_schema::request::RequestWire {
            id: "z".into(),
            kind: "settlement".into(),
            ..Default::default()
        };
        let request = Box::new(request.try_into().unwrap());
        effects.extend(
            machine
                .handle(
                    Input::Start {
                        call: 1,
                        key: payterm_schema::RequestKey::new("demo", "z").unwrap(),
                        request,
                    },
                    w.clock(),
                )
                .effects,
        );
        let sent = effects.iter().any(|e| matches!(e, Effect::Send(_)));
        let outcome = effects.iter().find_map(|e| {
            if let Effect::Tell(n) = e
                && let Notice::Outcome { outcome } = &**n
            {
                Some(outcome)
            } else {
                None
            }
        });
        let told = outcome.and_then(|o| o.reason.as_ref()).map(|r| r.code.clone());
        (sent, told)
    };
    assert_eq!(try_with(w.settings.clone()), (true, None));
    for change in [
        |c: &mut AccountConfig| c.mid = "898000000000002".parse().unwrap(),
        |c: &mut AccountConfig| c.tid = "00000009".parse().unwrap(),
    ] {
        let mut settings = w.settings.clone();
        change(&mut settings.accounts[0].config);
        assert_eq!(try_with(settings), (false, Some("account-renumbered".into())));
    }
}

#[test]
fn a_settlement_under_way_is_not_cancelled() {
    let inputs = vec![(12_000, Scripted::Cancel(By::Caller)), (12_040, Scripted::CancelKey)];
    let w = run(Script { inputs, ..of_settlement(vec![sale("a")], [HostFault::SlowRefuse(20_000, "96")]) });
    assert_eq!(w.outcome("z").status, Status::Approved);
}

/// Any orders, any faults, settlements between them, two power cuts: the bank's books prove each batch.
fn random(seed: u64) {
    let mut rng = Rng::new(seed);
    let mut pick = |n: u64| rng.roll(n);
    const IDS: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let orders: Vec<Order> = (0..IDS.len())
        .map(|i| {
            let original = IDS[pick(i as u64 + 1) as usize];
            match pick(14) {
                0..=2 => settle(IDS[i]),
                3 => void(IDS[i], original),
                4 => part(Kind::Refund, IDS[i], original, 100),
                5 => part(Kind::TipAdjust, IDS[i], original, 50),
                6 => new(Kind::VoiceSale, IDS[i]),
                7 => new(Kind::PreAuth, IDS[i]),
                8 => {
                    part([Kind::Completion, Kind::CompletionAdvice][pick(2) as usize], IDS[i], original, 900)
                }
                9 => on(Kind::CompletionCancel, IDS[i], original),
                10 => visa(IDS[i]),
                11 => scan(IDS[i]),
                _ => sale(IDS[i]),
            }
        })
        .collect();
    let refusals = ["51", "77", "96", "A0", "91", "25"];
    let faults: Vec<HostFault> = (0..24)
        .map(|_| match pick(26) {
            0 => HostFault::LoseReply,
            1 => HostFault::LoseRequest,
            2 => HostFault::LateReply,
            3 => HostFault::LateRequest,
            4 => HostFault::NotSent,
            5 => HostFault::Refuse(refusals[pick(6) as usize]),
            6 => HostFault::Twice,
            7..=9 => HostFault::Unbalanced,
            10 => HostFault::UnbalancedForeign,
            11 => HostFault::SettleError,
            12 => [HostFault::ImpossibleDigit, HostFault::Contradiction, HostFault::Garbage]
                [pick(3) as usize]
                .clone(),
            13 => HostFault::Require(3),
            _ => HostFault::Answer,
        })
        .collect();
    let cuts = [pick(400) as usize + 1, pick(800) as usize + 1];
    let mut s = settings();
    s.accounts[0].config.obligation_tries = 2;
    s.snapshot_every = [1, 7, 10_000][pick(3) as usize];
    let script = Script { settle: true, ..script(orders, faults) };
    if std::env::var_os("PAYTERM_TELL").is_some() {
        println!("{:?}\n{:?}\n{cuts:?}", script.orders, script.faults);
        let mut w = World::new(s.clone(), script.clone(), cuts);
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| w.run()));
        for e in &w.journal {
            println!(
                "{} {}",
                e.txn.unwrap_or(0),
                payterm_tests::sim::world::told_short(e).chars().take(260).collect::<String>()
            );
        }
    }
    World::new(s, script, cuts).run();
}

#[test]
fn seeds_with_settlements() {
    let from: u64 = std::env::var("PAYTERM_SEED_FROM").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let many: u64 = std::env::var("PAYTERM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(150);
    // 1301: an answer that came late, when the same totals had been asked for again.
    let failed: Vec<u64> = (from..from + many)
        .chain([1301])
        .filter(|seed| std::panic::catch_unwind(|| random(*seed)).is_err())
        .collect();
    assert!(failed.is_empty(), "seeds {failed:?}");
}
