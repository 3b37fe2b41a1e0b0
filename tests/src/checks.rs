//! The checkers: the invariants of architecture §3, by number.
use crate::world::{CODE, PAN, PAN2, PASSWORD, PASSWORD_00, PIN, TRACK2, World};
use payterm_core::{Effect, Machine, Step, VaultAsk};
use payterm_schema::{
    Kind, Outcome, Record, RequestKey, Screen, Status,
    host::Leg,
    kind::{Recovery, Side},
    operator::OperatorEvent,
    outcome::Forwarding,
    record::{Entry, ObligationState},
};
use std::collections::{BTreeMap, BTreeSet};

/// The last outcome on disk of each transaction; running ones as they started.
pub fn outcomes(journal: &[Entry]) -> BTreeMap<u64, Outcome> {
    let mut out: BTreeMap<u64, Outcome> = BTreeMap::new();
    let mut touched: BTreeMap<(u64, u64, usize), ()> = BTreeMap::new();
    let mut refunded: BTreeMap<u64, u64> = BTreeMap::new();
    let mut tips: BTreeMap<u64, u64> = BTreeMap::new();
    for e in journal {
        match &e.record {
            Record::Started { txn, view, .. } => {
                out.insert(*txn, (**view).clone());
            }
            Record::Outcome { outcome } => {
                out.insert(outcome.txn, (**outcome).clone());
            }
            Record::Voided { txn, by } => drop(touched.insert((*txn, *by, 0), ())),
            Record::Completed { txn, by } => drop(touched.insert((*txn, *by, 1), ())),
            Record::Adjusted { txn, by, tip } => {
                touched.insert((*txn, *by, 2), ());
                tips.insert(*txn, *tip);
            }
            Record::Released { txn, by } => touched.retain(|(t, b, how), ()| (t, b) != (txn, by) || *how == 0),
            Record::RefundHeld { txn, minor, .. } => *refunded.entry(*txn).or_default() += minor,
            Record::RefundFreed { txn, minor, .. } => *refunded.entry(*txn).or_default() -= minor,
            _ => {}
        }
    }
    for (txn, _, how) in touched.into_keys() {
        if let Some(o) = out.get_mut(&txn) {
            if how == 2 {
                o.sums.tip = tips.get(&txn).copied();
            }
            *[&mut o.voided, &mut o.completed, &mut o.adjusted][how] = true;
        }
    }
    for (txn, minor) in refunded {
        if let Some(o) = out.get_mut(&txn) {
            o.sums.refunded = Some(minor).filter(|m| *m > 0);
        }
    }
    out
}

pub fn outcome_of(journal: &[Entry], key: &RequestKey) -> Option<Outcome> {
    outcomes(journal).into_values().find(|o| o.key == *key)
}

pub fn wrong_passwords(journal: &[Entry]) -> usize {
    journal.iter().filter(|e| matches!(&e.record, Record::Operator { event: OperatorEvent::Wrong { .. } })).count()
}

fn no_canary(what: &str, text: &str) {
    for canary in [PASSWORD, PASSWORD_00, PAN, TRACK2, CODE, PIN, PAN2] {
        assert!(!text.contains(canary), "invariant 9: {what} shows a secret: {text}");
    }
    // The middle of a PAN stands in one time of ten thousand by chance; a time has 12 or 13 digits, no masked PAN has.
    let times = |run: &str| matches!(run.len(), 12 | 13);
    let text: String = text.split(|c: char| !c.is_ascii_digit()).filter(|run| !times(run)).collect::<Vec<_>>().join(" ");
    for canary in [&PAN[6..12], &PAN2[6..12]] {
        assert!(!text.contains(canary), "invariant 9: {what} shows a secret: {text}");
    }
}

