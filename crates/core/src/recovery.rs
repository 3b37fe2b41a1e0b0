//! A journal that was restored, is damaged, or is older than what an acquirer knows: no payments until a
//! person has seen to it.
use crate::{context::Context, line::own_settlement, signal::Signal, view};
use payterm_schema::{
    AccountId, Batch, Fault, Kind, Notice, RequestKey, RequestRecord, Status, TerminalRecord, Time,
    outcome::Class,
    record::{Obligation, ObligationState, ProvisionalOf, Restored},
    settlement::{Halves, Settlement},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovering {
    pub since: Time,
    pub restored: Restored,
    /// Accounts whose hosts are in another batch than ours, which has records: it may have been closed in
    /// what is lost.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub batches: BTreeMap<AccountId, BatchInDoubt>,
    /// Accounts that have signed in since: their hosts' batches are known.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub heard: BTreeSet<AccountId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchInDoubt {
    /// The batch that the host named; ours and one, where its acquirer cannot be heard.
    pub theirs: Batch,
    /// The settlement that a person says the outcome of.
    pub txn: Option<u64>,
    /// They said that ours is open.
    pub open: bool,
}

/// What moves no money, and what a person needs to find out what happened.
fn moves_none(kind: Kind) -> bool {
    matches!(kind, Kind::SignIn | Kind::SignOff | Kind::Echo)
}

/// Nothing is tried again before a person has said that it may be.
pub(crate) fn recovery_first() -> Fault {
    Fault::WrongState { rule: "the journal was restored: end the recovery first".into() }
}

impl Context {
    /// May a request start that this journal does not know?
    pub fn trustworthy(&self, key: &RequestKey, kind: Kind) -> Result<(), Fault> {
        match (&self.damaged, &self.state.recovering) {
            _ if moves_none(kind) => Ok(()),
            (Some(cause), _) => Err(Fault::JournalDamaged { cause: cause.clone() }),
            (None, Some(_)) => Err(Fault::JournalRestored { id: key.id.clone() }),
            (None, None) => Ok(()),
        }
    }

    /// Its obligations may have been answered in what was lost: a reversal now could take back what was told
    /// as approved. Each is a person's, and the request that ran ends unknown, whatever the journal says of
    /// its frame. Where nothing was restored, advices go on: who knows one already says so.
    pub fn leave_to_people(&mut self) {
        let outdated = self.state.recovering.as_ref().is_some_and(|r| r.restored.outdated);
        let theirs = |o: &&Obligation| {
            let runs = self.runs(o.txn) && o.state == ObligationState::Armed;
            o.state != ObligationState::Stuck && !runs && !(outdated && o.duty.is_told())
        };
        let open: Vec<Obligation> = self.state.obligations.iter().filter(theirs).cloned().collect();
        open.iter().for_each(|o| self.stuck(o));
    }

    /// An acquirer knows of what this journal does not: an old copy of it was put back. What was used since
    /// is not known, as after a restoring.
    pub fn outdated(&mut self, why: &str) {
        let Some(record) = self.finding(why) else { return };
        self.record(None, record);
        let auto = self.settings.accounts.iter().filter(|a| a.rules.sign_in && a.config.auto_sign_in);
        let again: Vec<AccountId> = auto.map(|a| a.config.id.clone()).collect();
        again.into_iter().for_each(|account| self.signal(Signal::SignInWanted { account }));
    }

    /// It ran when the journal was damaged. Whether a frame of it is on record or not: what became of it may
    /// have been told.
    pub fn cut_off(&mut self) {
        let running = self.running().clone();
        let mut outcome = Arc::unwrap_or_clone(running.view);
        if let Some((of, answer)) = &running.provisional {
            view::with_answer(&mut outcome, answer);
            match of {
                ProvisionalOf::Part => view::with_part(&mut outcome, answer),
                ProvisionalOf::Card => {}
            }
        }
        // Of a voice sale the issuer's word is the request's own.
        outcome.auth_code =
            running.request.auth_code.filter(|_| outcome.kind == Kind::VoiceSale).or(outcome.auth_code);
        view::ended(&mut outcome, Status::Unknown, "journal-restored", Class::P, self.now);
        self.finish(outcome);
    }

    /// Its batch was begun under other numbers than it has now: no sign-in of these says anything of it, and
    /// none is made before it is closed.
    fn never_heard(&self) -> impl Iterator<Item = &AccountId> {
        let own = self.settings.accounts.iter().filter(|a| a.rules.sign_in).map(|a| &a.config.id);
        own.filter(|id| {
            self.renumbered(id)
                && self.state.recovering.as_ref().is_some_and(|r| !r.batches.contains_key(*id))
        })
    }

    /// A host that is in another batch, or cannot be heard: ours may have been settled in what is lost. That
    /// settlement is a request whose outcome is unknown, and a person says it.
    pub fn doubt_batches(&mut self) {
        while self.state.running.is_none() {
            let left = self.state.batches_in_doubt().filter(|(_, d)| d.txn.is_none()).map(|(id, _)| id);
            // One whose settlement is open has its question.
            let unheard = self.never_heard().filter(|id| self.state.ledger(id).settling.is_none());
            let Some(settings) = left.chain(unheard).find_map(|id| self.account(id)).cloned() else { return };
            let id = settings.config.id.clone();
            let ((key, request), ledger) = (own_settlement(self, id), self.state.ledger(&settings.config.id));
            let txn = self.state.last_txn + 1;
            let mut view =
                view::first(txn, &key, &request, &self.settings, self.operator(), &settings, self.now);
            view::with_account(&mut view, &settings);
            view.batch = Some(ledger.batch);
            view.settlement = Some(Box::new(Settlement::new(
                Halves::of(&ledger.totals),
                &ledger.totals,
                ledger.totals_since,
            )));
            let hash = request.content_hash();
            self.record(
                Some(txn),
                RequestRecord::Started {
                    txn,
                    key: key.clone(),
                    hash,
                    request: Box::new(request),
                    view: Arc::new(view.clone()),
                },
            );
            self.tell(Notice::Started { key, txn, outcome: Arc::new(view.clone()) });
            view::ended(&mut view, Status::Unknown, "journal-restored", Class::P, self.now);
            self.finish(view);
        }
    }

    /// The recovery does not end before each host was heard that may have left our batch, and a person has
    /// said of each batch in doubt whether it was closed. Of an account that is not configured any more
    /// nothing is settled.
    pub fn batches_known(&self) -> Result<(), Fault> {
        let Some(recovering) = &self.state.recovering else { return Ok(()) };
        let mut own = self.settings.accounts.iter().filter(|a| a.rules.sign_in).map(|a| &a.config.id);
        if let Some(id) = own
            .find(|id| !recovering.heard.contains(*id) && self.state.keeps_batch(id) && !self.renumbered(id))
        {
            let rule = format!(
                "account {id} has not signed in since the journal was restored: its batch may have been \
                 settled in what is lost. Sign in, or take the account \
                 out of the configuration when its acquirer never comes back"
            );
            return Err(Fault::WrongState { rule });
        }
        if let Some((id, s)) =
            self.never_heard().find_map(|id| Some((id, self.state.ledger(id).settling.as_ref()?)))
        {
            let rule = format!(
                "account {id}: its batch was begun under other numbers, and its settlement is open. Ask, \
                 and resolve transaction {}",
                s.txn
            );
            return Err(Fault::WrongState { rule });
        }
        let Some((id, doubt)) = self.state.batches_in_doubt().find(|(id, _)| self.account(id).is_some())
        else {
            return Ok(());
        };
        let (ours, theirs, txn) = (self.state.ledger(id).batch, doubt.theirs, doubt.txn.unwrap_or_default());
        let why = if self.renumbered(id) {
            "its batch was begun under other numbers".into()
        } else {
            format!("the acquirer is in batch {theirs}")
        };
        let rule = format!(
            "account {id}: {why}, the restored journal in {ours}. Ask whether \
             {ours} was closed, and resolve transaction {txn}: executed = closed, not executed = open"
        );
        Err(Fault::WrongState { rule })
    }

    /// Record of [`Context::outdated`]; none: payments are stopped already.
    pub fn finding(&self, why: &str) -> Option<TerminalRecord> {
        // What runs was begun here: what becomes of it is known.
        let restored = Box::new(Restored::outdated(why, 0));
        self.state.recovering.is_none().then_some(TerminalRecord::Restored { restored })
    }

    /// Neither restored nor damaged.
    pub fn trusted(&self) -> bool {
        self.damaged.is_none() && self.state.recovering.is_none()
    }

    pub fn end_recovery(&mut self, by: String) {
        self.record(None, TerminalRecord::RecoveryEnded { by });
    }
}
