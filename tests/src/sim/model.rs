//! The reference model: what an app, a shopkeeper and the acquirer may see. It imports `payterm_schema` only
//! and knows nothing of how the terminal works. It is fed with what can be observed (requests, frames, the
//! bank's answers, what was heard of them, outcomes told, papers) and says yes, or names the invariant of
//! architecture §3 that is broken.
use payterm_schema::{
    AccountId, Batch, HostAnswer, HostEvent, HostMessage, Kind, Outcome, Request, RequestKey, Status,
    host::{MacVerdict, MessageKind, Plan},
    kind::{Recovery, Side},
    outcome::{Authority, Forwarding},
    paper::{PaperJob, PaperKind, PrintResult},
    record::{Obligation, ObligationState},
};
use std::collections::{BTreeMap, BTreeSet};

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    pub invariant: u8,
    pub what: String,
}
impl std::fmt::Display for Breach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "invariant {} (model): {}", self.invariant, self.what)
    }
}
pub type Verdict = Result<(), Breach>;

fn holds(yes: bool, invariant: u8, what: impl FnOnce() -> String) -> Verdict {
    if yes { Ok(()) } else { Err(Breach { invariant, what: what() }) }
}

/// A message of the acquirer's books: account, batch, STAN.
pub type Place = (AccountId, u32, u32);

pub fn place(account: &AccountId, plan: &Plan) -> Place {
    (account.clone(), plan.batch.get(), plan.stan.get())
}

/// Tells whether both speak of the same message to the acquirer.
fn same_frame(a: &Outcome, b: &Outcome) -> bool {
    let of = |o: &Outcome| (o.account.clone(), o.batch, o.stan, o.sums.amount);
    a.stan.is_some() && of(a) == of(b)
}

/// A request frame that left, or may have.
#[derive(Clone, Debug)]
struct Frame {
    key: String,
    kind: Kind,
    amount: Option<u64>,
    wallet: bool,
    /// Accepted without the acquirer, who is told: nothing but its advice ever leaves.
    advice: bool,
    /// No valid answer to it was heard, nor to what undoes or repeats it; no person was told.
    owed: bool,
    /// It was told that a person must look.
    with_person: bool,
    /// Codes that were heard with a good MAC, and all that were heard.
    good: BTreeSet<String>,
    heard: BTreeSet<String>,
    /// Its reversal was answered with a code that ends it.
    undone: bool,
    /// A byte of it has left, or may have: now, and before the try under way.
    left: bool,
    had_left: bool,
    /// It was answered that it is kept back; or that it is given up, or told that it was withdrawn.
    held: bool,
    gone: bool,
    /// Sum that the acquirer's books hold of it, minor units.
    posted: Option<u64>,
}

impl Frame {
    fn new(key: String, kind: Kind, amount: Option<u64>, wallet: bool) -> Self {
        Self {
            key,
            kind,
            amount,
            wallet,
            advice: false,
            owed: true,
            with_person: false,
            good: BTreeSet::new(),
            heard: BTreeSet::new(),
            undone: false,
            left: false,
            had_left: false,
            held: false,
            gone: false,
            posted: None,
        }
    }
}

/// Key, and what an app knows of it.
#[derive(Clone, Debug, Default)]
struct Known {
    voice: bool,
    txn: Option<u64>,
    kind: Option<Kind>,
    last: Option<Outcome>,
    /// A person has said what became of it, or that they look no further.
    resolved: bool,
    given_up: bool,
    /// The final outcome that was told before the journal was restored without it.
    before: Option<Outcome>,
    /// Originals on paper, by kind of paper.
    originals: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    keys: BTreeMap<String, Known>,
    frames: BTreeMap<Place, Frame>,
    /// STANs that were used: by requests, queries, and messages of the terminal itself.
    /// Messages with the results of a script.
    script_results: BTreeSet<Place>,
    stans: BTreeSet<Place>,
    /// Messages of settlements: the same STAN is the same message.
    settlements: BTreeMap<Place, Plan>,
    txns: BTreeMap<u64, String>,
    jobs: BTreeMap<u64, u32>,
    /// The journal was restored, and nobody has ended that.
    recovering: bool,
}