/// After each step of the machine.
pub fn step(world: &World, step: &Step) {
    for e in &step.records {
        no_canary("a record", &e.record.encode().expect("record"));
    }
    for e in &step.effects {
        no_canary("an effect", &format!("{e:?}"));
    }
    // 7: replay equals the live machine, from the snapshot and from the first record.
    let mut journal = world.journal.clone();
    journal.extend(world.pending().cloned());
    journal.extend(step.records.iter().cloned());
    let full = Machine::replay(world.settings.clone(), None, journal.clone()).expect("replay");
    let mut live = world.machine.state().clone();
    let mut replayed = full.state().clone();
    (live.snapshot_seq, replayed.snapshot_seq) = (0, 0);
    assert_eq!(replayed, live, "invariant 7");
    if let Some((seq, json)) = &step.snapshot {
        let state: payterm_core::State = serde_json::from_str(json).expect("snapshot");
        assert_eq!(state.seq, *seq);
        assert_eq!(&state, world.machine.state(), "invariant 7: the snapshot");
    }
}

/// Before each effect is carried out: what must be on disk by then.
pub fn effect(world: &World, effect: &Effect) {
    match effect {
        Effect::Send(m) => {
            let allowed = world.journal.iter().any(|e| match (&e.record, m.leg) {
                (Record::Allowed { account, plan, owes, .. }, Leg::Request) => {
                    *account == m.account && plan.stan == m.plan.stan && (*owes || m.plan.kind.row().recovery == Recovery::AskAgain)
                }
                (Record::ControlSent { account, plan }, Leg::Request) => *account == m.account && plan.stan == m.plan.stan,
                (Record::ObligationTried { stan, .. }, Leg::Reversal(_) | Leg::Repeat) => *stan == m.plan.stan,
                (Record::Queried { plan, .. }, Leg::Query) => plan.stan == m.plan.stan,
                _ => false,
            });
            assert!(allowed, "the record that allows {m:?} is not on disk");
            let kind = m.plan.kind.row();
            assert!(!matches!(m.leg, Leg::Reversal(_)) || kind.recovery == Recovery::Reverse, "{:?} is never reversed", m.plan.kind);
            assert!(m.leg != Leg::Repeat || kind.recovery == Recovery::Repeat, "{:?} is never sent again", m.plan.kind);
            if m.leg == Leg::Request && m.plan.kind.row().authorisation {
                let durable = Machine::replay(world.settings.clone(), None, world.journal.clone()).expect("replay");
                let owed =
                    durable.obligations().iter().find(|o| o.account == m.account && o.state == ObligationState::Due && o.plan.wallet.is_none() && o.left);
                assert!(owed.is_none(), "invariant 4: an authorisation leaves although {owed:?}");
            }
        }
        Effect::Tell(notice) => {
            if let payterm_schema::Notice::Outcome { outcome } = &**notice {
                let on_disk = world.journal.iter().any(|e| matches!(&e.record, Record::Outcome { outcome: o } if o == outcome));
                assert!(on_disk, "invariant 2: told before it is on disk: {outcome:?}");
            }
        }
        // No try is for nothing: what was wrong is on disk before the next one, and before the screen says so.
        Effect::AskVault { ask: VaultAsk::Check { .. }, .. } | Effect::Show(Screen::Password { .. } | Screen::Locked { .. }) => {
            assert_eq!(wrong_passwords(&world.journal), world.wrong_told, "a wrong password is not on disk before {effect:?}");
        }
        Effect::Answer { .. }
        | Effect::Show(_)
        | Effect::Speak(_)
        | Effect::AskVault { .. }
        | Effect::Offer { .. }
        | Effect::Withdraw
        | Effect::AskPin { .. }
        | Effect::AbortPin { .. }
        | Effect::ForgetKeys { .. }
        | Effect::Load { .. }
        | Effect::Print { .. }
        | Effect::Tms { .. }
        | Effect::Renew => {}
    }
}

