//! The foreground request up to the moment when its frame may leave: one stage at a time, each with its own
//! time-out.
use crate::{Ask, By, Machine, instrument, instrument::Presented, view};
use payterm_schema::{
    AccountId, Fault, HostAnswer, Money, Notice, Outcome, Request, RequestKey, RequestRecord, Status, Time,
    account::Stan,
    device::Key,
    host::EntryMode,
    kind::{CardRule, Kind, OriginalBy},
    notice::{Owed, Phase},
    outcome::Class,
    secret::{PinBlock, PinEntry},
};
use std::{collections::BTreeSet, sync::Arc};

/// The volatile half of the running request; gone with the process, never on disk.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub stage: Stage,
    pub account: Option<AccountId>,
    pub presented: Option<Presented>,
    pub original: Option<FlowOriginal>,
    /// Only this is offered: the caller's word, or a key of the keypad.
    pub modes: Vec<EntryMode>,
    pub present_tries: u8,
    /// None: not asked yet; Some(None): the customer confirmed without a PIN.
    pub pin: Option<Option<PinBlock>>,
    pub pin_tries: u8,
    /// The sign-in that a response code asked for was done once.
    pub signed_again: bool,
    pub busy_tries: u8,
    /// The account's waiting reversal was tried at once for this customer.
    pub hurried: bool,
    /// What a settlement has had tried at once.
    pub tried: BTreeSet<(u64, Stan)>,
    /// The offline policy has said its word.
    pub judged: bool,
    /// A frame of this request has left, or may have.
    pub left: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// The supervisor allows it at the keypad, or not; the desk keeps the time.
    Supervisor,
    Confirming {
        until: Time,
    },
    Loading {
        tag: u64,
        until: Time,
    },
    Presenting {
        until: Time,
        problem: Option<&'static str>,
    },
    /// Waits until the account is signed in and owes nothing.
    Preparing {
        until: Time,
        /// What the customer has to wait for; none where nothing stands in the way.
        what: Option<&'static str>,
        owed: Option<Owed>,
    },
    Pin {
        tag: u64,
        until: Time,
        /// Typed so far.
        digits: u8,
    },
    /// A settlement waits until the account owes nothing and is signed in.
    Clearing {
        until: Time,
        owed: Option<Owed>,
    },
    /// The batch is being closed.
    Settling {
        what: &'static str,
        until: Time,
    },
    /// The frame may leave at any moment.
    Sent {
        until: Time,
    },
    /// The host is busy and nothing reached the issuer: another try after a countdown.
    Busy {
        until: Time,
    },
    /// The payer has not confirmed on the phone yet: the wallet is asked.
    Asking {
        until: Time,
    },
    /// A part of the amount is approved: the cashier decides.
    Partial {
        until: Time,
        account: AccountId,
        stan: Stan,
        answer: Box<HostAnswer>,
        asked: Money,
        approved: Money,
    },
}

/// The original of the running request.
#[derive(Clone, Debug)]
pub(crate) enum FlowOriginal {
    /// Of this journal.
    Ours(Box<Outcome>),
    /// Of another terminal, or older than this journal: only what the caller says of it.
    Elsewhere { rrn: Option<String>, auth_code: Option<String>, date: Option<String> },
}
impl FlowOriginal {
    pub fn ours(&self) -> Option<&Outcome> {
        match self {
            FlowOriginal::Ours(o) => Some(o),
            FlowOriginal::Elsewhere { .. } => None,
        }
    }
}

impl Stage {
    pub fn phase(&self) -> Phase {
        match self {
            Stage::Supervisor => Phase::Approving,
            Stage::Confirming { .. } => Phase::Confirming,
            Stage::Loading { .. } => Phase::Started,
            Stage::Presenting { .. } => Phase::Presenting,
            Stage::Preparing { .. } | Stage::Clearing { .. } | Stage::Busy { .. } => Phase::Preparing,
            Stage::Partial { .. } => Phase::Confirming,
            Stage::Pin { .. } => Phase::PinEntry,
            Stage::Sent { .. } | Stage::Settling { .. } | Stage::Asking { .. } => Phase::Sending,
        }
    }
}

