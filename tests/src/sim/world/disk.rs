//! Mishap model of the disk. A commit is a group of steps; it is kept whole or not at all (the store's
//! transaction), also when the power goes in the middle of it. A commit may fail and be gone, or fail and be
//! kept (the error came after the write), or the disk is full for a time and every commit in it fails. After
//! a failure the machine is discarded, nobody hears what it had to say, and the terminal is rebuilt from disk
//! when the store is open again. What was committed stays, but for one mishap: the file is found damaged at a
//! start, its last commits are gone, and the store puts back what it can prove. Then it knows which keys were
//! used and which numbers may have been, or (marks lost too) the keys only. No record of a settlement is ever
//! lost so; how a file is torn is the store's own matter (`daemon/tests`).
use super::{Event, Out, World};
use crate::sim::{
    checks,
    script::{DiskFault, Scripted},
};
use payterm_core::{Ask, Input, Machine, Query, Step};
use payterm_engine::commit::{CommitQueue, Facing, asked_now, tell_again};
use payterm_schema::{
    Kind, ObligationRecord, Outcome, Record, RequestRecord, Stan, TerminalRecord, Time,
    icc::Icc,
    record::{Entry, Restored},
    settlement::BatchQuery,
};
use std::collections::BTreeMap;

/// Until the store is tried again, ms.
const REOPEN: i64 = 1_000;

pub(super) struct Disk {
    commits: u32,
    faults: BTreeMap<u32, DiskFault>,
    full_until: Time,
    /// The store is being opened again: there is no machine.
    pub down: bool,
}

impl Disk {
    pub fn new(faults: &[(u32, DiskFault)]) -> Self {
        Self { commits: 0, faults: faults.iter().cloned().collect(), full_until: Time(i64::MIN), down: false }
    }
    pub fn calm(&mut self) {
        self.faults.clear();
        self.full_until = Time(i64::MIN);
    }
    fn fault(&mut self, now: Time) -> Option<DiskFault> {
        self.commits += 1;
        let fault = self.faults.remove(&self.commits);
        if let Some(DiskFault::Full(ms)) = fault {
            self.full_until = Time(now.0 + ms);
        }
        if now < self.full_until { Some(DiskFault::Full(0)) } else { fault }
    }
}

impl World {
    /// A point at which the power may be cut. True = it was.
    pub(super) fn point(&mut self) -> bool {
        self.points += 1;
        if self.cut_at.contains(&self.points) {
            self.cut();
            return true;
        }
        false
    }

    fn cut(&mut self) {
        self.cuts += 1;
        self.count("mishap power cut");
        self.skew += self.skews.pop_front().unwrap_or(0);
        // Nobody goes on typing when the screen has gone dark.
        self.events.retain(|_, e| !matches!(e, Event::Key(_) | Event::Vault { .. }));
        self.rebuild();
    }

    /// The power goes, and the journal is found damaged: about `records` at its end are gone.
    pub(super) fn journal_torn(&mut self, records: usize, marks: bool) {
        let of_a_batch = |e: &Entry| {
            let name = super::name(&e.record);
            name.starts_with("settlement")
                || matches!(name.as_str(), "signed_in" | "restored" | "recovery_ended")
        };
        let floor = self.journal.iter().rev().find(|e| of_a_batch(e)).map_or(1, |e| e.seq);
        let end = self.journal.len() as u64;
        // A commit is there or not.
        let (wanted, ends) = (end.saturating_sub(records as u64), self.steps.iter().map(|(seq, _)| *seq));
        let Some(last) = ends
            .filter(|seq| *seq >= floor && *seq <= wanted.max(floor))
            .max()
            .or(Some(end))
            .filter(|seq| *seq > 0)
        else {
            return;
        };
        self.count("mishap journal torn");
        let gone = self.journal.split_off(last as usize);
        let uses = |e: &Entry| match &e.record {
            Record::Request(RequestRecord::Allowed { account, plan, view, .. })
            | Record::Request(RequestRecord::OfflineAllowed { account, plan, view, .. }) => Some((
                (account.clone(), plan.batch.get(), plan.stan.get()),
                view.original.as_ref().and_then(|o| o.txn),
            )),
            _ => None,
        };
        let originals: BTreeMap<u64, u64> =
            self.journal.iter().chain(&gone).filter_map(|e| Some((e.txn?, uses(e)?.1?))).collect();
        for e in &gone {
            if let Record::Request(RequestRecord::Started { key, .. }) = &e.record {
                self.lost.insert(key.clone());
            }
            if let Some(txn) = e.txn {
                self.in_doubt.entry(txn).or_default().extend(uses(e).map(|(at, _)| at));
            }
            // A completion that was cancelled gives its pre-authorisation back, too.
            let mut original = uses(e).and_then(|(_, original)| original);
            while let Some(txn) = original {
                self.in_doubt.entry(txn).or_default();
                original = originals.get(&txn).copied();
            }
        }
        let known = self.durable.last_txn;
        let used: BTreeMap<_, _> = self
            .durable
            .accounts
            .iter()
            .filter_map(|(a, l)| Some((a.clone(), ahead(l.last_stan?))))
            .collect();
        for (_, seals) in self.steps.iter().rev().take_while(|(seq, _)| *seq > last) {
            for (txn, sealed) in seals.iter().rev() {
                if *sealed {
                    self.sealed.remove(txn)
                } else {
                    self.sealed.insert(*txn)
                };
            }
        }
        self.steps.retain(|(seq, _)| *seq <= last);
        self.snapshot = self.snapshot.take().filter(|(seq, _)| *seq <= last);
        self.durable = Default::default();
        self.journal.iter().for_each(|e| self.durable.apply(e).expect("the journal"));
        let lost = gone
            .iter()
            .filter(|e| matches!(e.record, Record::Request(RequestRecord::Started { .. })))
            .count() as u64;
        let (why, kept) = ("it was torn".to_owned(), "journal.damaged-1.db".to_owned());
        self.restoring = Some(Restored {
            why,
            kept,
            backup: Some(last),
            salvaged: 0,
            lost,
            last_txn: known,
            stans: marks.then_some(used),
            outdated: false,
        });
        self.printed_from = self.printed.len();
        let kept: Vec<Outcome> = checks::outcomes(&self.journal).into_values().collect();
        self.model.restored(&kept);
        // Numbers of papers are given again: what the machine before had printed is not told to this one (the
        // daemon's epoch).
        self.events.retain(|_, e| !matches!(e, Event::Printed { .. }));
        self.cut();
    }