impl Model {
    /// The app asks, or asks again.
    pub fn asked(&mut self, key: &RequestKey, request: &Request) {
        let known = self.keys.entry(key.to_string()).or_default();
        known.voice = request.auth_code.is_some();
        known.kind = Some(request.kind);
    }

    /// On disk, and in the queue that a person looks at, before the app is told.
    pub fn begun(&mut self, txn: u64, key: &RequestKey) {
        self.txns.entry(txn).or_insert_with(|| key.to_string());
    }

    /// The app reads what became of its request, as after a restart. A number that it names was used, whether
    /// its frame left or not.
    pub fn read(&mut self, o: &Outcome) {
        self.txns.entry(o.txn).or_insert_with(|| o.key.to_string());
        let (Some(account), Some(batch), Some(stan)) = (&o.account, o.batch, o.stan) else { return };
        let at = (account.clone(), batch.get(), stan.get());
        if self.stans.insert(at.clone()) {
            let advice = o.forwarding.is_some();
            let frame = Frame::new(o.key.to_string(), o.kind, o.sums.amount, o.wallet.is_some());
            self.frames.insert(at, Frame { advice, owed: !advice, ..frame });
        }
    }

    /// The terminal hands a message to its link.
    pub fn sent(&mut self, m: &HostMessage) -> Verdict {
        let at = place(&m.account, &m.plan);
        let moves_none = m.message_kind == MessageKind::Request
            && matches!(m.plan.kind, Kind::SignIn | Kind::SignOff | Kind::Echo);
        holds(!self.recovering || moves_none, 4, || {
            format!("{m:?} leaves although the journal was restored and nobody has ended that")
        })?;
        match m.message_kind {
            MessageKind::Request => self.request_sent(m, at),
            MessageKind::Query => {
                let original = m
                    .plan
                    .original
                    .as_ref()
                    .and_then(|o| Some((m.account.clone(), o.batch?.get(), o.stan?.get())));
                holds(original.is_some_and(|o| self.frames.get(&o).is_some_and(|f| f.wallet)), 5, || {
                    format!("a query of no payment by code: {m:?}")
                })?;
                holds(self.stans.insert(at), 6, || {
                    format!("STAN {} of a query was used in its batch", m.plan.stan)
                })
            }
            MessageKind::ScriptResult => {
                let again = !self.script_results.insert(at.clone());
                holds(again || self.stans.insert(at), 6, || {
                    format!("STAN {} of a script's results was used in its batch", m.plan.stan)
                })
            }
            MessageKind::Repeat | MessageKind::Reversal(_) => {
                let what = if m.message_kind == MessageKind::Repeat { "a repetition" } else { "a reversal" };
                let Some(f) = self.frames.get(&at) else {
                    return Err(Breach {
                        invariant: 6,
                        what: format!("{what} of STAN {}, under which nothing left", m.plan.stan),
                    });
                };
                holds(!f.held || m.message_kind != MessageKind::Repeat, 12, || {
                    format!("{}: answered that it is kept back, and {what} leaves", f.key)
                })?;
                holds(!f.gone, 12, || {
                    format!("{}: told that it was written off or withdrawn, and {what} leaves", f.key)
                })?;
                let due =
                    if m.message_kind == MessageKind::Repeat { Recovery::Repeat } else { Recovery::Reverse };
                let owes = if f.advice { Recovery::Repeat } else { f.kind.row().recovery };
                holds(owes == due, 4, || format!("{}: {what} is not what {:?} owes", f.key, f.kind))?;
                let same = f.kind == m.plan.kind && f.amount == m.plan.amount.map(|a| a.minor());
                holds(same, 6, || {
                    format!(
                        "{}: {what} of {:?} {:?} names {:?} {:?}",
                        f.key, f.kind, f.amount, m.plan.kind, m.plan.amount
                    )
                })?;
                let told = self.keys.get(&f.key).and_then(|k| k.last.as_ref());
                let undoes_approved = m.message_kind != MessageKind::Repeat
                    && told.is_some_and(|o| {
                        o.status == Status::Approved
                            && o.stan == Some(m.plan.stan)
                            && o.batch == Some(m.plan.batch)
                    });
                holds(!undoes_approved, 5, || format!("{}: told that it was approved, and reversed", f.key))?;
                if let Some(f) = self.frames.get_mut(&at) {
                    (f.had_left, f.left) = (f.left, true);
                }
                Ok(())
            }
        }
    }

