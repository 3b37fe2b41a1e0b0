//! 1 and 3: the bank's books against what was told, to the cent; and the sealed PANs that this needs.
use super::outcomes;
use crate::sim::{model::given_up, world::World};
use payterm_schema::{
    AccountId, Entry, Kind, ObligationRecord, Outcome, Record, RequestRecord, Status,
    outcome::Forwarding,
    record::{Obligation, ObligationState},
};
use std::collections::{BTreeMap, BTreeSet};

/// 1: at most one approval of a request stands. 3: what was told to be declined or cancelled is nothing, what
/// was approved is there with its amount, and what was done to it here was done there.
pub fn i1_i3_books(world: &World) {
    let mut frames: BTreeMap<u64, Vec<(AccountId, u32, u32)>> = BTreeMap::new();
    for e in &world.journal {
        if let Record::Request(RequestRecord::Allowed { txn, account, plan, .. })
        | Record::Request(RequestRecord::OfflineAllowed { txn, account, plan, .. }) = &e.record
        {
            frames.entry(*txn).or_default().push((account.clone(), plan.batch.get(), plan.stan.get()));
        }
    }
    let stuck = stuck(world);
    let outcomes = outcomes(&world.journal);
    // Whether a message that was given up has reached its original is not known, nor that one's: a
    // completion's cancel frees its hold.
    let original = |o: &Outcome| o.original.as_ref().and_then(|x| x.txn);
    // What was told as not taken stays so when its reversal is written off.
    let written_off = |e: &Entry| {
        if let Record::Obligation(ObligationRecord::WrittenOff { txn, .. }) = &e.record {
            Some(*txn)
        } else {
            None
        }
    };
    let written_off: BTreeSet<u64> = world.journal.iter().filter_map(written_off).collect();
    let on: BTreeSet<u64> = outcomes
        .values()
        .filter(|o| given_up(o) || written_off.contains(&o.txn))
        .filter_map(original)
        .collect();
    let given_up_on: BTreeSet<u64> =
        on.iter().filter_map(|txn| original(outcomes.get(txn)?)).chain(on.iter().copied()).collect();
    for (txn, o) in outcomes {
        let postings: Vec<_> =
            frames.get(&txn).into_iter().flatten().filter_map(|at| world.bank.books.get(at)).collect();
        let standing: Vec<_> = postings.iter().filter(|p| !p.reversed).collect();
        assert!(standing.len() <= 1, "invariant 1: {} stands {} times at the bank", o.key, standing.len());
        // What a person reconciles with the acquirer.
        if stuck.contains(&txn) || world.in_doubt.contains_key(&txn) {
            continue;
        }
        let row = o.kind.row();
        let refused = o.forwarding.as_ref().is_some_and(Forwarding::is_lost);
        // The shop looks no further: what the acquirer has is not known.
        if given_up(&o) {
            continue;
        }
        match o.status {
            // One that waits for a person.
            Status::Unknown if world.machine.state().settlement_of(txn).is_some() => {}
            _ if !row.authorisation || o.kind == Kind::Balance => {
                assert!(o.status.is_final(), "invariant 8: {}", o.key)
            }
            Status::Approved if refused => {
                assert!(standing.is_empty(), "invariant 3: {}: told that it was refused, and stands", o.key)
            }
            Status::Approved => {
                assert_eq!(
                    standing.len(),
                    1,
                    "invariant 3: approved {} is not at the bank: {:#?}",
                    o.key,
                    world.story(txn)
                );
                let p = standing[0];
                assert_eq!(Some(p.amount), o.sums.amount, "invariant 3: {}", o.key);
                let named = |d: &Obligation| {
                    d.plan.original.as_ref().is_some_and(|x| x.stan == o.stan && x.batch == o.batch)
                };
                // What is Stuck and names it is in doubt.
                if !world.machine.obligations().iter().any(named) && !given_up_on.contains(&txn) {
                    assert_eq!(
                        p.voided, o.voided,
                        "invariant 3: {}: voided at the bank and on the terminal",
                        o.key
                    );
                    assert_eq!(
                        p.taken_up, o.completed,
                        "invariant 3: {}: taken up at the bank and on the terminal",
                        o.key
                    );
                    assert_eq!(
                        p.tip > 0,
                        o.adjusted,
                        "invariant 3: {}: adjusted at the bank and on the terminal",
                        o.key
                    );
                }
                // What is in doubt is held here, and may not be at the bank.
                let in_doubt: u64 = (world.machine.obligations().iter())
                    .filter(|d| d.plan.kind == Kind::Refund && named(d))
                    .filter_map(|d| d.plan.amount.map(|a| a.minor()))
                    .sum();
                let held = o.sums.refunded.unwrap_or(0);
                let agree = p.refunded <= held && held <= p.refunded + in_doubt;
                assert!(
                    agree || given_up_on.contains(&txn),
                    "invariant 3: {}: {} refunded at the bank and {held} on the terminal",
                    o.key,
                    p.refunded
                );
                assert!(
                    p.refunded <= p.amount + p.tip,
                    "invariant 3: {}: refunded above the original",
                    o.key
                );
            }
            Status::Declined | Status::Cancelled | Status::Failed => {
                // What was final when its reversal was given up stays as it was told.
                assert!(
                    standing.is_empty() || written_off.contains(&txn),
                    "invariant 3: {} was told {:?} and stands at the bank: {:#?}",
                    o.key,
                    o.status,
                    world.story(txn)
                );
            }
            Status::Running | Status::Unknown => {
                panic!("invariant 8: {}: at rest, and {:?}", o.key, o.status)
            }
        }
    }
}

fn stuck(world: &World) -> BTreeSet<u64> {
    world.machine.obligations().iter().filter(|o| o.state == ObligationState::Stuck).map(|o| o.txn).collect()
}

/// Sealed PANs: those that a void or the upload of the open batch may still need, or that a Stuck reversal
/// needs, and no others.
pub fn sealed(world: &World) {
    let (stuck, outcomes) = (stuck(world), outcomes(&world.journal));
    let here = |o: &Outcome| {
        o.account.as_ref().is_some_and(|a| o.batch == Some(world.machine.state().ledger(a).batch))
    };
    for txn in &world.sealed {
        let o = outcomes.get(txn).expect("a sealed PAN of a transaction");
        let needed = o.kind.keeps_pan() && o.status == Status::Approved && here(o);
        assert!(stuck.contains(txn) || needed, "invariant 9: a sealed PAN is kept that nobody needs: {o:?}");
    }
    for o in outcomes
        .values()
        .filter(|o| o.kind.keeps_pan() && o.status == Status::Approved && here(o) && o.wallet.is_none())
    {
        if o.forwarding.as_ref().is_some_and(Forwarding::is_lost) {
            continue;
        }
        assert!(
            world.sealed.contains(&o.txn),
            "invariant 8: the PAN that a void or the upload of {} needs is gone",
            o.key
        );
    }
}