/// When nothing is left to happen.
pub fn at_rest(world: &World) {
    assert!(world.machine.running().is_none(), "invariant 8: a request did not end");
    let open: Vec<_> = world.machine.obligations().iter().filter(|o| o.state != ObligationState::Stuck).collect();
    assert!(open.is_empty(), "invariant 8: {open:?}");
    assert_eq!(world.machine.papers().count(), 0, "every paper is printed");
    assert!(!world.armed && !world.pin_asked, "invariant 10: a device is not idle");

    let mut stans = BTreeSet::new();
    let mut finals: BTreeMap<u64, Status> = BTreeMap::new();
    let mut frames: BTreeMap<u64, Vec<(String, u32, u32)>> = BTreeMap::new();
    for e in &world.journal {
        match &e.record {
            Record::Allowed { txn, account, plan, .. } => {
                assert!(stans.insert((account.to_string(), plan.batch.get(), plan.stan.get())), "invariant 6: STAN {} twice", plan.stan);
                frames.entry(*txn).or_default().push((account.to_string(), plan.batch.get(), plan.stan.get()));
            }
            Record::Queried { txn, stan, plan, .. } => {
                let account = world.journal.iter().find_map(|e| match &e.record {
                    Record::Allowed { txn: t, account, plan, .. } if t == txn && plan.stan == *stan => Some(account.to_string()),
                    _ => None,
                });
                assert!(stans.insert((account.unwrap_or_default(), plan.batch.get(), plan.stan.get())), "invariant 6: STAN {} twice", plan.stan);
            }
            Record::ControlSent { account, plan } => {
                assert!(stans.insert((account.to_string(), plan.batch.get(), plan.stan.get())), "invariant 6: STAN {} twice", plan.stan);
            }
            Record::Outcome { outcome } => {
                let before = finals.insert(outcome.txn, outcome.status);
                let gained = outcome.forwarding.is_some() && before == Some(outcome.status);
                assert!(gained || matches!(before, None | Some(Status::Unknown)), "invariant 5: {:?} became {:?}", before, outcome.status);
            }
            _ => {}
        }
    }

    let stuck: BTreeSet<u64> = world.machine.obligations().iter().map(|o| o.txn).collect();
    for (txn, o) in outcomes(&world.journal) {
        let postings: Vec<_> = frames
            .get(&txn)
            .into_iter()
            .flatten()
            .filter_map(|(a, b, s)| world.bank.books.iter().find(|((x, y, z), _)| x.as_str() == a && y == b && z == s).map(|(_, p)| p))
            .collect();
        let standing: Vec<_> = postings.iter().filter(|p| !p.reversed).collect();
        assert!(standing.len() <= 1, "invariant 1: {txn} stands {} times at the bank", standing.len());
        if stuck.contains(&txn) {
            continue;
        }
        let row = o.kind.row();
        let refused = matches!(o.forwarding, Some(Forwarding::Refused(_)));
        match o.status {
            _ if !row.authorisation || o.kind == Kind::Balance => assert!(o.status.is_final(), "{}", o.key),
            Status::Approved if refused => assert!(standing.is_empty(), "{}: told that it was refused, and stands", o.key),
            Status::Approved => {
                assert_eq!(standing.len(), 1, "approved {} is not at the bank: {:#?}", o.key, world.story(txn));
                let p = standing[0];
                assert_eq!(Some(p.amount), o.sums.amount, "{}", o.key);
                let named = |d: &payterm_schema::record::Obligation| d.plan.original.as_ref().is_some_and(|x| x.stan == o.stan && x.batch == o.batch);
                // What is Stuck and names it is in doubt.
                if !world.machine.obligations().iter().any(named) {
                    assert_eq!(p.voided, o.voided, "{}: voided at the bank and on the terminal", o.key);
                    assert_eq!(p.taken_up, o.completed, "{}: taken up at the bank and on the terminal", o.key);
                    assert_eq!(p.tip > 0, o.adjusted, "{}: adjusted at the bank and on the terminal", o.key);
                }
                // What is in doubt is held here, and may not be at the bank.
                let in_doubt: u64 = (world.machine.obligations().iter())
                    .filter(|d| d.plan.kind == Kind::Refund && named(d))
                    .filter_map(|d| d.plan.amount.map(|a| a.minor()))
                    .sum();
                let held = o.sums.refunded.unwrap_or(0);
                assert!(p.refunded <= held && held <= p.refunded + in_doubt, "{}: {} refunded at the bank and {held} on the terminal", o.key, p.refunded);
                assert!(p.refunded <= p.amount + p.tip, "{}: refunded above the original", o.key);
            }
            Status::Declined | Status::Cancelled | Status::Failed => {
                assert!(standing.is_empty(), "invariant 3: {} was told {:?} and stands at the bank: {:#?}", o.key, o.status, world.story(txn));
            }
            Status::Running | Status::Unknown => panic!("{}: at rest, and {:?}", o.key, o.status),
        }
    }

    // 6: the sums are those of the approvals.
    for (account, ledger) in &world.machine.state().accounts {
        let sum = |side: Side| {
            outcomes(&world.journal)
                .values()
                .filter(|o| o.kind.row().side == side && o.status == Status::Approved && o.account.as_ref() == Some(account))
                .filter(|o| !matches!(o.forwarding, Some(Forwarding::Refused(_))))
                .filter_map(|o| if o.kind == Kind::TipAdjust { o.sums.tip } else { o.sums.amount })
                .sum::<u64>()
        };
        assert_eq!((ledger.debit_minor, ledger.credit_minor), (sum(Side::Debit), sum(Side::Credit)), "invariant 6: totals");
        let rows = |side| ledger.totals.iter().filter(|t| t.kind.row().side == side).map(|t| t.minor).sum::<u64>();
        assert_eq!((ledger.debit_minor, ledger.credit_minor), (rows(Side::Debit), rows(Side::Credit)), "invariant 6: the rows of the totals");
    }

    // Sealed PANs: only those that a void may still need, or that a Stuck reversal needs.
    for txn in &world.sealed {
        let o = outcomes(&world.journal).remove(txn).expect("a sealed PAN of a transaction");
        assert!(stuck.contains(txn) || (o.kind.keeps_pan() && o.status == Status::Approved && !o.voided), "a sealed PAN is kept that nobody needs: {o:?}");
    }

    for o in outcomes(&world.journal).values().filter(|o| o.kind.keeps_pan() && o.status == Status::Approved && !o.voided && o.wallet.is_none()) {
        if matches!(o.forwarding, Some(Forwarding::Refused(_))) {
            continue;
        }
        assert!(world.sealed.contains(&o.txn), "the PAN that a void of {} needs is gone", o.key);
    }
    let waited = world.now.since(crate::world::at_epoch()).0;
    assert!(waited < 2 * 86_400_000, "invariant 8: it took {} h until everything was answered", waited / 3_600_000);

    // Papers: never none, never two originals.
    let mut originals: BTreeMap<u64, u32> = BTreeMap::new();
    for (job, duplicate, result) in &world.printed {
        let touched = !matches!(result, payterm_schema::paper::PrintResult::NotStarted(_));
        *originals.entry(*job).or_default() += u32::from(!duplicate && touched);
    }
    let confirmed: BTreeSet<u64> = world.printed.iter().filter(|(.., r)| *r == payterm_schema::paper::PrintResult::Confirmed).map(|(job, ..)| *job).collect();
    for (txn, o) in outcomes(&world.journal).iter().filter(|(_, o)| o.status == Status::Approved && o.kind.row().slip) {
        let slips = |e: &&Entry| matches!(&e.record, Record::PaperQueued { job } if e.txn == Some(*txn) && confirmed.contains(&job.id));
        assert!(world.journal.iter().filter(slips).count() >= 2, "{}: the merchant's or the customer's copy never came", o.key);
    }
    assert!(originals.values().all(|n| *n <= 1), "two originals of one paper: {:?}", world.printed);
}
