//! Every kind of the sheet x everything that can happen to its message: outcome, screen, slips, journal and
//! the bank's books, each told by the sheet. (The checkers of the world compare the books of every run to the
//! cent.)
use payterm_schema::{
    Kind, Outcome, Screen, Status,
    kind::{CardRule, OriginalBy, Recovery},
    outcome::Forwarding,
    paper::PaperKind,
    record::ObligationState,
};
use payterm_tests::sim::fixtures::*;
use payterm_tests::sim::{
    bank::HostFault,
    world::{Customer, Order, Script, Scripted, World},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Approved,
    Refused,
    /// Busy once, then good.
    Busy,
    NoReply,
    Unusable,
    /// The answer comes when the terminal has given up and its undo is under way.
    LateReply,
    BadMac,
    /// The connection is closed half-way: no answer, and the bank never had it.
    ClosedHalfWay,
    Cancelled,
    DeviceLost,
}
const CASES: [Case; 9] = [
    Case::Approved,
    Case::Refused,
    Case::Busy,
    Case::NoReply,
    Case::LateReply,
    Case::BadMac,
    Case::ClosedHalfWay,
    Case::Cancelled,
    Case::DeviceLost,
];

/// Orders that come before the request, and the request.
fn orders(kind: Kind) -> Vec<Order> {
    let mut orders = match kind.row().original {
        OriginalBy::None if kind == Kind::Settlement => vec![sale("a")],
        OriginalBy::None => vec![],
        OriginalBy::OpenBatch | OriginalBy::AnyBatch if kind != Kind::CompletionCancel => vec![sale("a")],
        OriginalBy::OpenBatch | OriginalBy::AnyBatch => {
            vec![new(Kind::PreAuth, "p"), part(Kind::Completion, "a", "p", 500)]
        }
        OriginalBy::Authorisation => vec![new(Kind::PreAuth, "a")],
    };
    orders.push(match kind {
        Kind::Refund | Kind::Completion | Kind::CompletionAdvice | Kind::TipAdjust => {
            part(kind, "x", "a", 200)
        }
        Kind::Void | Kind::CompletionCancel | Kind::PreAuthCancel => on(kind, "x", "a"),
        Kind::Sale | Kind::PreAuth | Kind::VoiceSale => new(kind, "x"),
        Kind::Balance => Order { kind, amount: None, ..sale("x") },
        Kind::Parameters
        | Kind::StatusUpload
        | Kind::Settlement
        | Kind::SignIn
        | Kind::SignOff
        | Kind::Echo => control("x", kind),
    });
    orders
}

fn run(kind: Kind, case: Case) -> World {
    let mut orders = orders(kind);
    let before = orders.len() - 1;
    let mut faults = vec![HostFault::Answer; before];
    match case {
        Case::Approved | Case::Cancelled | Case::DeviceLost => {}
        Case::Refused => faults.push(HostFault::Refuse("51")),
        Case::Busy => faults.push(HostFault::Refuse("91")),
        Case::NoReply => faults.push(HostFault::LoseReply),
        Case::Unusable => faults.push(HostFault::Damaged),
        Case::LateReply => faults.push(HostFault::LateReply),
        Case::BadMac => faults.push(HostFault::BadMac),
        Case::ClosedHalfWay => faults.push(HostFault::LoseRequest),
    }
    let presents = kind.row().card != CardRule::None;
    let mut inputs = Vec::new();
    if case == Case::Cancelled && presents {
        orders[before].customer = Customer::Walks;
        // When it waits for the card: each order before it takes less than ten seconds.
        inputs.push((1_000 + 10_000 * before as i64 + 5_000, Scripted::CancelKey));
    }
    if case == Case::DeviceLost && presents {
        orders[before].customer = Customer::Walks;
        inputs.push((1_000 + 10_000 * before as i64 + 5_000, Scripted::Devices(false)));
    }
    let mut world = World::new(settings(), Script { inputs, ..script(orders, faults) }, None);
    world.run();
    world
}