impl Flow {
    fn new(stage: Stage, modes: Vec<EntryMode>) -> Self {
        Self {
            stage,
            account: None,
            presented: None,
            original: None,
            modes,
            present_tries: 0,
            pin: None,
            pin_tries: 0,
            signed_again: false,
            busy_tries: 0,
            hurried: false,
            tried: BTreeSet::new(),
            judged: false,
            left: false,
        }
    }
    pub fn until(&self) -> Option<Time> {
        match &self.stage {
            Stage::Confirming { until }
            | Stage::Loading { until, .. }
            | Stage::Presenting { until, .. }
            | Stage::Preparing { until, .. }
            | Stage::Clearing { until, .. }
            | Stage::Busy { until }
            | Stage::Partial { until, .. }
            | Stage::Pin { until, .. } => Some(*until),
            Stage::Supervisor | Stage::Sent { .. } | Stage::Settling { .. } | Stage::Asking { .. } => None,
        }
    }
    /// A PIN that was typed and has not left.
    pub fn holds_pin(&self, account: &AccountId) -> bool {
        let waits = matches!(self.stage, Stage::Preparing { .. } | Stage::Busy { .. });
        waits && self.account.as_ref() == Some(account) && matches!(self.pin, Some(Some(_)))
    }
    /// A settlement that waits until the account owes nothing.
    pub fn clears(&self, account: &AccountId) -> bool {
        matches!(self.stage, Stage::Clearing { .. }) && self.account.as_ref() == Some(account)
    }
    pub fn waits_for(&self, account: &AccountId) -> bool {
        matches!(self.stage, Stage::Preparing { .. }) && self.account.as_ref() == Some(account)
    }
}

/// Keys that are remembered until they are on disk for certain.
const RECENT: usize = 16;

impl Machine {
    pub(crate) fn start(&mut self, call: u64, key: RequestKey, request: Request) {
        if let Some(r) = &self.state.running {
            let fault = match (r.key == key, r.hash == request.content_hash()) {
                (true, true) => return self.answer(call, Ok(())),
                (true, false) => Fault::KeyReused { id: key.id },
                (false, _) => Fault::Busy { running: (r.key.app == key.app).then(|| r.key.id.clone()) },
            };
            return self.answer(call, Err(fault));
        }
        // It has ended already, and is not found on disk yet.
        if let Some((_, hash)) = self.recent.iter().find(|(k, _)| *k == key) {
            let same = *hash == request.content_hash();
            return self.answer(call, if same { Ok(()) } else { Err(Fault::KeyReused { id: key.id }) });
        }
        if self.settings.accounts.is_empty() {
            return self.answer(call, Err(Fault::NotActivated));
        }
        let own = key.app == payterm_schema::caller::TERMINAL;
        if let Err(fault) = self
            .trustworthy(&key, request.kind)
            .and_then(|()| if own { Ok(()) } else { self.admit(request.kind) })
        {
            return self.answer(call, Err(fault));
        }
        let account = match self.first_account(&request) {
            Ok(a) => a.clone(),
            Err(fault) => return self.answer(call, Err(fault)),
        };
        let txn = self.state.last_txn + 1;
        let hash = request.content_hash();
        let first = view::first(txn, &key, &request, &self.settings, self.operator(), &account, self.now);
        let view = Arc::new(first);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((key.clone(), hash.clone()));
        self.record(
            Some(txn),
            RequestRecord::Started {
                txn,
                key: key.clone(),
                hash,
                request: Box::new(request.clone()),
                view: Arc::clone(&view),
            },
        );
        self.answer(call, Ok(()));
        self.tell(Notice::Started { key, txn, outcome: view });
        self.timed = None;
        if account.config.auto_sign_in && request.kind.row().authorisation {
            self.sign_in.entry(account.config.id.clone()).or_default().wanted |=
                !self.state.ledger(&account.config.id).signed_in && account.rules.sign_in;
        }
        let mut flow = Flow::new(
            Stage::Confirming { until: self.after(self.settings.flow.confirm_timeout_ms) },
            request.modes.clone(),
        );
        if !request.kind.row().authorisation {
            flow.account = Some(account.config.id);
        }
        let approval = self.needs_approval(request.kind);
        if approval {
            flow.stage = Stage::Supervisor;
        }
        self.flow = Some(flow);
        if approval { self.ask_approval() } else { self.go_on() }
    }

    /// It may be done: now the cashier confirms it, or it begins.
    pub(crate) fn go_on(&mut self) {
        let Some(request) = self.state.running.as_ref().map(|r| r.request.clone()) else { return };
        // The supervisor was asked for what is Stuck only.
        if request.kind == Kind::Settlement
            && self.state.running.as_ref().is_some_and(|r| r.view.approved_by.is_some())
        {
            return self.begin();
        }
        let large =
            self.settings.flow.confirm_above.zip(request.amount).is_some_and(|(above, m)| m.minor() > above);
        if request.confirm || large {
            self.set_stage(Stage::Confirming { until: self.after(self.settings.flow.confirm_timeout_ms) });
        } else {
            self.begin();
        }
    }

