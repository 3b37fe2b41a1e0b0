//! The counter: who is served now. One request at a time, one stage at a time; each stage has a file that
//! says how it is entered and what ends it, and answers where the request goes from there ([`Next`]). What
//! all stages have is on the stage sheet ([`stage`]).
mod authorise;
mod card;
mod completing;
mod confirm;
mod control;
mod drain;
mod interrupted;
pub mod offline;
mod original;
mod pin;
mod prepare;
mod present;
mod provisional;
mod reply;
mod retry;
mod stage;
mod start;
mod tap;
mod withdraw;

pub(crate) use interrupted::end as end_interrupted;

use crate::{
    By, Call, Timer, Wake,
    context::{Context, UNTRUSTED},
    instrument::Presented,
    signal::Signal,
    view,
};
use payterm_schema::{
    AccountId, CardToken, Fault, HostEvent, Instrument, Kind, Money, Notice, Outcome, Request, RequestKey,
    Screen, Status, Time,
    account::Stan,
    card::CardStep,
    config::Language,
    device::Key,
    host::EntryMode,
    icc::Icc,
    notice::{Owed, Phase},
    outcome::{Class, Reason},
    secret::{PinBlock, PinEntry},
};
use stage::{Next, OnCancel, OnTimeout, Stage};
use std::{collections::VecDeque, sync::Arc};

#[derive(Debug, Default)]
pub(crate) struct Counter {
    devices: Devices,
    serving: Option<Serving>,
    /// The last requests that were started in this run, with the hash of their content.
    recent: VecDeque<(RequestKey, String)>,
}

/// What the terminal's devices can do now.
#[derive(Debug, Default)]
struct Devices {
    modes: Vec<EntryMode>,
    pin_pad: bool,
    /// A printer that can print.
    printer: bool,
}

/// The request that is served. What of it is on disk is the state's ([`Context::running`]); this goes with
/// the process.
#[derive(Debug)]
struct Serving {
    txn: u64,
    key: RequestKey,
    request: Arc<Request>,
    stage: Stage,
    account: Option<AccountId>,
    presented: Option<Presented>,
    /// The chip card's language.
    language: Option<Language>,
    original: Option<ServedOriginal>,
    /// Only this is offered: the caller's word, or a key of the keypad.
    modes: Vec<EntryMode>,
    present_tries: u8,
    /// Insertions of a chip that could not be read.
    chip_tries: u8,
    /// The stripe of a card with a chip is taken until then.
    fallback: Option<Time>,
    /// The host has asked for the chip.
    chip_wanted: bool,
    /// The card is to be inserted: it was tapped, and cannot be, or not for this payment.
    no_tap: bool,
    /// The chip card that runs.
    chip: Option<card::Chip>,
    /// EMV data elements for the host, once the card wants to be sent.
    icc: Option<Icc>,
    /// A chip has given a cryptogram for this request: no stripe stands in for it any more.
    decided: bool,
    pin: Pin,
    pin_tries: u8,
    /// The sign-in that a response code asked for was done once.
    signed_again: bool,
    busy_tries: u8,
    /// The offline policy has said its word.
    judged: bool,
    /// A message of this request has left, or may have.
    left: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pin {
    NotAsked,
    /// The customer confirmed without one.
    Bypassed,
    /// A phone has verified its holder itself.
    ByDevice,
    Typed(PinBlock),
}

/// The original of the request.
#[derive(Debug)]
enum ServedOriginal {
    /// Of this journal.
    Ours(Box<Outcome>),
    /// Of another terminal, or older than this journal: only what the caller says of it.
    Elsewhere { rrn: Option<String>, auth_code: Option<String>, date: Option<String> },
}

impl Serving {
    /// Nothing that was presented counts any more: neither the card or code nor its PIN and EMV data.
    fn forget(&mut self) {
        (self.presented, self.account, self.pin, self.icc) = (None, None, Pin::NotAsked, None);
    }
    fn kind(&self) -> Kind {
        self.request.kind
    }
    fn original(&self) -> Option<&Outcome> {
        match self.original.as_ref()? {
            ServedOriginal::Ours(o) => Some(o),
            ServedOriginal::Elsewhere { .. } => None,
        }
    }
    /// The account that it goes to, chosen before anything is sent.
    fn account(&self) -> &AccountId {
        let Some(account) = &self.account else { unreachable!("{:?} without an account", self.stage) };
        account
    }
    /// Who is asked: the bank, or the wallet whose code was shown.
    fn asked_host(&self) -> &'static str {
        if self.chip.as_ref().is_some_and(card::Chip::is_gone) {
            return "card-out-early";
        }
        let wallet = self.presented.as_ref().is_some_and(|p| p.wallet.is_some());
        if wallet { "sending-wallet" } else { "sending" }
    }
    fn waits_for(&self, account: &AccountId) -> bool {
        matches!(self.stage, Stage::Preparing { .. } | Stage::Draining { .. })
            && self.account.as_ref() == Some(account)
    }

