//! All that the rooms tell one another. A room says it and goes on; [`crate::Machine`] hands it over before
//! anything else of the step happens, in the order in which it was said.
use crate::{Call, line::Waits};
use payterm_schema::{
    AccountId, HostEvent, Kind, Money, Outcome, Request, RequestKey, Screen, Time,
    account::Stan,
    download::EmvList,
    host::{Plan, SecretsFrom},
    notice::Owed,
    outcome::Class,
};
use std::sync::Arc;

/// What a supervisor is asked to allow.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub kind: Kind,
    pub amount: Option<Money>,
    /// Voucher number of what it is about.
    pub voucher: Option<Stan>,
    /// The operator who asks.
    pub by: Option<String>,
}

#[derive(Debug)]
pub(crate) enum Signal {
    // To the counter.
    /// The terminal settles by itself.
    Begin {
        key: RequestKey,
        request: Box<Request>,
    },
    /// The operator on duty may start it.
    Admitted {
        call: Call,
        key: RequestKey,
        request: Box<Request>,
    },
    /// The supervisor's word on the running request.
    Approved,
    Denied,
    /// The account can take the request's message now.
    Ready {
        account: AccountId,
    },
    /// The account cannot yet; why, and what it owes.
    NotYet {
        account: AccountId,
        what: &'static str,
        owed: Option<Owed>,
    },
    /// The account will not: whoever waits for it ends with this code.
    Never {
        account: AccountId,
        code: &'static str,
        class: Class,
    },
    /// The line is down; `sign_in`: it was the terminal's own sign-in that could not leave.
    LineDown {
        account: AccountId,
        sign_in: bool,
    },
    /// What the account owes has changed.
    OwedChanged {
        account: AccountId,
    },
    /// Its working keys are new.
    NewKeys {
        account: AccountId,
    },
    /// The request's message is on its way; silence is an answer at `until`.
    Sent {
        until: Time,
    },
    /// What the link says of the request's message.
    Host {
        account: AccountId,
        txn: u64,
        stan: Stan,
        event: HostEvent,
    },
    /// The account owes nothing any more: its settlement may begin.
    Drained {
        account: AccountId,
    },
    /// A message of the running settlement is on its way.
    Settling {
        what: &'static str,
        until: Time,
    },
    /// The settlement cannot go on while somebody waits for it.
    SettlesBehind {
        account: AccountId,
    },

    // To the line.
    /// The request waits for the account.
    Want {
        account: AccountId,
        txn: u64,
        waits: Waits,
    },
    /// The request's message, which its record allows.
    Send {
        account: AccountId,
        txn: u64,
        plan: Box<Plan>,
        secrets: Box<SecretsFrom>,
        log: String,
    },
    /// The request closes the account's batch.
    Settle {
        account: AccountId,
    },
    /// The account is to be signed in when nobody is in the way.
    SignInWanted {
        account: AccountId,
    },
    /// Lists for the card kernel are to be downloaded when nobody is in the way.
    DownloadWanted {
        account: AccountId,
        lists: &'static [EmvList],
    },
    /// A settlement has ended with its batch.
    BatchClosed {
        account: AccountId,
    },
    /// The supervisor gives up what a transaction owes, as `by` says.
    WriteOff {
        call: Option<Call>,
        txn: u64,
        why: String,
        by: String,
    },

    // To the keypad.
    /// May this request start?
    Admit {
        call: Call,
        key: RequestKey,
        request: Box<Request>,
    },
    /// The running request needs the supervisor.
    AskApproval(Asked),
    /// The supervisor is asked to give up what `txn` owes.
    AskWriteOff {
        call: Call,
        txn: u64,
        why: String,
        by: String,
        asked: Asked,
    },

    // To the display.
    /// Somebody begins: what was shown for a time gives way.
    Begun,
    /// Nothing is being done any more: the screen of rest, unless somebody is served.
    Rest,
    /// For as long as a result is shown.
    Show(Box<Screen>),
    /// Shown when the display is free.
    Trouble(&'static str),
    /// The onboarding has moved on.
    OnboardingChanged,

    /// To all: a transaction has an outcome.
    Finished {
        outcome: Arc<Outcome>,
    },
}