    /// The first account that could take it; the faults that are told before the card is asked for.
    fn first_account(&self, request: &Request) -> Result<&crate::AccountSettings, Fault> {
        if let Some(id) = &request.account {
            let named = self.account(id).ok_or_else(|| Fault::not_found("account", id.as_str()))?;
            if request.amount.is_some_and(|m| m.currency != named.config.currency) {
                return Err(Fault::NoAccount {
                    currency: request.amount.map(|m| m.currency.to_string()).unwrap_or_default(),
                });
            }
        }
        let candidates = instrument::candidates(&self.settings, request);
        let first = *candidates.first().ok_or_else(|| Fault::NoAccount {
            currency: request.amount.map_or("any".into(), |m| m.currency.to_string()),
        })?;
        if candidates.iter().all(|a| !a.rules.kinds.contains(&request.kind)) {
            return Err(Fault::invalid("kind", "no account's acquirer takes it"));
        }
        if let Some(m) = request.amount
            && candidates.iter().all(|a| m.minor() > a.config.amount_limit)
        {
            return Err(Fault::invalid("amount", "above the amount_limit of every account of its currency"));
        }
        if !request.kind.row().authorisation && request.account.is_none() && candidates.len() > 1 {
            return Err(Fault::invalid("account", "needed: there are several accounts"));
        }
        Ok(first)
    }

    /// After the confirmation: the original, the instrument, or straight to the host.
    fn begin(&mut self) {
        let Some(request) = self.state.running.as_ref().map(|r| r.request.clone()) else { return };
        let row = request.kind.row();
        if row.slip && self.settings.paper.required && !self.printer {
            return self.fail("printer-unavailable", Class::D);
        }
        if request.kind == Kind::Settlement {
            self.begin_settlement();
        } else if row.original != OriginalBy::None {
            self.load_original(&request);
        } else if row.card != CardRule::None {
            self.present(None);
        } else {
            self.prepare();
        }
    }

    /// Waits for sign-in and obligations of the account; [`Machine::drive_account`] goes on when it is ready.
    pub(crate) fn prepare(&mut self) {
        let until = self.after(self.settings.flow.prepare_timeout_ms);
        let Some(flow) = self.flow.as_mut() else { return };
        let Some(account) = flow.account.clone() else { return };
        flow.stage = Stage::Preparing { until, what: None, owed: None };
        if self.batch_full(&account) {
            return self.fail("batch-full", Class::D);
        }
        // Only a customer who really has to wait is told so.
        let ready = self.ready(&account);
        if !ready {
            let what = match self.settling(&account) {
                Some(_) => "settling",
                None if self.state.blocked(&account) => "reversing",
                None => "signing-in",
            };
            let owed = self.owed(&account);
            self.set_stage(Stage::Preparing { until, what: Some(what), owed });
            // The customer does not pay for an earlier failure's backoff.
            self.sign_in.entry(account).or_default().not_before = self.now;
        }
    }

    /// The account can take this request's frame now.
    pub(crate) fn ready(&self, account: &AccountId) -> bool {
        let authorisation = self.state.running.as_ref().is_some_and(|r| r.request.kind.row().authorisation);
        let signed_in =
            self.account(account).is_some_and(|a| !a.rules.sign_in) || self.state.ledger(account).signed_in;
        let free = self.in_front(account).is_none();
        if authorisation { free && signed_in && !self.state.blocked(account) } else { self.quiet(account) }
    }

    /// The account is ready: PIN, then the frame.
    pub(crate) fn proceed(&mut self) {
        let Some((kind, amount)) = self.state.running.as_ref().map(|r| (r.request.kind, r.request.amount))
        else {
            return;
        };
        let Some(flow) = &self.flow else { return };
        // Its batch may have been closed while it waited: nothing is left to void, and its PAN is gone.
        let ours = flow.original.as_ref().and_then(FlowOriginal::ours);
        if kind.row().original == OriginalBy::OpenBatch && ours.is_some_and(|o| !self.state.in_open_batch(o))
        {
            return self.fail("original-settled", Class::C);
        }
        let pin = flow.account.as_ref().is_some_and(|id| self.wants_pin(id));
        let pan = flow.presented.as_ref().and_then(|p| p.secrets.pan.clone());
        match (pin && flow.pin.is_none(), pan, flow.account.clone()) {
            (true, Some(pan), Some(account)) => {
                if !self.pin_pad {
                    return self.fail("pin-pad-unavailable", Class::D);
                }
                let tag = self.tag();
                let timeout_ms = self.settings.flow.pin_timeout_ms;
                // The pad's own time-out comes first; ours is for a pad that says nothing.
                let until = self.after(timeout_ms.saturating_add(5_000));
                self.set_stage(Stage::Pin { tag, until, digits: 0 });
                self.ask(Ask::Pin { tag, account, pan, amount, timeout_ms });
            }
            (_, _, Some(account)) => self.allow(account),
            (_, _, None) => {}
        }
    }