    fn settlement_sent(&mut self, m: &HostMessage, at: Place) -> Verdict {
        if let Some(before) = self.settlements.get(&at) {
            return holds(*before == m.plan, 6, || {
                format!("STAN {} of a settlement leaves again with another message", m.plan.stan)
            });
        }
        self.settlements.insert(at.clone(), m.plan.clone());
        // The app may have read its number before it left.
        let read = self.frames.get(&at).is_some_and(|f| f.kind == Kind::Settlement);
        holds(self.stans.insert(at.clone()) || read, 6, || {
            format!("STAN {} of a settlement was used in its batch", m.plan.stan)
        })?;
        if let Some(key) = m.log.clone() {
            self.frames.entry(at).or_insert_with(|| Frame::new(key, Kind::Settlement, None, false));
        }
        Ok(())
    }

    fn request_sent(&mut self, m: &HostMessage, at: Place) -> Verdict {
        if m.plan.settlement.is_some() {
            return self.settlement_sent(m, at);
        }
        holds(self.stans.insert(at.clone()), 6, || {
            format!("STAN {} was used in batch {} of {}", m.plan.stan, m.plan.batch, m.account)
        })?;
        let Some(key) = m.log.clone() else { return Ok(()) };
        let Some(known) = self.keys.get(&key) else {
            return Err(Breach {
                invariant: 5,
                what: format!("{key}: nobody asked for it, and its frame leaves"),
            });
        };
        holds(known.last.is_none(), 5, || {
            format!("{key}: a new frame although {:?} was told", known.last.as_ref().map(|o| o.status))
        })?;
        let row = m.plan.kind.row();
        if row.authorisation {
            let open = self
                .frames
                .iter()
                .find(|(_, f)| f.key == key && f.owed && f.kind.row().recovery != Recovery::AskAgain);
            holds(open.is_none(), 1, || format!("{key}: sent again although {open:?} is not answered"))?;
            // What is accepted and told again holds nobody up.
            let unknown = |f: &Frame| {
                f.owed
                    && !f.wallet
                    && !f.advice
                    && !matches!(f.kind.row().recovery, Recovery::AskAgain | Recovery::Repeat)
            };
            let owed = self.frames.iter().find(|((a, ..), f)| *a == m.account && unknown(f));
            holds(owed.is_none(), 4, || {
                format!("{key}: an authorisation leaves although {owed:?} is not answered")
            })?;
        }
        let amount = m.plan.amount.map(|a| a.minor());
        let frame = Frame::new(key, m.plan.kind, amount, m.plan.wallet.is_some());
        self.frames.insert(at, Frame { left: true, ..frame });
        Ok(())
    }

    /// The acquirer processes a message, and answers.
    pub fn at_bank(&mut self, m: &HostMessage, answer: &HostAnswer) {
        // A query speaks of the payment that it names.
        let at = match m.message_kind {
            MessageKind::Query => m
                .plan
                .original
                .as_ref()
                .and_then(|o| Some((m.account.clone(), o.batch?.get(), o.stan?.get()))),
            MessageKind::Request | MessageKind::Repeat | MessageKind::Reversal(_) => {
                Some(place(&m.account, &m.plan))
            }
            // No payment stands or falls with it.
            MessageKind::ScriptResult => None,
        };
        let Some(f) = at.and_then(|at| self.frames.get_mut(&at)) else { return };
        match (m.message_kind, answer.code.as_str()) {
            (MessageKind::Request | MessageKind::Repeat, "00" | "10") if f.kind.row().slip => {
                f.posted = answer.amount.or(f.amount)
            }
            // It may be executed still.
            (MessageKind::Request, "09") if f.wallet && f.kind == Kind::Sale => f.posted = f.amount,
            // What ends a reversal without being signed may be another's word.
            (MessageKind::Reversal(_), "12" | "25") if answer.mac == MacVerdict::Absent => {}
            (MessageKind::Reversal(_), "00" | "12" | "25") => f.posted = None,
            // 12 and 25 are no word on the payment: it is reversed.
            (MessageKind::Query, "00" | "09" | "10" | "12" | "25" | "77" | "96" | "A0" | "91") => {}
            // Whoever does not sign it has not said it.
            (MessageKind::Query, _) if answer.mac != MacVerdict::Good => {}
            (MessageKind::Query, _) => f.posted = None,
            (
                MessageKind::Request
                | MessageKind::Repeat
                | MessageKind::Reversal(_)
                | MessageKind::ScriptResult,
                _,
            ) => {}
        }
    }

