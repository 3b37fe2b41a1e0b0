//! The front door that stays: one [`Terminal`] for every face, whichever incarnation stands behind it. While
//! the terminal is built anew, calls wait.
use crate::terminal_service::TerminalService;
use futures_util::stream;
use payterm_schema::{
    AccountId, Caller, Device, Fault, Money, Notice, Outcome, Request, RequestKey, SelfTest, Terminal,
    account::Stan,
    config::Language,
    emv_lists::EmvLists,
    offline::{OfflineAnswer, QueueAct},
    onboarding::{OfferShown, OnboardingShown, Step},
    operator::{OperatorRequest, Operators},
    page::Printable,
    paper::{PaperJob, PaperStatus, SlipCopy},
    reconciliation::Reconciliation,
    record::Obligation,
    terminal::{BatchTotals, Explanation, Filter, Notices, Reply, TerminalInfo, Transaction},
    totals::{Scope, TotalsReport},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        watch,
    },
    time::timeout,
};

/// Time for which a call waits for a terminal that is being built anew. 15 s: above what ending the last
/// driver and booting take at most.
const BUILDING: Duration = Duration::from_secs(15);

/// Answer to a call that the terminal was not there for.
pub fn restarting() -> Fault {
    Fault::Restarting { part: "terminal".into() }
}

/// State behind the front door: a terminal, the fault of one that will not come any more, or nothing
/// yet.
type Present = Option<Result<Arc<TerminalService>, Fault>>;

pub struct FrontDoor {
    present: watch::Sender<Present>,
    notices: broadcast::Sender<Notice>,
}

impl FrontDoor {
    /// A front door with nothing behind it.
    pub fn new(notices: broadcast::Sender<Notice>) -> Self {
        Self { present: watch::Sender::new(None), notices }
    }
    /// Puts something else behind it.
    pub fn set(&self, present: Present) {
        self.present.send_replace(present);
    }
    /// The terminal behind it; none while it is built anew, and behind its end.
    pub fn now(&self) -> Option<Arc<TerminalService>> {
        self.present.borrow().as_ref().and_then(|p| p.as_ref().ok()).cloned()
    }
    /// The terminal behind the front door; one that is being built anew is waited for.
    async fn terminal(&self) -> Result<Arc<TerminalService>, Fault> {
        if let Some(present) = self.present.borrow().clone() {
            return present;
        }
        let mut present = self.present.subscribe();
        let there = timeout(BUILDING, present.wait_for(Option::is_some)).await;
        match there {
            Ok(Ok(present)) => present.clone().unwrap_or_else(|| Err(restarting())),
            Ok(Err(_)) | Err(_) => Err(restarting()),
        }
    }
}

/// Methods that ask the terminal of now. One that ends under a call leaves it unanswered: whether the call
/// was carried out the caller learns by the same id.
macro_rules! through {
    ($($name:ident($($argument:ident: $of:ty),*) -> $answer:ty;)*) => {
        $(fn $name<'a>(&'a self, $($argument: $of),*) -> Reply<'a, $answer> {
            Box::pin(async move {
                let terminal = self.terminal().await?;
                let answer = terminal.tasks.unless_ended(terminal.$name($($argument),*)).await;
                answer.unwrap_or_else(|| Err(restarting()))
            })
        })*
    };
}

/// Methods that only look: paced while a payment is under way.
macro_rules! looks {
    ($($name:ident($($argument:ident: $of:ty),*) -> $answer:ty;)*) => {
        $(fn $name<'a>(&'a self, $($argument: $of),*) -> Reply<'a, $answer> {
            Box::pin(async move {
                let terminal = self.terminal().await?;
                let look = async {
                    terminal.look_turn().await;
                    terminal.$name($($argument),*).await
                };
                terminal.tasks.unless_ended(look).await.unwrap_or_else(|| Err(restarting()))
            })
        })*
    };
}