    /// A PIN is asked for: the kind has one, the acquirer's message has a place for it, and the payment is
    /// not small enough to go without.
    pub(crate) fn wants_pin(&self, account: &AccountId) -> bool {
        let Some(kind) = self.state.running.as_ref().map(|r| r.request.kind) else { return false };
        let place = self.account(account).is_some_and(|a| !a.rules.no_pin.contains(&kind));
        kind.row().pin && place && self.no_cvm().is_none()
    }

    pub(crate) fn pin_digits(&mut self, tag: u64, digits: u8) {
        if let Some(Stage::Pin { tag: t, digits: typed, .. }) = self.flow.as_mut().map(|f| &mut f.stage)
            && *t == tag
        {
            *typed = digits;
        }
    }

    pub(crate) fn pin(&mut self, tag: u64, entry: PinEntry) {
        if !matches!(self.flow.as_ref().map(|f| &f.stage), Some(Stage::Pin { tag: t, .. }) if *t == tag) {
            return;
        }
        let block = match entry {
            PinEntry::Block(block) => Some(block),
            PinEntry::Bypassed if self.settings.flow.pin_bypass => None,
            PinEntry::Bypassed => return self.fail("pin-required", Class::B),
            PinEntry::Cancelled => return self.end(Status::Cancelled, "cancelled-by-customer", Class::B),
            PinEntry::TimedOut => return self.end(Status::Cancelled, "pin-timeout", Class::B),
            PinEntry::Failed(_) => return self.fail("pin-pad-unavailable", Class::D),
        };
        if let Some(flow) = self.flow.as_mut() {
            flow.pin = Some(block);
        }
        self.prepare();
    }

    pub(crate) fn confirm(&mut self, call: u64, key: &RequestKey, yes: bool) {
        let here = self.state.running.as_ref().is_some_and(|r| r.key == *key);
        if !here
            || !matches!(
                self.flow.as_ref().map(|f| &f.stage),
                Some(Stage::Confirming { .. } | Stage::Partial { .. })
            )
        {
            return self.answer(call, Err(Fault::WrongState { rule: "no confirmation is asked for".into() }));
        }
        self.answer(call, Ok(()));
        self.confirmed(yes);
    }

    fn confirmed(&mut self, yes: bool) {
        if let Some(Stage::Partial { account, stan, answer, .. }) =
            self.flow.as_ref().map(|f| f.stage.clone())
        {
            return self.partial_decided(&account, stan, *answer, yes);
        }
        if yes { self.begin() } else { self.end(Status::Cancelled, "not-confirmed", Class::B) }
    }

    pub(crate) fn key(&mut self, key: Key) {
        match (self.flow.as_ref().map(|f| &f.stage), key) {
            (Some(Stage::Confirming { .. } | Stage::Partial { .. }), Key::Confirm) => self.confirmed(true),
            (Some(Stage::Partial { .. }), Key::Cancel) => self.confirmed(false),
            (Some(Stage::Confirming { .. }), Key::Cancel) => {
                self.end(Status::Cancelled, "cancelled-by-cashier", Class::B)
            }
            (Some(Stage::Presenting { .. }), Key::Digit(digit)) => self.choose(digit),
            (Some(Stage::Clearing { .. }), Key::Cancel) => {
                self.end(Status::Cancelled, "cancelled-by-cashier", Class::B)
            }
            (
                Some(
                    Stage::Presenting { .. }
                    | Stage::Preparing { .. }
                    | Stage::Loading { .. }
                    | Stage::Pin { .. }
                    | Stage::Busy { .. },
                ),
                Key::Cancel,
            ) => self.end(Status::Cancelled, "cancelled-by-customer", Class::B),
            (_, Key::Confirm | Key::Cancel | Key::Digit(_)) => {}
        }
    }