    /// What this request moves: the request's amount, the original's where the kind takes it whole, its total
    /// with a tip.
    fn amount(&self) -> Option<Money> {
        let (request, original) = (&self.request, self.original());
        let minor = match (request.kind, original) {
            (Kind::TipAdjust, Some(o)) => o.sums.amount? + request.amount?.minor(),
            (Kind::Refund, Some(o)) => request.amount.map_or_else(|| o.sums.left(), Money::minor),
            (_, Some(o)) if request.amount.is_none() => o.sums.amount?,
            (_, _) => request.amount?.minor(),
        };
        Money::new(minor, original.map_or(request.amount.map(|m| m.currency), |o| Some(o.sums.currency))?)
            .ok()
    }

    /// The sums as far as they are known: of a refund without an amount what was left, of a tip the whole.
    fn with_sums(&self, view: &mut Outcome) {
        let tip = self.request.amount.filter(|_| self.kind() == Kind::TipAdjust);
        (view.sums.amount, view.sums.tip) = (self.amount().map(Money::minor), tip.map(Money::minor));
    }

    /// A new stage, told to apps with its screen.
    fn enter(&mut self, cx: &mut Context, stage: Stage) {
        self.stage = stage;
        let Some(screen) = self.screen() else { unreachable!("told without a screen: {:?}", self.stage) };
        cx.tell(Notice::Phase { key: self.key.clone(), phase: self.stage.row().phase, screen });
    }

    /// None: the supervisor's is the keypad's.
    fn screen(&self) -> Option<Screen> {
        let (kind, amount) = (self.kind(), self.amount());
        let held_up = |what: &str, until: &Time, owed: &Option<Owed>| Screen::Wait {
            amount,
            what: what.into(),
            until: *until,
            owed: owed.clone(),
        };
        Some(match &self.stage {
            Stage::Approving => return None,
            Stage::Confirming { .. } => Screen::Confirm { kind, amount },
            Stage::Loading { until, .. } => Screen::wait("looking-up", amount, *until),
            Stage::Presenting { modes, problem, .. } => {
                Screen::Present { kind, amount, modes: modes.clone(), problem: problem.map(Into::into) }
            }
            // Ready when it asked; what left first is a wallet's undo or query, which holds nobody up for
            // long.
            Stage::Preparing { until, what, owed } => held_up(what.unwrap_or("reversing"), until, owed),
            Stage::Draining { until, owed } => held_up("clearing", until, owed),
            Stage::PinEntry { digits, wrong, left, .. } => Screen::Pin {
                kind,
                amount,
                masked_pan: self.presented.as_ref().map(|p| p.masked.clone()).unwrap_or_default(),
                digits: *digits,
                wrong: *wrong,
                left: *left,
            },
            Stage::Choosing { names, first, .. } => Screen::ChooseApplication {
                amount,
                names: names.clone(),
                first: (*first).try_into().unwrap_or(u32::MAX),
            },
            Stage::Card { until } | Stage::CardDecides { until, .. } | Stage::CardHears { until, .. } => {
                let tapped = self.chip.as_ref().is_some_and(card::Chip::is_tapped);
                Screen::wait(if tapped { "card-tapped" } else { "card" }, amount, *until)
            }
            Stage::Settling { what, until } => Screen::wait(*what, amount, *until),
            Stage::Sent { until } => Screen::wait(self.asked_host(), amount, *until),
            Stage::Busy { until, what } => Screen::wait(*what, amount, *until),
            Stage::AskingWallet { until } => Screen::wait("wallet-pending", amount, *until),
            Stage::Part { asked, approved, .. } => {
                Screen::ConfirmPartial { asked: *asked, approved: *approved }
            }
        })
    }
}