/// Statuses and reasons as they were told.
fn told(w: &World) -> Vec<(Status, String)> {
    w.told
        .iter()
        .filter(|o| o.key.id == "x")
        .map(|o| (o.status, o.reason.as_ref().map(|r| r.code.clone()).unwrap_or_default()))
        .collect()
}

fn expected(kind: Kind, case: Case) -> Vec<(Status, String)> {
    let row = kind.row();
    let one = |s, code: &str| vec![(s, code.to_owned())];
    let approved = || one(Status::Approved, "");
    let owed = |first: &str| match row.recovery {
        Recovery::Reverse => vec![(Status::Unknown, first.to_owned()), (Status::Declined, "reversed".into())],
        // Accepted at once, forwarded later.
        Recovery::Repeat => [approved(), approved()].concat(),
        Recovery::ManualResolution => one(Status::Unknown, first),
        Recovery::AskAgain => one(Status::Failed, first),
    };
    // Driven on until its batch is closed.
    let driven = |first: &str| [one(Status::Unknown, first), approved()].concat();
    match case {
        Case::Busy if kind == Kind::Settlement => driven("host-91"),
        Case::NoReply | Case::LateReply | Case::ClosedHalfWay if kind == Kind::Settlement => {
            driven("no-reply")
        }
        Case::Unusable if kind == Kind::Settlement => driven("reply-unusable"),
        Case::Approved => approved(),
        Case::Refused => one(Status::Declined, "host-51"),
        // Messages of the terminal itself are asked again by a person.
        Case::Busy if !row.authorisation => one(Status::Declined, "host-91"),
        Case::Busy if row.recovery == Recovery::Repeat => [approved(), approved()].concat(),
        Case::Busy => approved(),
        Case::NoReply | Case::LateReply | Case::ClosedHalfWay => owed("no-reply"),
        Case::Unusable => owed("reply-unusable"),
        Case::BadMac if row.authorisation => owed("mac-wrong"),
        // They carry no MAC.
        Case::BadMac => approved(),
        Case::Cancelled if row.card != CardRule::None => one(Status::Cancelled, "cancelled-by-customer"),
        Case::DeviceLost if row.card != CardRule::None => one(Status::Failed, "reader-unavailable"),
        Case::Cancelled | Case::DeviceLost => approved(),
    }
}

fn papers(w: &World) -> Vec<PaperKind> {
    let txn = w.outcome("x").txn;
    w.queued().filter(|job| job.transaction() == Some(txn)).map(|job| job.kind).collect()
}