    pub(crate) fn cancel(&mut self, call: u64, key: &RequestKey, by: By) {
        let Some(running) = self.state.running.as_ref().filter(|r| r.key == *key) else {
            return self.answer(call, Err(Fault::TooLate { rule: "the request has ended".into() }));
        };
        let code = match by {
            By::Customer => "cancelled-by-customer",
            By::Cashier => "cancelled-by-cashier",
            By::Caller => "cancelled-by-caller",
            By::CallerLost if !running.request.cancel_on_caller_lost => return self.answer(call, Ok(())),
            By::CallerLost => "caller-lost",
            By::Shutdown => "interrupted",
        };
        match self.flow.as_ref().map(|f| &f.stage) {
            Some(Stage::Partial { .. }) => {
                self.answer(call, Ok(()));
                self.confirmed(false);
            }
            Some(Stage::Sent { .. } | Stage::Settling { .. } | Stage::Asking { .. }) | None => self.answer(
                call,
                Err(Fault::TooLate { rule: "the message may have left; wait for the outcome".into() }),
            ),
            Some(
                Stage::Supervisor
                | Stage::Confirming { .. }
                | Stage::Loading { .. }
                | Stage::Presenting { .. }
                | Stage::Preparing { .. }
                | Stage::Clearing { .. }
                | Stage::Pin { .. }
                | Stage::Busy { .. },
            ) => {
                self.answer(call, Ok(()));
                self.end(Status::Cancelled, code, Class::B);
            }
        }
    }

    pub(crate) fn stage_timed_out(&mut self) {
        match self.flow.as_ref().map(|f| f.stage.clone()) {
            Some(Stage::Confirming { .. }) => self.end(Status::Cancelled, "not-confirmed", Class::B),
            Some(Stage::Loading { .. }) => self.fail("store-failed", Class::E),
            Some(Stage::Presenting { .. }) => self.end(Status::Cancelled, "present-timeout", Class::B),
            Some(Stage::Preparing { .. }) => {
                let account = self.flow.as_ref().and_then(|f| f.account.clone());
                let settling = account.as_ref().is_some_and(|a| self.settling(a).is_some());
                let blocked = account.is_some_and(|a| self.state.blocked(&a));
                let code = if settling {
                    "settlement-open"
                } else if blocked {
                    "account-blocked"
                } else {
                    "prepare-timeout"
                };
                self.fail(code, Class::E);
            }
            Some(Stage::Clearing { .. }) => self.not_cleared(),
            Some(Stage::Pin { .. }) => self.end(Status::Cancelled, "pin-timeout", Class::B),
            Some(Stage::Busy { .. }) => self.prepare(),
            Some(Stage::Partial { .. }) => self.confirmed(false),
            Some(Stage::Supervisor | Stage::Sent { .. } | Stage::Settling { .. } | Stage::Asking { .. })
            | None => {}
        }
    }

    /// New stage, and a notice of it with its screen.
    pub(crate) fn set_stage(&mut self, stage: Stage) {
        let phase = stage.phase();
        if let Some(flow) = self.flow.as_mut() {
            flow.stage = stage;
        }
        if let Some(key) = self.state.running.as_ref().map(|r| r.key.clone()) {
            self.tell(Notice::Phase { key, phase, screen: self.screen() });
        }
    }

    /// Ended before a frame left, or with nothing owed.
    pub(crate) fn fail(&mut self, code: &str, class: Class) {
        self.end(Status::Failed, code, class);
    }

    pub(crate) fn end(&mut self, status: Status, code: &str, class: Class) {
        let Some(running) = &self.state.running else { return };
        let mut view = (*running.view).clone();
        self.approval_gone();
        if let Some(flow) = &self.flow {
            match flow.stage {
                Stage::Presenting { .. } => self.step.asks.push(Ask::Withdraw),
                Stage::Pin { tag, .. } => self.step.asks.push(Ask::AbortPin { tag }),
                Stage::Supervisor
                | Stage::Confirming { .. }
                | Stage::Loading { .. }
                | Stage::Preparing { .. }
                | Stage::Clearing { .. }
                | Stage::Settling { .. }
                | Stage::Sent { .. }
                | Stage::Busy { .. }
                | Stage::Asking { .. }
                | Stage::Partial { .. } => {}
            }
            if let Some(p) = &flow.presented {
                view::with_instrument(&mut view, p);
            }
            if let Some(o) = flow.original.as_ref().and_then(FlowOriginal::ours) {
                view::with_original(&mut view, o, flow.presented.is_none());
            }
        }
        view::ended(&mut view, status, code, class, self.now);
        self.finish(view);
    }
}