    /// Notes what the terminal hears of a message.
    pub fn heard(&mut self, m: &HostMessage, event: &HostEvent) {
        let at = match m.message_kind {
            MessageKind::Query => m
                .plan
                .original
                .as_ref()
                .and_then(|o| Some((m.account.clone(), o.batch?.get(), o.stan?.get()))),
            MessageKind::Request | MessageKind::Repeat | MessageKind::Reversal(_) => {
                Some(place(&m.account, &m.plan))
            }
            // No payment stands or falls with it.
            MessageKind::ScriptResult => None,
        };
        let Some(f) = at.and_then(|at| self.frames.get_mut(&at)) else { return };
        match event {
            // What never left owes nothing to what comes after it.
            HostEvent::NotSent { .. } | HostEvent::Untrusted { .. } | HostEvent::Unbuildable { .. } => {
                f.owed &= m.message_kind != MessageKind::Request;
                if m.message_kind != MessageKind::Query {
                    f.left = f.had_left;
                }
            }
            HostEvent::NoReply { .. } | HostEvent::Unusable { .. } => {
                f.owed |= m.message_kind == MessageKind::Repeat && f.good.is_empty() && !f.with_person
            }
            HostEvent::Reply { answer, .. } | HostEvent::Late { answer, .. } => {
                f.heard.insert(answer.code.clone());
                // The terminal's own messages carry no MAC.
                if f.kind.row().authorisation && !matches!(answer.mac, MacVerdict::Good | MacVerdict::NotUsed)
                {
                    // A refusal that nobody signed may be taken for one.
                    f.owed &= m.message_kind != MessageKind::Request
                        || matches!(answer.code.as_str(), "00" | "10")
                        || answer.mac == MacVerdict::Wrong;
                    return;
                }
                let ends = matches!(answer.code.as_str(), "00" | "12" | "25");
                match m.message_kind {
                    MessageKind::Reversal(_) if ends => (f.owed, f.undone) = (false, true),
                    MessageKind::Reversal(_) | MessageKind::ScriptResult => {}
                    MessageKind::Request | MessageKind::Repeat | MessageKind::Query => {
                        // A late answer to a request does not end what it owes; that to the totals of a
                        // settlement does.
                        let late = matches!(event, HostEvent::Late { .. })
                            && m.message_kind == MessageKind::Request
                            && f.kind != Kind::Settlement;
                        f.owed &= late;
                        if !late {
                            f.good.insert(answer.code.clone());
                        }
                    }
                }
            }
        }
    }

