//! Front door of a terminal: what every face (D-Bus, JNI, web) calls. The engine and the bus client implement
//! it.
use crate::{
    account::{AccountId, Stan},
    caller::Caller,
    config::Language,
    device::Device,
    emv_lists::EmvLists,
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
    zone::Zone,
};
use futures_core::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{future::Future, pin::Pin, sync::Arc};

/// Answer of the front door: a future that may be dropped without changing anything.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'a>>;
/// Stream of everything that the terminal tells.
pub type Notices = Pin<Box<dyn Stream<Item = Notice> + Send>>;

/// Transaction as it is recalled or listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Transaction {
    pub outcome: Outcome,
    pub phase: Phase,
    /// The request can still be cancelled.
    pub can_cancel: bool,
}

/// Filter of the history; all fields that are given must hold.
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
    /// Only transactions that started at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Only transactions that started before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Last four digits of the card number or payment code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last4: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rrn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stan: Option<crate::account::Stan>,
    /// Number of a transaction: only those with a smaller number, for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Greatest number of transactions, 1 to 200; default 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

impl Filter {
    /// Checks the values that a caller may get wrong.
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

/// Dispute page: everything about one transaction, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    pub outcome: Outcome,
    pub entries: Vec<ExplainedEntry>,
    /// Slips as plain text.
    pub slips: Vec<String>,
}
/// Record of the journal on the dispute page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedEntry {
    pub seq: u64,
    pub at: Time,
    /// The record as JSON, in its stored form, but for what is in issuer scripts (EMV data 71 and 72).
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
    /// Sum of the debits, minor units.
    pub debit_minor: u64,
    pub credit_count: u64,
    /// Sum of the credits, minor units.
    pub credit_minor: u64,
    /// Number of open obligations.
    pub open_obligations: u32,
    /// The batch is being closed: no payment of the account starts until it is.
    #[serde(default)]
    pub settling: bool,
    /// Sum of the debits as a decimal text.
    pub debit: String,
    /// Sum of the credits as a decimal text.
    pub credit: String,
}

/// Facts about the terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TerminalInfo {
    pub version: String,
    /// Version of the D-Bus API.
    pub api: u32,
    /// BCP 47 tag: `zh-CN` or `en`.
    pub language: String,
    pub shop: String,
    pub service_phone: String,
    /// Time zone of slips, reports and screens.
    pub zone: Zone,
    /// Test terminal: a virtual device is configured, or `terminal.lab` is true.
    pub test: bool,
    pub accounts: Vec<AccountId>,
    /// Request that is being served.
    pub running: Option<RequestKey>,
    pub screen: Screen,
    /// Reasons not to update or restart the terminal now; empty: none.
    pub inhibit_reasons: Vec<InhibitReason>,
}