    /// A new machine from what the disk holds; what travels goes on.
    fn rebuild(&mut self) {
        self.handed.clear();
        self.calls.clear();
        self.queue_calls.clear();
        self.armed = false;
        self.pin_asked = false;
        self.chip = None;
        self.disk.down = false;
        self.wrong_told = checks::wrong_passwords(&self.journal);
        self.machine = Machine::replay(
            self.settings.clone(),
            self.snapshot.as_ref().map(|(_, s)| s.as_str()),
            self.tail(),
        )
        .expect("replay");
        checks::full_replay(self);
        self.fold = self.machine.state().clone();
        self.queue = CommitQueue::new(self.journal.last().map_or(0, |e| e.seq));
        if let Some((_, view)) = self.machine.running() {
            self.model.read(view);
        }
        checks::outcomes(&self.journal).values().for_each(|o| self.model.read(o));
        self.machine.obligations().iter().for_each(|o| self.model.obligation(o));
        self.boot();
    }

    /// After a failure that was none of the power's: outcomes that became durable and may not have been told.
    fn tell_again(&mut self) {
        for outcome in tell_again(&self.journal, self.clock()) {
            self.model.told(&outcome).unwrap_or_else(|breach| panic!("{breach}"));
            self.told.push((*outcome).clone());
        }
    }

    /// The actor that owns the machine panics: the store finishes what it was given, nothing more is
    /// released.
    pub(super) fn terminal_dies(&mut self) {
        if self.disk.down {
            return;
        }
        self.count("mishap terminal died");
        while let Some(step) = self.handed.pop_front() {
            self.keep(step);
        }
        self.stores_failed();
        self.tell_again();
        self.rebuild();
    }

    /// Something waits for the disk before it is carried out.
    pub fn waits(&self) -> bool {
        self.queue.waiting().next().is_some()
    }
    /// Records handed over and not committed yet.
    pub fn pending(&self) -> impl Iterator<Item = &Entry> {
        self.handed.iter().flat_map(|s| s.records.iter())
    }

    fn tail(&self) -> Vec<Entry> {
        let from = self.snapshot.as_ref().map_or(0, |(seq, _)| *seq);
        self.journal.iter().filter(|e| e.seq > from).cloned().collect()
    }

    /// The machine took a step: the customer is asked, unless something waits that is seen before; its
    /// records go to the disk, its effects wait for them.
    pub(super) fn took(&mut self, step: Step) {
        let mut step = step;
        checks::step(self, &step);
        self.observe(&step);
        let run = self.run;
        let facing = |out: &Out| match out {
            Out::Ask(ask) => Some(Facing::of_ask(ask)),
            Out::Effect(effect) => Facing::of_effect(effect),
        };
        let now = asked_now(&mut step.asks, self.queue.waiting().filter_map(facing));
        if !self.handed.is_empty() {
            self.asked_before_durable += now.iter().filter(|a| matches!(a, Ask::Pin { .. })).count();
        }
        self.release(now.into_iter().map(Out::Ask).collect());
        // The power went meanwhile.
        if self.run != run {
            return;
        }
        let last = step.records.last().map(|e| e.seq);
        let asks = std::mem::take(&mut step.asks).into_iter().map(Out::Ask);
        let out = asks.chain(std::mem::take(&mut step.effects).into_iter().map(Out::Effect)).collect();
        let out = self.queue.push(last, out);
        if let Some(seq) = last {
            self.handed.push_back(step);
            // One commit at a time: what is handed over meanwhile waits for the next.
            if self.handed.len() == 1 {
                self.commit(seq);
            }
        }
        self.carry_out(out);
    }