    /// The app is told an outcome (or reads it).
    pub fn told(&mut self, o: &Outcome) -> Verdict {
        let key = o.key.to_string();
        let owner = self.txns.entry(o.txn).or_insert_with(|| key.clone());
        holds(*owner == key, 5, || format!("transaction {} was {owner}, and is {key}", o.txn))?;
        if o.key.app == "terminal" {
            // It asked itself.
            self.keys.entry(key.clone()).or_default().kind = Some(Kind::Settlement);
        }
        let Some(known) = self.keys.get_mut(&key) else {
            return Err(Breach { invariant: 12, what: format!("{key}: told, and nobody asked") });
        };
        holds(*known.txn.get_or_insert(o.txn) == o.txn, 5, || {
            format!("{key}: another transaction, {}", o.txn)
        })?;
        holds(known.kind == Some(o.kind), 5, || format!("{key}: another kind, {:?}", o.kind))?;
        if let Some(before) = &known.last {
            let same = before.status == o.status && before.sums.amount == o.sums.amount;
            let gains =
                same && (before.forwarding == o.forwarding || before.forwarding == Some(Forwarding::Pending));
            let becomes = before.status == Status::Unknown && o.status.is_final();
            holds(gains || becomes, 5, || {
                format!(
                    "{key}: {:?} {:?} became {:?} {:?}",
                    before.status, before.forwarding, o.status, o.forwarding
                )
            })?;
        }
        if let Some(before) = known
            .before
            .as_ref()
            .filter(|b| o.status.is_final() && !known.given_up && o.kind.row().slip && same_frame(b, o))
        {
            // Of an advice the acquirer's word counts, whatever was told first.
            let stands = |o: &Outcome| match &o.forwarding {
                // That it was withdrawn nobody knows but the terminal, which may have lost it.
                Some(Forwarding::Pending | Forwarding::Withdrawn) => None,
                Some(f) if f.is_lost() => Some(false),
                Some(_) | None => Some(o.status == Status::Approved),
            };
            let same = stands(before).zip(stands(o)).is_none_or(|(before, now)| before == now);
            holds(same, 5, || {
                format!(
                    "{key}: told {:?} before the journal was restored, and {:?} after it",
                    before.status, o.status
                )
            })?;
        }
        known.last = Some(o.clone());
        if o.forwarding.is_some() {
            self.read(o);
        }
        if o.forwarding == Some(Forwarding::Withdrawn) {
            self.frames.values_mut().filter(|f| f.key == key).for_each(|f| f.gone = true);
        }
        self.founded(o)
    }

    /// Judges that what is said has happened, as far as the terminal can have heard.
    fn founded(&self, o: &Outcome) -> Verdict {
        let key = o.key.to_string();
        let Some(known) = self.keys.get(&key) else { return Ok(()) };
        let row = o.kind.row();
        let own = o
            .account
            .clone()
            .zip(o.batch)
            .zip(o.stan)
            .and_then(|((a, b), s)| self.frames.get(&(a, b.get(), s.get())));
        let good = |codes: &[&str]| own.is_some_and(|f| codes.iter().any(|c| f.good.contains(*c)));
        match (o.status, o.authority) {
            (Status::Approved, None) => {
                return Err(Breach { invariant: 2, what: format!("{key}: approved by nobody") });
            }
            (Status::Approved, Some(Authority::Host)) if row.recovery != Recovery::Repeat => {
                holds(known.resolved || good(&["00", "10"]), 2, || {
                    format!("{key}: approved by a host that was not heard to say so")
                })?;
            }
            (Status::Approved, Some(Authority::Voice)) => {
                holds(known.voice, 2, || format!("{key}: approved by a voice that nobody heard"))?
            }
            (Status::Approved, Some(Authority::Merchant)) => {
                let left = self
                    .frames
                    .values()
                    .find(|f| f.key == key && !f.advice && (f.owed || !f.heard.is_empty()));
                holds(left.is_none(), 2, || {
                    format!("{key}: approved by the merchant although {left:?} may have been executed")
                })?;
                holds(o.forwarding.is_some() && !o.pin && o.wallet.is_none(), 2, || {
                    format!("{key}: approved by the merchant: {o:?}")
                })?;
            }
            (Status::Approved, Some(Authority::Host | Authority::Card)) => {}
            (
                Status::Declined | Status::Cancelled | Status::Failed | Status::Unknown | Status::Running,
                _,
            ) => {}
        }
        match &o.forwarding {
            Some(Forwarding::Forwarded) => holds(known.resolved || good(&["00", "94", "10"]), 12, || {
                format!("{key}: told that it was forwarded")
            })?,
            Some(Forwarding::Refused(code)) => {
                holds(known.resolved || good(&[code]), 12, || {
                    format!("{key}: told that it was refused with {code}")
                })?;
            }
            Some(Forwarding::WrittenOff { .. }) => {
                holds(known.given_up, 12, || format!("{key}: told that it was written off, and nobody did"))?
            }
            Some(Forwarding::Withdrawn) => {
                let left = self.frames.values().find(|f| f.key == key && (f.left || f.posted.is_some()));
                holds(left.is_none(), 12, || {
                    format!("{key}: told that nobody hears of it, and it has left: {left:?}")
                })?;
            }
            Some(Forwarding::Pending) | None => {}
        }
        let reason = o.reason.as_ref().map(|r| r.code.as_str()).unwrap_or_default();
        holds(reason != "written-off" || known.given_up, 12, || {
            format!("{key}: told that it was written off, and nobody did")
        })?;
        let resolved = known.resolved || o.kind == Kind::Settlement;
        holds(reason != "resolved-not-executed" || resolved, 12, || {
            format!("{key}: told that the acquirer says so, and nobody asked it")
        })?;
        if o.status == Status::Declined && reason == "reversed" {
            let open = self.frames.values().find(|f| f.key == key && f.owed);
            let undone = self.frames.values().any(|f| f.key == key && f.undone);
            holds(undone && open.is_none(), 12, || {
                format!("{key}: told that it was reversed, and {open:?}")
            })?;
        }
        if o.status == Status::Declined
            && let Some(code) = reason.strip_prefix("host-")
        {
            let said = self.frames.values().any(|f| f.key == key && f.heard.contains(code));
            holds(said, 12, || format!("{key}: no host said {code}"))?;
        }
        Ok(())
    }

