//! The front door: what every face (D-Bus, JNI, web) calls. Implemented by the daemon and by the bus client.
use crate::{
    account::{AccountId, Stan},
    caller::Caller,
    config::Language,
    device::Device,
    fault::Fault,
    inhibit::InhibitReason,
    money::{Currency, Money},
    notice::{Notice, Phase, Screen},
    offline::{OfflineAnswer, QueueAct},
    onboarding::{OfferShown, OnboardingShown, Step},
    operator::{OperatorRequest, Operators},
    outcome::Outcome,
    page::Printable,
    paper::{PaperJob, PaperStatus, SlipCopy},
    reconciliation::Reconciliation,
    record::Obligation,
    request::{Request, RequestKey},
    selftest::SelfTest,
    time::Time,
    totals::{Scope, TotalsReport},
};
use futures_core::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{future::Future, pin::Pin, sync::Arc};

pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'a>>;
pub type Notices = Pin<Box<dyn Stream<Item = Notice> + Send>>;

/// A transaction as recalled or listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Transaction {
    pub outcome: Outcome,
    pub phase: Phase,
    /// It can still be cancelled.
    pub can_cancel: bool,
}

/// Filters of the history; all that are given must hold. `before` is a txn number: the page ends before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<crate::kind::Kind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<crate::outcome::Status>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Last four digits of the PAN or code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last4: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rrn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stan: Option<crate::account::Stan>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// 1 to 200; default 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

impl Filter {
    /// Checks what a caller may have got wrong.
    pub fn check(&self) -> Result<(), Fault> {
        if self.limit.is_some_and(|n| !(1..=200).contains(&n)) {
            return Err(Fault::invalid("limit", "1 to 200"));
        }
        if self.last4.as_ref().is_some_and(|d| d.len() != 4 || !d.bytes().all(|b| b.is_ascii_digit())) {
            return Err(Fault::invalid("last4", "4 digits"));
        }
        Ok(())
    }
}

/// The dispute page: everything about one transaction, in order. Each entry is a journal record as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    pub outcome: Outcome,
    pub entries: Vec<ExplainedEntry>,
    /// The slips as plain text.
    pub slips: Vec<String>,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedEntry {
    pub seq: u64,
    pub at: Time,
    pub record: serde_json::Value,
}

/// Totals of an account's open batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BatchTotals {
    pub account: AccountId,
    pub currency: Currency,
    pub batch: Option<crate::account::Batch>,
    pub signed_in: bool,
    pub debit_count: u64,
    /// Minor units.
    pub debit_minor: u64,
    pub credit_count: u64,
    pub credit_minor: u64,
    /// Obligations not yet ended.
    pub open_obligations: u32,
    /// The batch is being closed: no payment of the account until it is.
    #[serde(default)]
    pub settling: bool,
    /// Decimal texts of the sums.
    pub debit: String,
    pub credit: String,
}

/// Facts about the terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TerminalInfo {
    pub version: String,
    pub api: u32,
    pub language: String,
    pub shop: String,
    pub service_phone: String,
    /// A virtual device is configured, or `lab = true`.
    pub test: bool,
    pub accounts: Vec<AccountId>,
    pub running: Option<RequestKey>,
    pub screen: Screen,
    /// Why it must not be updated or restarted now; empty: it may be.
    pub inhibit_reasons: Vec<InhibitReason>,
}