fn check(kind: Kind, case: Case) {
    let w = run(kind, case);
    let (row, name) = (kind.row(), format!("{} {case:?}", kind.name()));
    let steps = told(&w);
    assert_eq!(steps, expected(kind, case), "{name}: told");
    let o: Outcome = w.outcome("x");
    let first = steps.first().map(|s| s.0);

    // Journal: started, allowed before anything was sent, one outcome for each that was told.
    let journal = w.transcript("x");
    assert_eq!(journal.first().map(String::as_str), Some("started"), "{name}");
    assert_eq!(journal.iter().filter(|r| *r == "outcome").count(), steps.len(), "{name}: {journal:?}");
    let sent = !matches!(case, Case::Cancelled | Case::DeviceLost) || row.card == CardRule::None;
    assert_eq!(
        journal.iter().any(|r| r == "allowed" || r == "settlement_asked"),
        sent,
        "{name}: {journal:?}"
    );
    assert_eq!(o.stan.is_some(), sent, "{name}");

    // Screen: the result as it was told first, and what became of it while it stood there.
    let shown: Vec<Status> = w
        .shown
        .iter()
        .filter_map(|s| {
            if let Screen::Result { outcome } = s {
                (outcome.key.id == "x").then_some(outcome.status)
            } else {
                None
            }
        })
        .collect();
    let all: Vec<Status> = steps.iter().map(|s| s.0).collect();
    assert!(
        shown.first() == first.as_ref() && all.starts_with(&shown),
        "{name}: screens {shown:?} of {all:?}"
    );
    let waits = |what: &str| w.shown.iter().any(|s| matches!(s, Screen::Wait { what: w, .. } if w == what));
    assert_eq!(
        waits("host-busy"),
        case == Case::Busy && row.authorisation && row.recovery != Recovery::Repeat,
        "{name}: countdown"
    );

    // Slips: two originals of what was approved, a warning for what is unknown, a paper for a person where
    // one must look.
    let papers = papers(&w);
    let copies =
        papers.iter().filter(|p| matches!(p, PaperKind::MerchantCopy | PaperKind::CustomerCopy)).count();
    let approved = o.status == Status::Approved && row.slip;
    // An advice that is forwarded later has had its slips.
    assert_eq!(copies, if approved { 2 } else { 0 }, "{name}: {papers:?}");
    assert_eq!(
        papers.contains(&PaperKind::SettlementReport),
        kind == Kind::Settlement && o.status == Status::Approved,
        "{name}: {papers:?}"
    );
    assert_eq!(
        papers.contains(&PaperKind::UnknownSlip),
        first == Some(Status::Unknown) && kind != Kind::Settlement,
        "{name}: {papers:?}"
    );
    let stuck = w.machine.obligations().iter().any(|x| x.txn == o.txn && x.state == ObligationState::Stuck);
    assert_eq!(papers.contains(&PaperKind::StuckSlip), stuck, "{name}: {papers:?}");
    assert_eq!(
        stuck,
        row.recovery == Recovery::ManualResolution && first == Some(Status::Unknown),
        "{name}: Stuck"
    );

    // An advice was told to the acquirer in the end.
    if row.recovery == Recovery::Repeat && kind != Kind::Settlement && o.status == Status::Approved {
        assert_eq!(o.forwarding, Some(Forwarding::Forwarded), "{name}");
    }
    // Nothing but what the sheet says may be undone by a reversal.
    assert!(w.bank.reversals.iter().all(|p| p.kind.row().recovery == Recovery::Reverse), "{name}");
}

#[test]
fn every_kind_meets_every_case() {
    for kind in Kind::ALL {
        for case in CASES {
            check(kind, case);
        }
    }
}

/// As no answer, and it is said that there was one.
#[test]
fn every_kind_meets_an_answer_that_cannot_be_read() {
    for kind in Kind::ALL {
        let world = run(kind, Case::Unusable);
        assert_eq!(told(&world), expected(kind, Case::Unusable), "{}", kind.name());
    }
}

/// The power is cut at every point of every kind, with each fault that its message may have; the checkers see
/// to the rest. A new kind is in `orders`, or this does not compile.
#[test]
fn every_kind_is_cut_everywhere() {
    let faults = [HostFault::Answer, HostFault::Refuse("51"), HostFault::LoseReply, HostFault::NotSent];
    let cut_everywhere = |kind: Kind, fault: &HostFault| {
        let orders = orders(kind);
        let faults: Vec<HostFault> =
            vec![HostFault::Answer; orders.len() - 1].into_iter().chain([fault.clone()]).collect();
        let go = |cut: Option<usize>| {
            World::new(settings(), Script { settle: true, ..script(orders.clone(), faults.clone()) }, cut)
                .run()
        };
        let points = go(None);
        for cut in 1..=points {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| go(Some(cut))));
            assert!(result.is_ok(), "{} {fault:?}: cut at {cut} of {points}", kind.name());
        }
        points
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let cuts: usize = std::thread::scope(|s| {
        let shares: Vec<_> = (0..threads)
            .map(|t| {
                let (faults, cut) = (&faults, &cut_everywhere);
                s.spawn(move || {
                    Kind::ALL
                        .into_iter()
                        .skip(t)
                        .step_by(threads)
                        .flat_map(|k| faults.iter().map(move |f| cut(k, f)))
                        .sum::<usize>()
                })
            })
            .collect();
        shares.into_iter().map(|t| t.join().expect("every cut is survived")).sum()
    });
    assert!(cuts > 1_000, "only {cuts} cuts");
    println!("every kind: {cuts} cuts");
}