/// Methods that wait and change nothing: they go on waiting at the next terminal.
macro_rules! waits {
    ($($name:ident($($argument:ident: $of:ty),*) -> $answer:ty;)*) => {
        $(fn $name<'a>(&'a self, $($argument: $of),*) -> Reply<'a, $answer> {
            Box::pin(async move {
                loop {
                    let terminal = self.terminal().await?;
                    let answer = terminal.tasks.unless_ended(terminal.$name($($argument),*)).await;
                    if let Some(answer) = answer {
                        return answer;
                    }
                }
            })
        })*
    };
}

impl Terminal for FrontDoor {
    waits! {
        wait(caller: &'a Caller, key: &'a RequestKey, final_only: bool) -> Outcome;
        paper(caller: &'a Caller, key: &'a RequestKey, wait: bool) -> PaperStatus;
    }
    looks! {
        recall(caller: &'a Caller, key: &'a RequestKey) -> Transaction;
        list(caller: &'a Caller, filter: Filter) -> Vec<Outcome>;
        explain(caller: &'a Caller, key: &'a RequestKey) -> Explanation;
        report(caller: &'a Caller, scope: Scope) -> TotalsReport;
        devices() -> Vec<Device>;
        obligations(caller: &'a Caller) -> Vec<Obligation>;
        offline_why(caller: &'a Caller, amount: Money, account: Option<AccountId>) -> Vec<OfflineAnswer>;
        emv_lists() -> Option<EmvLists>;
        papers(caller: &'a Caller) -> Vec<PaperJob>;
        reconcile(caller: &'a Caller, account: Option<AccountId>, file: String) -> Reconciliation;
        totals(caller: &'a Caller) -> Vec<BatchTotals>;
        operators(caller: &'a Caller) -> Operators;
        support_bundle(caller: &'a Caller) -> Vec<u8>;
        onboarding(caller: &'a Caller) -> OnboardingShown;
    }
    through! {
        start(caller: &'a Caller, request: Request) -> RequestKey;
        cancel(caller: &'a Caller, key: &'a RequestKey) -> ();
        confirm(caller: &'a Caller, key: &'a RequestKey, yes: bool) -> ();
        caller_lost(key: &'a RequestKey) -> ();
        reprint(caller: &'a Caller, key: &'a RequestKey, copy: Option<SlipCopy>) -> ();
        print(caller: &'a Caller, id: String, paper: Printable) -> u64;
        print_report(caller: &'a Caller, scope: Scope) -> ();
        retry_obligation(caller: &'a Caller, txn: u64) -> ();
        resolve_obligation(
            caller: &'a Caller,
            txn: u64,
            executed: bool,
            stan: Option<Stan>,
            reference: &'a str
        ) -> ();
        queue(caller: &'a Caller, act: QueueAct) -> ();
        release_paper(caller: &'a Caller, job: u64, print: bool) -> ();
        operator_session(caller: &'a Caller, request: OperatorRequest) -> ();
        info() -> Arc<TerminalInfo>;
        self_test(caller: &'a Caller, print: bool) -> SelfTest;
        last_self_test() -> Option<SelfTest>;
        set_language(caller: &'a Caller, language: Language) -> ();
        offer(caller: &'a Caller) -> OfferShown;
        apply(caller: &'a Caller, step: Step) -> ();
    }
    fn notices(&self) -> Notices {
        heard(&self.notices)
    }
}

/// Notices from now on, of this incarnation and of those after it.
pub fn heard(notices: &broadcast::Sender<Notice>) -> Notices {
    // Who lags behind misses the oldest; what counts can be recalled.
    Box::pin(stream::unfold(notices.subscribe(), |mut heard| async move {
        loop {
            match heard.recv().await {
                Ok(notice) => return Some((notice, heard)),
                Err(RecvError::Lagged(n)) => {
                    tracing::warn!(missed = n, "a face is too slow for the notices")
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }))
}