impl Counter {
    /// Follows a request from stage to stage until it waits for something.
    fn go(&mut self, cx: &mut Context, mut next: Next) {
        while next != Next::Stay {
            let Some(s) = self.serving.as_mut() else { unreachable!("{next:?} of no request") };
            let devices = &self.devices;
            next = match next {
                Next::Stay => next,
                Next::Approve => confirm::approve(cx, s),
                Next::Confirm => confirm::enter(cx, s),
                Next::Begin => start::begin(cx, s, devices),
                Next::Load => original::enter(cx, s),
                Next::Present(problem) => present::enter(cx, s, devices, problem),
                Next::RunCard(interface) => card::enter(cx, s, interface),
                Next::Prepare => prepare::enter(cx, s),
                Next::EnterPin => pin::enter(cx, s, devices),
                Next::Authorise => authorise::enter(cx, s, devices),
                Next::Withdraw => withdraw::enter(cx, s),
                Next::Drain => drain::enter(cx, s),
                Next::End(status, code, class) => end(cx, s, status, code, class),
            };
        }
    }
    /// What a stage makes of something that happened, and where it leads.
    fn at(&mut self, cx: &mut Context, happened: impl FnOnce(&mut Context, &mut Serving, &Devices) -> Next) {
        if let Some(s) = &mut self.serving {
            let next = happened(cx, s, &self.devices);
            self.go(cx, next);
        }
    }

    /// A request that the store does not know.
    pub fn start(&mut self, cx: &mut Context, call: Call, key: RequestKey, request: Box<Request>) {
        match start::known(cx, &self.recent, &key, &request) {
            Some(answer) => cx.answer(call, answer),
            None if key.app == payterm_schema::caller::TERMINAL => self.admitted(cx, call, key, request),
            None => cx.signal(Signal::Admit { call, key, request }),
        }
    }
    /// The operator on duty may start it.
    pub fn admitted(&mut self, cx: &mut Context, call: Call, key: RequestKey, request: Box<Request>) {
        match start::first_account(cx, &request) {
            Ok(account) => {
                self.serving = Some(start::enter(cx, call, key, *request, &account, &mut self.recent));
                self.go(cx, Next::Confirm);
            }
            Err(fault) => cx.answer(call, Err(fault)),
        }
    }

    pub fn cancel(&mut self, cx: &mut Context, call: Call, key: &RequestKey, by: By) {
        let Some(s) = self.serving.as_ref().filter(|s| s.key == *key) else {
            return cx.answer(call, Err(Fault::TooLate { rule: "the request has ended".into() }));
        };
        let code = match by {
            By::Customer => "cancelled-by-customer",
            By::Cashier => "cancelled-by-cashier",
            By::Caller => "cancelled-by-caller",
            By::CallerLost if !s.request.cancel_on_caller_lost => return cx.answer(call, Ok(())),
            By::CallerLost => "caller-lost",
            By::Shutdown => "interrupted",
        };
        match s.stage.row().on_cancel {
            OnCancel::TooLate => cx.answer(
                call,
                Err(Fault::TooLate { rule: "the message may have left; wait for the outcome".into() }),
            ),
            OnCancel::Decides => {
                cx.answer(call, Ok(()));
                self.at(cx, |cx, s, _| provisional::decided(cx, s, Err(stage::NOT_TAKEN)));
            }
            OnCancel::Ends(_) => {
                cx.answer(call, Ok(()));
                self.go(cx, Next::End(Status::Cancelled, code, Class::B));
            }
        }
    }

    pub fn confirm(&mut self, cx: &mut Context, call: Call, key: &RequestKey, yes: bool) {
        let asked =
            |s: &&Serving| s.key == *key && matches!(s.stage, Stage::Confirming { .. } | Stage::Part { .. });
        if self.serving.as_ref().is_none_or(|s| !asked(&s)) {
            return cx.answer(call, Err(Fault::WrongState { rule: "no confirmation is asked for".into() }));
        }
        cx.answer(call, Ok(()));
        self.at(cx, |cx, s, _| confirm::confirmed(cx, s, yes));
    }

    pub fn key(&mut self, cx: &mut Context, key: Key) {
        self.at(cx, |cx, s, devices| match (&s.stage, key, s.stage.row().on_cancel) {
            (Stage::Confirming { .. } | Stage::Part { .. }, Key::Confirm, _) => {
                confirm::confirmed(cx, s, true)
            }
            (Stage::Choosing { .. }, Key::Digit(_) | Key::Confirm | Key::Clear, _) => {
                card::choose(cx, s, key)
            }
            (Stage::Presenting { .. }, Key::Digit(digit), _) => present::choose(cx, s, devices, digit),
            // The choice is what was typed.
            (Stage::Presenting { .. }, Key::Clear, _) => present::choose(cx, s, devices, b'0'),
            (_, Key::Cancel, OnCancel::Ends(code)) => Next::End(Status::Cancelled, code, Class::B),
            (_, Key::Cancel, OnCancel::Decides) => confirm::confirmed(cx, s, false),
            (_, Key::Confirm | Key::Digit(_) | Key::Cancel | Key::Clear, _) => Next::Stay,
        });
    }