    fn commit(&mut self, seq: u64) {
        self.later(self.script.commit_ms.max(1), Event::Committed { run: self.run, seq });
    }

    pub(super) fn committed(&mut self, seq: u64) {
        if self.point() {
            return;
        }
        if self.handed.front().is_some_and(|s| s.records.last().is_some_and(|e| e.seq <= seq))
            && let Some(fault) = self.disk.fault(self.now)
        {
            return self.commit_fails(&fault, seq);
        }
        self.keep_up_to(seq);
        if self.point() {
            return;
        }
        if let Some(last) = self.handed.back().and_then(|s| s.records.last()) {
            self.commit(last.seq);
        }
        let out = self.queue.durable(seq);
        self.carry_out(out);
    }

    /// Group commit: all that waits.
    fn keep_up_to(&mut self, seq: u64) {
        while self.handed.front().is_some_and(|s| s.records.last().is_some_and(|e| e.seq <= seq)) {
            let Some(step) = self.handed.pop_front() else { break };
            self.keep(step);
        }
    }

    fn keep(&mut self, step: Step) {
        let before = self.sealed.clone();
        self.sealed.extend(step.seal.iter().map(|(t, _)| *t));
        for t in &step.erase {
            self.sealed.remove(t);
        }
        for e in &step.records {
            if matches!(e.record, Record::Terminal(TerminalRecord::Restored { .. })) {
                self.restoring = None;
            }
            self.count(format!("record {}", super::name(&e.record)));
            if let Record::Request(RequestRecord::Started { key, txn, .. }) = &e.record {
                self.model.begun(*txn, key);
            }
            self.durable.apply(e).expect("the journal");
            if let (Record::Obligation(ObligationRecord::Stuck { .. }), Some(ms)) =
                (&e.record, self.script.asks_after)
            {
                self.later(ms, Event::Scripted(Scripted::Resolve));
            }
        }
        self.journal.extend(step.records);
        if let Some(e) = step.erase_batch {
            let all = checks::outcomes(&self.journal);
            let gone = |t: &u64| {
                all.get(t).is_some_and(|o| o.account.as_ref() == Some(&e.account) && o.batch == Some(e.batch))
            };
            self.sealed.retain(|t| !gone(t) || e.keep.contains(t));
        }
        let (sealed, erased) = (
            self.sealed.difference(&before).map(|t| (*t, true)),
            before.difference(&self.sealed).map(|t| (*t, false)),
        );
        if let Some(last) = self.journal.last() {
            self.steps.push((last.seq, sealed.chain(erased).collect()));
        }
        if step.snapshot.is_some() {
            self.snapshot = step.snapshot;
        }
    }

    fn commit_fails(&mut self, fault: &DiskFault, seq: u64) {
        self.count(format!("disk {}", fault.name()));
        if *fault == DiskFault::FailsKept {
            self.keep_up_to(seq);
        }
        self.handed.clear();
        self.run += 1;
        self.disk.down = true;
        self.armed = false;
        self.pin_asked = false;
        self.stores_failed();
        self.later(REOPEN, Event::Reopened);
    }

    pub(super) fn reopened(&mut self) {
        if self.disk.down {
            self.tell_again();
            self.rebuild();
        }
    }

    /// What nobody hears while the store is down.
    pub(super) fn missed(&mut self, input: &Input) {
        if let Input::Pin { .. } = input {
            self.pin_asked = false;
        }
        if let Input::Start { call, .. } = input {
            self.call_answered(*call, Err(payterm_schema::Fault::Restarting { part: "store".into() }));
        }
    }
}

/// The store's mark of a number: it is moved ahead of those in use.
fn ahead(stan: Stan) -> Stan {
    (0..7).fold(stan, |s, _| s.next())
}

/// The store's look-up of an original.
pub(super) fn matches(query: &Query, o: &Outcome) -> bool {
    match query {
        Query::Key(key) => o.key == *key,
        Query::AuthCode { code, .. } => o.kind == Kind::PreAuth && o.auth_code.as_ref() == Some(code),
        Query::Rrn { rrn } => o.rrn.as_deref() == Some(rrn),
        Query::Batch(b) => b.wants(o),
        Query::Stan { app, stan, .. } => o.key.app == *app && o.stan == Some(*stan),
    }
}

/// The store's look-up of a card's TC.
pub(super) fn certificate(world: &World, query: &BatchQuery, o: &Outcome) -> Option<Icc> {
    let finds = query.group.of_chips() && !world.script.loses_certificates;
    world.journal.iter().rev().filter(|_| finds).find_map(|e| match &e.record {
        Record::Request(RequestRecord::CardEnded { txn, approved: true, icc, .. }) if *txn == o.txn => {
            Some(icc.clone())
        }
        _ => None,
    })
}