    /// Notice of an obligation: what is Stuck is with a person and holds nobody up.
    pub fn obligation(&mut self, o: &Obligation) {
        if o.state == ObligationState::Stuck
            && let Some(f) = self.frames.get_mut(&place(&o.account, &o.plan))
        {
            (f.owed, f.with_person) = (false, true);
        }
    }

    /// A person says what became of this transaction; these frames of it were taken back at the acquirer.
    pub fn resolved(&mut self, txn: u64, undone: &[Place]) {
        let Some(key) = self.txns.get(&txn).cloned() else { return };
        self.keys.entry(key.clone()).or_default().resolved = true;
        for (at, f) in self.frames.iter_mut().filter(|(_, f)| f.key == key) {
            f.owed = false;
            f.posted = f.posted.filter(|_| !undone.contains(at));
        }
    }

    /// A person keeps its advices back: from that answer on. Or lets them go: from that question on.
    pub fn held(&mut self, txn: u64, hold: bool) {
        let Some(key) = self.txns.get(&txn) else { return };
        self.frames.values_mut().filter(|f| f.key == *key).for_each(|f| f.held = hold);
    }

    /// The supervisor gives it up. `answered`: from here on nothing of it leaves.
    pub fn given_up(&mut self, txn: u64, answered: bool) {
        let Some(key) = self.txns.get(&txn).cloned() else { return };
        self.keys.entry(key.clone()).or_default().given_up = true;
        if answered {
            self.frames.values_mut().filter(|f| f.key == key).for_each(|f| (f.owed, f.gone) = (false, true));
        }
    }

    /// The journal was put back without its end: `kept` is what it still tells. All that was open is a
    /// person's; numbers and keys stay used.
    pub fn restored(&mut self, kept: &[Outcome]) {
        self.recovering = true;
        // A paper of which the record is gone comes once more, under another number.
        self.jobs.clear();
        self.frames
            .values_mut()
            .for_each(|f| (f.owed, f.with_person, f.held, f.gone) = (false, true, false, false));
        for (key, known) in &mut self.keys {
            known.originals.clear();
            let now = kept
                .iter()
                .find(|o| o.key.to_string() == *key)
                .filter(|o| o.status != Status::Running)
                .cloned();
            if let Some(told) = std::mem::replace(&mut known.last, now).filter(|o| o.status.is_final()) {
                known.before = Some(told);
            }
        }
    }

    /// A person says that what was lost is reconciled.
    pub fn recovery_ended(&mut self) {
        self.recovering = false;
    }

    /// A paper goes to the printer.
    pub fn paper(&mut self, job: &PaperJob, duplicate: bool, result: &PrintResult) -> Verdict {
        let touched = !matches!(result, PrintResult::NotStarted(_));
        let Some(o) = job.outcome() else { return Ok(()) };
        let (key, copy) =
            (o.key.to_string(), matches!(job.kind, PaperKind::MerchantCopy | PaperKind::CustomerCopy));
        if copy {
            holds(o.status == Status::Approved, 12, || format!("{key}: a slip of what is {:?}", o.status))?;
            self.founded(o)?;
        }
        if touched && !duplicate {
            let n = self.jobs.entry(job.id).or_default();
            *n += 1;
            holds(*n == 1, 5, || format!("{key}: two originals of paper {}", job.id))?;
            if copy {
                let known = self.keys.entry(key.clone()).or_default();
                let n = known.originals.entry(format!("{:?}", job.kind)).or_default();
                *n += 1;
                holds(*n == 1, 5, || format!("{key}: two originals of its {:?}", job.kind))?;
            }
        }
        Ok(())
    }

