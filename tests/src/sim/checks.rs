//! The checkers: the invariants of architecture §3, by number.
mod books;
mod invariants;

pub use books::cards_disagree;
pub use invariants::full_replay;
use invariants::*;

use crate::sim::world::World;
use payterm_core::{Ask, Effect, Step, VaultAsk};
use payterm_schema::{
    Outcome, Record, RequestKey, RequestRecord, Screen, operator::OperatorEvent, record::Entry,
};
use std::collections::BTreeMap;

/// The last outcome on disk of each transaction; running ones as they started.
pub fn outcomes(journal: &[Entry]) -> BTreeMap<u64, Outcome> {
    let mut out: BTreeMap<u64, Outcome> = BTreeMap::new();
    let mut touched: BTreeMap<(u64, u64, usize), ()> = BTreeMap::new();
    let mut refunded: BTreeMap<u64, u64> = BTreeMap::new();
    let mut tips: BTreeMap<u64, u64> = BTreeMap::new();
    for e in journal {
        match &e.record {
            Record::Request(RequestRecord::Started { txn, view, .. }) => {
                out.insert(*txn, (**view).clone());
            }
            Record::Request(RequestRecord::Outcome { outcome, .. }) => {
                out.insert(outcome.txn, (**outcome).clone());
            }
            Record::Request(RequestRecord::Voided { txn, by }) => drop(touched.insert((*txn, *by, 0), ())),
            Record::Request(RequestRecord::Completed { txn, by }) => drop(touched.insert((*txn, *by, 1), ())),
            Record::Request(RequestRecord::Adjusted { txn, by, tip }) => {
                touched.insert((*txn, *by, 2), ());
                tips.insert(*txn, *tip);
            }
            Record::Request(RequestRecord::Released { txn, by }) => {
                touched.retain(|(t, b, how), ()| (t, b) != (txn, by) || *how == 0)
            }
            Record::Request(RequestRecord::RefundHeld { txn, minor, .. }) => {
                *refunded.entry(*txn).or_default() += minor
            }
            Record::Request(RequestRecord::RefundFreed { txn, minor, .. }) => {
                *refunded.entry(*txn).or_default() -= minor
            }
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
    journal.iter().filter(|e| matches!(&e.record, Record::Operator(OperatorEvent::Wrong { .. }))).count()
}

/// After each step of the machine.
pub fn step(world: &mut World, step: &Step) {
    i9_no_secret(step);
    i5_started_once(world, step);
    i6_batch_stays(world, step);
    i7_replay(world, step);
    i8_forwarded_now(world, step);
}

/// Checks what leaves before its step's records: the prompts of a request, and no other screen.
pub fn ask(world: &World, ask: &Ask) {
    if let Ask::Show(Screen::Result { outcome }, _) = ask {
        i12_told_after_disk(world, outcome);
    }
    let tells = matches!(ask, Ask::Show(s, _) if !matches!(s, Screen::Present { .. } | Screen::Pin { .. }));
    assert!(!tells, "invariant 12: {ask:?} is shown before its records are on disk");
}

/// Before each effect is carried out: what must be on disk by then.
pub fn effect(world: &World, effect: &Effect) {
    match effect {
        Effect::Send(m) => {
            i4_allowed_on_disk(world, m);
            i4_nothing_owed(world, m);
            i4_chip_reversed(world, m);
            advices_in_order(world, m);
        }
        Effect::Tell(notice) => {
            if let payterm_schema::Notice::Outcome { outcome } = &**notice {
                i12_told_after_disk(world, outcome);
                i2_tc_on_disk(world, outcome);
            }
        }
        // No try is for nothing: what was wrong is on disk before the next one, and before the screen says
        // so.
        Effect::AskVault { ask: VaultAsk::Check { .. }, .. }
        | Effect::Show(Screen::Password { .. } | Screen::Locked { .. }, _) => {
            wrong_password_on_disk(world, effect);
        }
        Effect::Answer { .. }
        | Effect::Show(..)
        | Effect::Speak(_)
        | Effect::AskVault { .. }
        | Effect::ForgetKeys { .. }
        | Effect::UseDownloads { .. }
        | Effect::Load { .. }
        | Effect::TellCard { .. }
        | Effect::StopCard { .. }
        | Effect::EndCard { .. }
        | Effect::Print { .. }
        | Effect::Tms { .. }
        | Effect::Renew => {}
    }
}

/// Checks when all that a step had to do is done.
pub fn released(world: &World) {
    if let (false, Some(shown)) = (world.waits() || world.boots, world.shown.last()) {
        assert_eq!(
            *shown,
            world.machine.screen(),
            "invariant 12: a page of before stands over the one of now"
        );
    }
    if world.machine.running().is_none() && world.pending().next().is_none() {
        i10_devices_idle(world);
    }
}

/// Checks when nothing is left to happen.
pub fn at_rest(world: &World) {
    full_replay(world);
    i1_cards(world);
    i8_scripts_told(world);
    i8_all_settled(world);
    i10_devices_idle(world);
    i5_outcomes_stay(world);
    i6_stans_once(world);
    offline(world);
    i6_sums(world);
    batches(world);
    books::i1_i3_books(world);
    books::sealed(world);
    papers(world);
    let outcomes: Vec<Outcome> = outcomes(&world.journal).into_values().collect();
    let accounts = &world.machine.state().accounts;
    let settling = accounts.values().filter_map(|l| l.settling.as_ref()).map(|s| s.txn);
    let open = world
        .machine
        .obligations()
        .iter()
        .map(|o| o.txn)
        .chain(settling)
        .chain(world.in_doubt.keys().copied())
        .collect();
    let totals =
        accounts.iter().map(|(a, l)| (a.clone(), (l.batch, l.debit_minor, l.credit_minor))).collect();
    world.model.at_rest(&outcomes, &open, &totals).unwrap_or_else(|breach| panic!("{breach}"));
}