    pub fn devices(&mut self, cx: &mut Context, modes: Vec<EntryMode>, pin_pad: bool, printer: bool) {
        let changed = self.devices.modes != modes;
        self.devices = Devices { modes, pin_pad, printer };
        self.at(cx, |_, s, _| {
            let Stage::Presenting { problem, .. } = s.stage else { return Next::Stay };
            if changed { Next::Present(problem) } else { Next::Stay }
        });
    }

    /// A card that nobody asked for is dropped (and zeroised).
    pub fn instrument(&mut self, cx: &mut Context, instrument: Instrument, card: Option<CardToken>) {
        self.at(cx, |cx, s, devices| {
            let Stage::Presenting { .. } = s.stage else { return Next::Stay };
            present::instrument(cx, s, devices, instrument, card)
        });
    }

    /// Next step of the card run.
    pub fn card(&mut self, cx: &mut Context, tag: u64, step: Option<CardStep>, token: Option<CardToken>) {
        self.at(cx, |cx, s, devices| {
            if s.chip.as_ref().is_some_and(|c| c.is(tag)) {
                card::step(cx, s, devices, step, token)
            } else {
                Next::Stay
            }
        });
    }

    pub fn pin_digits(&mut self, tag: u64, typed: u8) {
        if let Some(Stage::PinEntry { tag: t, digits, .. }) = self.serving.as_mut().map(|s| &mut s.stage)
            && *t == tag
        {
            *digits = typed;
        }
    }
    pub fn pin(&mut self, cx: &mut Context, tag: u64, entry: PinEntry) {
        self.at(cx, |cx, s, devices| {
            let Stage::PinEntry { tag: asked, .. } = s.stage else { return Next::Stay };
            if asked == tag { pin::typed(cx, s, devices, entry) } else { Next::Stay }
        });
    }

    /// The original was looked for.
    pub fn loaded(&mut self, cx: &mut Context, tag: u64, found: Result<Vec<Outcome>, Fault>) {
        self.at(cx, |cx, s, _| {
            let Stage::Loading { tag: asked, .. } = s.stage else { return Next::Stay };
            if asked == tag { original::loaded(cx, s, found) } else { Next::Stay }
        });
    }

    pub fn poll_timeout(&self) -> Option<Wake> {
        let (at, _) = self.serving.as_ref()?.stage.row().on_timeout?;
        Some(Wake { at, timer: Timer::Stage })
    }
    pub fn handle_timeout(&mut self, cx: &mut Context) {
        self.at(cx, |cx, s, _| match s.stage.row().on_timeout {
            Some((until, then)) if until <= cx.now => match then {
                OnTimeout::Goes(next) => next,
                OnTimeout::NotReady => card::alone(cx, s)
                    .or_else(|| card::in_vain(cx, s))
                    .unwrap_or_else(|| prepare::timed_out(cx, s)),
                OnTimeout::NotDrained => drain::timed_out(cx, s),
                OnTimeout::Declines(code) => provisional::decided(cx, s, Err(code)),
                OnTimeout::CardLate => completing::late(cx, s),
            },
            Some(_) | None => Next::Stay,
        });
    }