    /// Nothing is left to happen: keys, money and totals must agree. `open`: transactions that a person must
    /// look at still. `totals`: what the terminal counts, per account: the open batch, debit and credit,
    /// minor units.
    pub fn at_rest(
        &self,
        outcomes: &[Outcome],
        open: &BTreeSet<u64>,
        totals: &BTreeMap<AccountId, (Batch, u64, u64)>,
    ) -> Verdict {
        let mut sums: BTreeMap<AccountId, (u64, u64)> = BTreeMap::new();
        for o in outcomes {
            let key = o.key.to_string();
            let told = self.keys.get(&key).and_then(|k| k.last.as_ref());
            let same = told.is_none_or(|t| t.status == o.status || t.status == Status::Unknown);
            holds(same, 5, || {
                format!("{key}: told {:?}, and {:?} is read", told.map(|t| t.status), o.status)
            })?;
            let standing: Vec<u64> =
                self.frames.values().filter(|f| f.key == key).filter_map(|f| f.posted).collect();
            holds(standing.len() <= 1, 1, || {
                format!("{key}: {} approvals stand at the acquirer", standing.len())
            })?;
            let refused = o.forwarding.as_ref().is_some_and(|f| !f.counts());
            let open_batch = o
                .account
                .as_ref()
                .and_then(|a| totals.get(a))
                .is_some_and(|(batch, ..)| o.batch == Some(*batch));
            if o.status == Status::Approved && !refused && open_batch {
                let sum = sums
                    .entry(o.account.clone().unwrap_or_else(|| unreachable!("approved by no account")))
                    .or_default();
                let minor = if o.kind == Kind::TipAdjust { o.sums.tip } else { o.sums.amount }.unwrap_or(0);
                match o.kind.row().side {
                    Side::Debit => sum.0 += minor,
                    Side::Credit => sum.1 += minor,
                    Side::None => {}
                }
            }
            if open.contains(&o.txn) || given_up(o) {
                continue;
            }
            holds(o.status.is_final(), 8, || format!("{key}: at rest, and {:?}", o.status))?;
            if o.status == Status::Approved && !refused && o.kind.row().slip {
                holds(standing.first() == o.sums.amount.as_ref(), 3, || {
                    format!("{key}: approved {:?}, at the acquirer {standing:?}", o.sums.amount)
                })?;
            } else {
                let given_up =
                    o.status != Status::Approved && self.keys.get(&key).is_some_and(|k| k.given_up);
                holds(standing.is_empty() || given_up, 3, || {
                    format!("{key}: told {:?}, and {standing:?} stands at the acquirer", o.status)
                })?;
            }
        }
        for (account, sum) in totals {
            let ours = sums.get(account).copied().unwrap_or_default();
            holds(ours == (sum.1, sum.2), 6, || {
                format!("{account}: approvals sum up to {ours:?}, the terminal counts {sum:?}")
            })?;
        }
        Ok(())
    }
}

/// The supervisor has written it off. The checkers' own reading, not [`Outcome::written_off`]: one that said
/// yes too often would excuse what they are to find.
pub(crate) fn given_up(o: &Outcome) -> bool {
    matches!(o.forwarding, Some(Forwarding::WrittenOff { .. }))
        || o.reason.as_ref().is_some_and(|r| r.code == "written-off")
}

#[cfg(test)]
mod tests {
    /// What it is compared with must not be built of the same parts.
    #[test]
    fn it_imports_the_schema_only() {
        for text in [include_str!("model.rs"), include_str!("bank.rs")] {
            let code = text.split("#[cfg(test)]").next().expect("code");
            let foreign = code
                .split(|c: char| !(c.is_alphanumeric() || c == '_'))
                .find(|w| w.starts_with("payterm_") && *w != "payterm_schema");
            assert_eq!(foreign, None);
            assert!(!code.contains("crate::"), "a part of the world");
        }
    }
}