/// Front door of a terminal. Every method may be called from any thread; none blocks; futures may be dropped
/// at any point without changing the state of money. Each answers what the caller may see and refuses the
/// rest with `NotAllowed` or, for what is another app's, with `NotFound`.
pub trait Terminal: Send + Sync {
    /// Starts a request; answers when it is durable (or was already: same key, same content).
    fn start<'a>(&'a self, caller: &'a Caller, request: Request) -> Reply<'a, RequestKey>;
    /// Waits for the outcome: final, or `Unknown` at `answer_by` (then wait again for the final one, with
    /// `final_only`).
    fn wait<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey, final_only: bool) -> Reply<'a, Outcome>;
    /// Recalls a transaction, whatever its status.
    fn recall<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey) -> Reply<'a, Transaction>;
    /// Cancels the request while its frame has not left, else `TooLate`.
    fn cancel<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey) -> Reply<'a, ()>;
    /// Answers the prompt of [`Phase::Confirming`]; `WrongState` when there is none.
    fn confirm<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey, yes: bool) -> Reply<'a, ()>;
    /// Tells that the caller of this request has left the bus.
    fn caller_lost<'a>(&'a self, key: &'a RequestKey) -> Reply<'a, ()>;
    /// Lists the history, the newest first.
    fn list<'a>(&'a self, caller: &'a Caller, filter: Filter) -> Reply<'a, Vec<Outcome>>;
    /// Explains a transaction: its records, and its slips.
    fn explain<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey) -> Reply<'a, Explanation>;
    /// Queues a copy of the slip, headed 重打印 / DUPLICATE; without `copy` the customer's.
    fn reprint<'a>(
        &'a self,
        caller: &'a Caller,
        key: &'a RequestKey,
        copy: Option<SlipCopy>,
    ) -> Reply<'a, ()>;
    /// Prints a paper of the app's own; answers with its job when that is durable (or was already: same id,
    /// same content).
    fn print<'a>(&'a self, caller: &'a Caller, id: String, paper: Printable) -> Reply<'a, u64>;
    /// Tells the state of such a paper; with `wait` not before it is printed, held or given up.
    fn paper<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey, wait: bool) -> Reply<'a, PaperStatus>;
    /// Reports the totals of the open batches or of the shift, by account, scheme, kind and operator.
    /// Managers only: they are of all apps.
    fn report<'a>(&'a self, caller: &'a Caller, scope: Scope) -> Reply<'a, TotalsReport>;
    /// Queues the report for printing; a shift's ends the shift. Managers only.
    fn print_report<'a>(&'a self, caller: &'a Caller, scope: Scope) -> Reply<'a, ()>;
    /// Lists the devices and their states.
    fn devices(&self) -> Reply<'_, Vec<Device>>;
    /// Lists the open obligations of the caller's own requests; a manager sees all.
    fn obligations<'a>(&'a self, caller: &'a Caller) -> Reply<'a, Vec<Obligation>>;
    /// Tries a Stuck obligation again. Managers only.
    fn retry_obligation<'a>(&'a self, caller: &'a Caller, txn: u64) -> Reply<'a, ()>;
    /// Resolves what is Stuck, after a person asked the acquirer: it was `executed` there, or not; of several
    /// frames the one of `stan` was, and no other. `reference` is the acquirer's, 1 to 40 characters.
    /// Managers only.
    fn resolve_obligation<'a>(
        &'a self,
        caller: &'a Caller,
        txn: u64,
        executed: bool,
        stan: Option<Stan>,
        reference: &'a str,
    ) -> Reply<'a, ()>;
    /// Forwards, holds, releases or writes off what waits in the queue. Managers only; to write off, the
    /// supervisor is asked at the keypad as well.
    fn queue<'a>(&'a self, caller: &'a Caller, act: QueueAct) -> Reply<'a, ()>;
    /// Tells by whose authority a sale of this amount would be accepted without the host, as far as that can
    /// be told before the card is there: an answer for the merchant, for the card, and for a card that is
    /// told that the host cannot be reached.
    fn offline_why<'a>(
        &'a self,
        caller: &'a Caller,
        amount: Money,
        account: Option<AccountId>,
    ) -> Reply<'a, Vec<OfflineAnswer>>;
    /// Lists the papers that are not done.
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
    /// Lists the totals of the open batches.
    fn totals<'a>(&'a self, caller: &'a Caller) -> Reply<'a, Vec<BatchTotals>>;
    /// Runs a session of an operator at the keypad; answers when it has ended. `Add`, `Remove`, `Unlock` and
    /// `EndRecovery`: managers only.
    fn operator_session<'a>(&'a self, caller: &'a Caller, request: OperatorRequest) -> Reply<'a, ()>;
    /// Lists the operators.
    fn operators<'a>(&'a self, caller: &'a Caller) -> Reply<'a, Operators>;
    /// Facts about the terminal, as far as they are durable: one value, which all who ask share.
    fn info(&self) -> Reply<'_, Arc<TerminalInfo>>;
    /// Tests devices, store, clock, keys and lines now, and answers the report; `print`: on paper too. One
    /// test at a time: a second caller waits for its own. Takes some seconds when something does not answer.
    fn self_test<'a>(&'a self, caller: &'a Caller, print: bool) -> Reply<'a, SelfTest>;
    /// Last report of this run of the terminal; none before the first has ended.
    fn last_self_test(&self) -> Reply<'_, Option<SelfTest>>;
    /// Lists the applications and CA keys that the card kernel works with; none without `[emv]`.
    fn emv_lists(&self) -> Reply<'_, Option<EmvLists>>;
    /// Sets the language of screens, papers and texts, also after a restart. Managers only.
    fn set_language<'a>(&'a self, caller: &'a Caller, language: Language) -> Reply<'a, ()>;
    /// Bundle for customer service: a tar.gz of up to 2 MiB without secrets and card data. Managers only.
    fn support_bundle<'a>(&'a self, caller: &'a Caller) -> Reply<'a, Vec<u8>>;
    /// Fetches what the acquirer offers a merchant who applies for a terminal. Managers only, as all of the
    /// onboarding.
    fn offer<'a>(&'a self, caller: &'a Caller) -> Reply<'a, OfferShown>;
    /// Tells how far the onboarding of the terminal is. Managers only.
    fn onboarding<'a>(&'a self, caller: &'a Caller) -> Reply<'a, OnboardingShown>;
    /// Takes the onboarding a step further; answers when that is durable, or was already. Managers only.
    fn apply<'a>(&'a self, caller: &'a Caller, step: Step) -> Reply<'a, ()>;
    /// Subscribes to everything that is told from now on.
    fn notices(&self) -> Notices;
}