/// The front door. Every method may be called from any thread; none blocks; futures may be dropped at any
/// point without changing the state of money.
pub trait Terminal: Send + Sync {
    /// Answers when the request is durable (or was already: same key, same content).
    fn start<'a>(&'a self, caller: &'a Caller, request: Request) -> Reply<'a, RequestKey>;
    /// Answers with the outcome: final, or `Unknown` at `answer_by` (then wait again for the final one with
    /// `final_only`).
    fn wait<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey, final_only: bool) -> Reply<'a, Outcome>;
    fn recall<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey) -> Reply<'a, Transaction>;
    /// Cancels while the frame has not left, else `WrongState`.
    fn cancel<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey) -> Reply<'a, ()>;
    /// Answers the prompt of [`Phase::Confirming`].
    fn confirm<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey, yes: bool) -> Reply<'a, ()>;
    /// The caller has left the bus.
    fn caller_lost<'a>(&'a self, key: &'a RequestKey) -> Reply<'a, ()>;
    /// Newest first.
    fn list<'a>(&'a self, caller: &'a Caller, filter: Filter) -> Reply<'a, Vec<Outcome>>;
    fn explain<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey) -> Reply<'a, Explanation>;
    /// Queues a copy of the slip, headed 重打印 / DUPLICATE; without `copy` the customer's.
    fn reprint<'a>(
        &'a self,
        caller: &'a Caller,
        key: &'a RequestKey,
        copy: Option<SlipCopy>,
    ) -> Reply<'a, ()>;
    /// Has a paper of the app's own printed; answers with its job when it is durable (or was already: same
    /// id, same content).
    fn print<'a>(&'a self, caller: &'a Caller, id: String, paper: Printable) -> Reply<'a, u64>;
    /// Where such a paper stands; with `wait` not before it is printed, held or given up.
    fn paper<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey, wait: bool) -> Reply<'a, PaperStatus>;
    /// Totals of the open batches or of the shift, by account, scheme, kind and operator. Managers
    /// only: they are of all apps.
    fn report<'a>(&'a self, caller: &'a Caller, scope: Scope) -> Reply<'a, TotalsReport>;
    /// Queues the report for printing; a shift's ends the shift. Managers only.
    fn print_report<'a>(&'a self, caller: &'a Caller, scope: Scope) -> Reply<'a, ()>;
    fn devices(&self) -> Reply<'_, Vec<Device>>;
    fn obligations<'a>(&'a self, caller: &'a Caller) -> Reply<'a, Vec<Obligation>>;
    /// Tries a Stuck obligation again. Managers only.
    fn retry_obligation<'a>(&'a self, caller: &'a Caller, txn: u64) -> Reply<'a, ()>;
    /// A person asked the acquirer what became of what is Stuck: it was `executed` and stands, or not; of
    /// several frames that of `stan` stands and no other; with the acquirer's reference, 1 to 40 characters.
    /// Managers only.
    fn resolve_obligation<'a>(
        &'a self,
        caller: &'a Caller,
        txn: u64,
        executed: bool,
        stan: Option<Stan>,
        reference: &'a str,
    ) -> Reply<'a, ()>;
    /// Forward now, hold, release, write off. Managers only; to write off, the supervisor is asked at the
    /// keypad as well.
    fn queue<'a>(&'a self, caller: &'a Caller, act: QueueAct) -> Reply<'a, ()>;
    /// Would a sale of this amount be accepted while the host cannot be reached? As far as that can be told
    /// before the card is there.
    fn offline_why<'a>(
        &'a self,
        caller: &'a Caller,
        amount: Money,
        account: Option<AccountId>,
    ) -> Reply<'a, OfflineAnswer>;
    fn papers<'a>(&'a self, caller: &'a Caller) -> Reply<'a, Vec<PaperJob>>;
    /// Prints a held paper again (as a duplicate) or gives it up. Managers only.
    fn release_paper<'a>(&'a self, caller: &'a Caller, job: u64, print: bool) -> Reply<'a, ()>;
    /// Compares the acquirer's file of a settled batch ([`crate::reconciliation`]) with the journal, record
    /// by record. Managers only.
    fn reconcile<'a>(
        &'a self,
        caller: &'a Caller,
        account: Option<AccountId>,
        file: String,
    ) -> Reply<'a, Reconciliation>;
    fn totals<'a>(&'a self, caller: &'a Caller) -> Reply<'a, Vec<BatchTotals>>;
    /// Answers when the operator's session at the keypad has ended. `Add`, `Remove` and `Unlock`: managers
    /// only.
    fn operator_session<'a>(&'a self, caller: &'a Caller, request: OperatorRequest) -> Reply<'a, ()>;
    fn operators<'a>(&'a self, caller: &'a Caller) -> Reply<'a, Operators>;
    /// What the terminal is and shows, as far as it is durable: a value that is kept, and shared by all who
    /// ask.
    fn info(&self) -> Reply<'_, Arc<TerminalInfo>>;
    /// Tests devices, store, clock, keys and lines now, and answers the report; `print`: on paper too. One at
    /// a time: a second caller waits for its own. Takes some seconds when something does not answer.
    fn self_test<'a>(&'a self, caller: &'a Caller, print: bool) -> Reply<'a, SelfTest>;
    /// The last report of this run of the daemon; none before the first has ended.
    fn last_self_test(&self) -> Reply<'_, Option<SelfTest>>;
    /// Screens, papers and texts from now on, also after a restart. Managers only.
    fn set_language<'a>(&'a self, caller: &'a Caller, language: Language) -> Reply<'a, ()>;
    /// What customer service needs, as a tar.gz of up to 2 MiB without secrets and card data. Managers only.
    fn support_bundle<'a>(&'a self, caller: &'a Caller) -> Reply<'a, Vec<u8>>;
    /// What the acquirer offers to who applies for a terminal. Managers only, as all of the onboarding.
    fn offer<'a>(&'a self, caller: &'a Caller) -> Reply<'a, OfferShown>;
    /// How far the onboarding for a terminal is.
    fn onboarding<'a>(&'a self, caller: &'a Caller) -> Reply<'a, OnboardingShown>;
    /// Takes the onboarding a step further; answers when that is durable, or was already.
    fn apply<'a>(&'a self, caller: &'a Caller, step: Step) -> Reply<'a, ()>;
    /// Everything that is told from now on.
    fn notices(&self) -> Notices;
}