    /// A line's word on the account that the request waits for; of any other it is none of ours.
    fn waiting(
        &mut self,
        cx: &mut Context,
        account: &AccountId,
        then: impl FnOnce(&mut Context, &mut Serving, &Devices) -> Next,
    ) {
        self.at(cx, |cx, s, devices| if s.waits_for(account) { then(cx, s, devices) } else { Next::Stay });
    }
    pub fn ready(&mut self, cx: &mut Context, account: &AccountId) {
        self.waiting(cx, account, |_, _, _| Next::EnterPin);
    }
    pub fn not_yet(&mut self, cx: &mut Context, account: &AccountId, what: &'static str, owed: Option<Owed>) {
        self.waiting(cx, account, |cx, s, _| prepare::not_yet(cx, s, what, owed));
    }
    pub fn never(&mut self, cx: &mut Context, account: &AccountId, code: &'static str, class: Class) {
        self.waiting(cx, account, |_, _, _| Next::End(Status::Failed, code, class));
    }
    pub fn drained(&mut self, cx: &mut Context, account: &AccountId) {
        self.waiting(cx, account, |cx, s, _| drain::drained(cx, s));
    }
    pub fn line_down(&mut self, cx: &mut Context, account: &AccountId, sign_in: bool) {
        self.waiting(cx, account, |cx, s, devices| {
            if matches!(s.stage, Stage::Preparing { .. }) {
                if let Some(next) = card::alone(cx, s).or_else(|| tap::inserted(cx, s, devices)) {
                    return next;
                }
                if offline::accept(cx, s) {
                    return Next::Stay;
                }
            }
            if !sign_in {
                return Next::Stay;
            }
            card::in_vain(cx, s).unwrap_or_else(|| Next::fail(cx.line_code(account), Class::E))
        });
    }
    pub fn owed_changed(&mut self, cx: &Context, account: &AccountId) {
        let waiting = self.serving.as_mut().filter(|s| s.waits_for(account));
        if let Some(Stage::Preparing { owed, what: Some(_), .. } | Stage::Draining { owed, .. }) =
            waiting.map(|s| &mut s.stage)
        {
            *owed = cx.owed(account);
        }
    }
    /// A PIN that was typed before is enciphered under the old key: the issuer would count it as wrong.
    pub fn new_keys(&mut self, account: &AccountId) {
        let holds_pin = |s: &&mut Serving| {
            matches!(s.stage, Stage::Preparing { .. } | Stage::Busy { .. } | Stage::Card { .. })
                && s.account.as_ref() == Some(account)
                && matches!(s.pin, Pin::Typed(_))
        };
        if let Some(s) = self.serving.as_mut().filter(holds_pin) {
            s.pin = Pin::NotAsked;
        }
    }
    pub fn host(&mut self, cx: &mut Context, account: &AccountId, txn: u64, stan: Stan, event: HostEvent) {
        self.at(cx, |cx, s, devices| {
            assert_eq!(s.txn, txn, "a message of a request that is not served was under way");
            reply::event(cx, s, devices, account, stan, event)
        });
    }
    pub fn sent(&mut self, cx: &mut Context, until: Time) {
        self.at(cx, |cx, s, _| {
            s.enter(cx, Stage::Sent { until });
            Next::Stay
        });
    }
    pub fn settling(&mut self, cx: &mut Context, what: &'static str, until: Time) {
        self.at(cx, |cx, s, _| {
            s.enter(cx, Stage::Settling { what, until });
            Next::Stay
        });
    }
    /// Whoever waits for the settlement is told that it goes on behind other requests.
    pub fn settles_behind(&mut self, cx: &mut Context, account: &AccountId) {
        self.at(cx, |cx, s, _| {
            let own = cx.settling(account).is_some_and(|open| open.txn == s.txn);
            if own && matches!(s.stage, Stage::Settling { .. }) {
                cx.end_unknown(account, Reason::new("settlement-open", Class::E));
            }
            Next::Stay
        });
    }
    /// The supervisor's word.
    pub fn approved(&mut self, cx: &mut Context, yes: bool) {
        self.at(cx, |_, s, _| {
            if yes { start::allowed(s) } else { Next::End(Status::Cancelled, "not-approved", Class::B) }
        });
    }
    /// Its outcome is on record. True: it was served until now.
    pub fn finished(&mut self, cx: &mut Context) -> bool {
        if cx.state.running.is_some() {
            return false;
        }
        let served = self.serving.take();
        if let Some(chip) = served.as_ref().and_then(|s| s.chip.as_ref()) {
            chip.end(cx);
        }
        served.is_some()
    }

    pub fn serves(&self) -> bool {
        self.serving.is_some()
    }
    pub fn phase(&self) -> Phase {
        self.serving.as_ref().map_or(Phase::Ended, |s| s.stage.row().phase)
    }
    pub fn screen(&self) -> Option<Screen> {
        self.serving.as_ref()?.screen()
    }
    /// Language of who is served, where a card has told it; none: nobody is served.
    pub fn language(&self) -> Option<Option<Language>> {
        self.serving.as_ref().map(|s| s.language)
    }
}

/// Ends it before a message left, or with nothing owed.
fn end(cx: &mut Context, s: &Serving, status: Status, code: &str, class: Class) -> Next {
    let mut view = (*cx.running().view).clone();
    if let Some(ask) = s.stage.row().on_leave {
        cx.ask(ask);
    }
    if let Some(p) = &s.presented {
        view::with_instrument(&mut view, p);
    }
    if let Some(o) = s.original() {
        // Where a card is asked for and none came, nothing was paid with one.
        view::with_original(&mut view, o, s.presented.is_none() && !original::asks_card(s));
        s.with_sums(&mut view);
    }
    let why = s.account.as_ref().and_then(|a| cx.untrusted.get(a)).filter(|_| code == UNTRUSTED);
    view::ended_for(&mut view, status, Reason { detail: why.cloned(), ..Reason::new(code, class) }, cx.now);
    cx.finish(view);
    Next::Stay
}
