//! The stage sheet: one row a stage of the request that is served, as the kind sheet has one a kind.
use crate::{Ask, instrument::Problem};
use payterm_schema::{
    HostAnswer, Money, Outcome, Status, Time,
    account::Stan,
    card::Interface,
    host::EntryMode,
    notice::{Owed, Phase},
    outcome::Class,
};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// The supervisor allows it at the keypad, or not; the keypad keeps the time.
    Approving,
    Confirming {
        until: Time,
    },
    /// The original is looked for.
    Loading {
        tag: u64,
        until: Time,
    },
    Presenting {
        until: Time,
        /// What the customer is invited to.
        modes: Vec<EntryMode>,
        problem: Option<Problem>,
    },
    /// The chip card is at work.
    Card {
        until: Time,
    },
    /// The customer chooses one of the chip card's applications; `first` is the first that is shown.
    Choosing {
        until: Time,
        names: Vec<String>,
        first: usize,
    },
    /// Waits until the account is signed in and owes nothing.
    Preparing {
        until: Time,
        /// What the customer has to wait for; none where nothing stood in the way.
        what: Option<&'static str>,
        owed: Option<Owed>,
    },
    PinEntry {
        tag: u64,
        until: Time,
        /// Typed so far.
        digits: u8,
        /// The last one was wrong.
        wrong: bool,
        /// Tries that the card has left, where it checks the PIN.
        left: Option<u8>,
    },
    /// A settlement waits until the account owes nothing and is signed in.
    Draining {
        until: Time,
        owed: Option<Owed>,
    },
    /// The batch is being closed.
    Settling {
        what: &'static str,
        until: Time,
    },
    /// The message may leave at any moment.
    Sent {
        until: Time,
    },
    /// Nothing was done: the host is busy, or the wallet takes no undo yet. Tried (again) after a countdown.
    Busy {
        until: Time,
        what: &'static str,
    },
    /// The payer has not confirmed on the phone yet: the wallet is asked.
    AskingWallet {
        until: Time,
    },
    /// The host said yes: the card has the last word.
    CardDecides {
        until: Time,
        stan: Stan,
        answer: Box<HostAnswer>,
    },
    /// The host's word stands, whatever the card makes of it: the card hears it.
    CardHears {
        until: Time,
        then: AfterCard,
        answer: Option<Box<HostAnswer>>,
    },
    /// A part of the amount is approved: the cashier decides.
    Part {
        until: Time,
        stan: Stan,
        answer: Box<HostAnswer>,
        asked: Money,
        approved: Money,
    },
}

/// What comes when the card has heard of the host's word.
#[derive(Clone, Debug)]
pub(crate) enum AfterCard {
    Ends(Arc<Outcome>),
    /// It ends so unless the card approves it: the host could not be asked.
    MayApprove(Arc<Outcome>),
    /// It has approved, and runs its issuer's scripts; the notice of their results waits under this STAN.
    Approved(Arc<Outcome>, Option<Stan>),
    /// The PIN was wrong: the card in the reader is run once more.
    RunsAgain,
}

/// The cashier does not take the part that was approved.
pub(super) const NOT_TAKEN: &str = "partial-not-taken";
/// The host approved, and the card was pulled out, fell silent or took too long.
pub(super) const GONE: &str = "card-gone-after-approval";

/// Where a request goes from a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nowhere before something else happens; or it has ended.
    Stay,
    Approve,
    Confirm,
    /// What its kind begins with: the original, the instrument, the line.
    Begin,
    Load,
    Present(Option<Problem>),
    /// The chip card that was inserted runs.
    RunCard(Interface),
    Prepare,
    EnterPin,
    Authorise,
    /// Its original is taken out of the queue.
    Withdraw,
    Drain,
    /// Ended before a message left, or with nothing owed.
    End(Status, &'static str, Class),
}
impl Next {
    pub fn fail(code: &'static str, class: Class) -> Self {
        Next::End(Status::Failed, code, class)
    }
}

/// What all stages have.
pub(super) struct Row {
    pub phase: Phase,
    pub on_cancel: OnCancel,
    pub on_timeout: Option<(Time, OnTimeout)>,
    /// What the customer is not asked any more when the request ends here.
    pub on_leave: Option<Ask>,
}

#[derive(Clone, Copy)]
pub(super) enum OnCancel {
    /// Ends it; at the keypad with this code.
    Ends(&'static str),
    /// The message may have left.
    TooLate,
    /// It is the cashier's no.
    Decides,
}

pub(super) enum OnTimeout {
    Goes(Next),
    /// Ends it; the code says what the account was busy with.
    NotReady,
    NotDrained,
    /// It is the cashier's no; with this code.
    Declines(&'static str),
    /// The card takes too long.
    CardLate,
}

impl Stage {
    pub(super) fn row(&self) -> Row {
        const CASHIER: OnCancel = OnCancel::Ends("cancelled-by-cashier");
        const CUSTOMER: OnCancel = OnCancel::Ends("cancelled-by-customer");
        let row = |phase, on_cancel, on_timeout| Row { phase, on_cancel, on_timeout, on_leave: None };
        let ends =
            |at: &Time, status, code, class| Some((*at, OnTimeout::Goes(Next::End(status, code, class))));
        match self {
            Stage::Approving => row(Phase::Approving, CASHIER, None),
            Stage::Confirming { until } => {
                row(Phase::Confirming, CASHIER, ends(until, Status::Cancelled, "not-confirmed", Class::B))
            }
            Stage::Loading { until, .. } => {
                row(Phase::Started, CUSTOMER, ends(until, Status::Failed, "store-failed", Class::E))
            }
            Stage::Presenting { until, .. } => Row {
                on_leave: Some(Ask::Withdraw),
                ..row(
                    Phase::Presenting,
                    CUSTOMER,
                    ends(until, Status::Cancelled, "present-timeout", Class::B),
                )
            },
            Stage::Card { until } => Row {
                on_leave: Some(Ask::Withdraw),
                ..row(Phase::Presenting, CUSTOMER, ends(until, Status::Cancelled, "card-no-answer", Class::B))
            },
            Stage::Choosing { until, .. } => Row {
                on_leave: Some(Ask::Withdraw),
                ..row(Phase::Presenting, CUSTOMER, ends(until, Status::Cancelled, "not-chosen", Class::B))
            },
            Stage::CardDecides { until, .. } | Stage::CardHears { until, .. } => {
                row(Phase::Sending, OnCancel::TooLate, Some((*until, OnTimeout::CardLate)))
            }
            Stage::Preparing { until, .. } => {
                row(Phase::Preparing, CUSTOMER, Some((*until, OnTimeout::NotReady)))
            }
            Stage::PinEntry { tag, until, .. } => Row {
                on_leave: Some(Ask::AbortPin { tag: *tag }),
                ..row(Phase::PinEntry, CUSTOMER, ends(until, Status::Cancelled, "pin-timeout", Class::B))
            },
            Stage::Draining { until, .. } => {
                row(Phase::Preparing, CASHIER, Some((*until, OnTimeout::NotDrained)))
            }
            // The line keeps the time.
            Stage::Settling { .. } | Stage::Sent { .. } | Stage::AskingWallet { .. } => {
                row(Phase::Sending, OnCancel::TooLate, None)
            }
            Stage::Busy { until, .. } => {
                row(Phase::Preparing, CUSTOMER, Some((*until, OnTimeout::Goes(Next::Prepare))))
            }
            Stage::Part { until, .. } => {
                row(Phase::Confirming, OnCancel::Decides, Some((*until, OnTimeout::Declines(NOT_TAKEN))))
            }
        }
    }
}
