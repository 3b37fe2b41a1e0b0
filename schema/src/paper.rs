//! Papers: what is to be printed, durable until the printer confirmed it.
use crate::{
    onboarding::OnboardingSlip,
    outcome::Outcome,
    page::{Drawer, Invoice, Page, Printable},
    totals::TotalsReport,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which paper of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaperKind {
    /// 商户存根
    MerchantCopy,
    /// 持卡人存根
    CustomerCopy,
    /// "Do not take the money again".
    UnknownSlip,
    /// An obligation is Stuck: for a person.
    StuckSlip,
    /// 余额
    BalanceSlip,
    /// Totals of the open batch.
    TotalsReport,
    /// Totals of the shift.
    ShiftReport,
    /// 结算单: what came of a settlement.
    SettlementReport,
    /// Composed by an app.
    Page,
    /// 开票单
    InvoiceSlip,
    /// 自检
    SelfTestSlip,
    /// 终端申请单
    OnboardingSlip,
    /// 开钱箱; no paper at all.
    Drawer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaperState {
    /// Waits for the printer; `attempts` = 0 means that no byte of it was ever sent.
    Waiting,
    /// Bytes may have left.
    Printing,
    /// Confirmed by the printer (or sent, for a printer without a back-channel).
    Done,
    /// Unconfirmed; offered to the cashier because the config says `duplicate = "ask"`.
    Held,
    /// A person gave it up.
    GivenUp,
}

/// One paper. A job that may have reached the paper is printed again only from its start, headed 重打印 /
/// DUPLICATE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaperJob {
    pub id: u64,
    pub kind: PaperKind,
    pub state: PaperState,
    pub attempts: u32,
    /// Why it is not printed yet.
    pub problem: Option<String>,
    /// The app that sees it; absent for an outcome's paper, which its request's app sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The app's own name for it, with the hash of what it asked for; none = not asked for by an app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<PaperRequest>,
    /// The transaction it belongs to, when that is not its outcome's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txn: Option<u64>,
    /// One key beside the others, named as the content: `"outcome":{...}`.
    #[serde(flatten)]
    pub content: PaperContent,
}

/// What is on a paper; kept with the job, so that it is the same at every try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaperContent {
    /// A transaction's slip.
    Outcome(Arc<Outcome>),
    Totals(Box<TotalsReport>),
    Page(Box<Page>),
    Invoice(Box<Invoice>),
    /// The report of a self-test.
    SelfTest(Box<crate::SelfTest>),
    /// The onboarding for a terminal.
    Onboarding(Box<OnboardingSlip>),
    /// The pulse that opens the cash drawer.
    Drawer(Drawer),
}

impl From<Printable> for PaperContent {
    fn from(p: Printable) -> Self {
        match p {
            Printable::Page(page) => PaperContent::Page(Box::new(page)),
            Printable::Invoice(invoice) => PaperContent::Invoice(Box::new(invoice)),
            Printable::Drawer(drawer) => PaperContent::Drawer(drawer),
        }
    }
}

/// How an app names a paper that it asked for: the same id with the same hash is the same paper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaperRequest {
    pub id: String,
    pub hash: String,
}

/// Where a paper stands that an app asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaperStatus {
    pub id: String,
    pub job: u64,
    pub state: PaperState,
    /// Why it is not printed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Which copy of a slip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SlipCopy {
    Merchant,
    Customer,
}
impl SlipCopy {
    pub const fn name(self) -> &'static str {
        match self {
            SlipCopy::Merchant => "merchant",
            SlipCopy::Customer => "customer",
        }
    }
    /// The copy of this name, or none.
    pub fn named(name: &str) -> Option<SlipCopy> {
        [SlipCopy::Merchant, SlipCopy::Customer].into_iter().find(|c| c.name() == name)
    }
}

impl PaperJob {
    /// A job that waits; `attempts` = 1 for a copy, which is never headed as an original.
    pub fn new(id: u64, kind: PaperKind, attempts: u32, content: PaperContent) -> Self {
        Self {
            id,
            kind,
            state: PaperState::Waiting,
            attempts,
            problem: None,
            app: None,
            request: None,
            txn: None,
            content,
        }
    }
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.content {
            PaperContent::Outcome(o) => Some(o),
            PaperContent::Totals(_)
            | PaperContent::Page(_)
            | PaperContent::Invoice(_)
            | PaperContent::SelfTest(_)
            | PaperContent::Onboarding(_)
            | PaperContent::Drawer(_) => None,
        }
    }
    pub fn outcome_mut(&mut self) -> Option<&mut Outcome> {
        match &mut self.content {
            PaperContent::Outcome(o) => Some(Arc::make_mut(o)),
            PaperContent::Totals(_)
            | PaperContent::Page(_)
            | PaperContent::Invoice(_)
            | PaperContent::SelfTest(_)
            | PaperContent::Onboarding(_)
            | PaperContent::Drawer(_) => None,
        }
    }
    /// Done at once or not at all: a drawer that opens later, or once more, opens before nobody.
    pub fn at_most_once(&self) -> bool {
        matches!(self.content, PaperContent::Drawer(_))
    }
    /// The app that sees it beside the managers; none = only they do.
    pub fn owner(&self) -> Option<&str> {
        self.app.as_deref().or_else(|| self.outcome().map(|o| o.key.app.as_str()))
    }
    /// The transaction it belongs to.
    pub fn transaction(&self) -> Option<u64> {
        self.txn.or_else(|| self.outcome().map(|o| o.txn))
    }
}

/// What a printer driver answers for one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrintResult {
    /// The printer said that the paper is out of it (process id answered, or good status after the job).
    Confirmed,
    /// All bytes were taken by a printer that cannot answer.
    SentUnconfirmable,
    /// No byte of the job was sent (no paper, cover open, not reachable).
    NotStarted(String),
    /// Bytes were sent and no confirmation came.
    Unconfirmed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_of_an_earlier_version_still_loads() {
        let old = r#"{"id":7,"kind":"customer_copy","state":"held","attempts":1,"problem":null,
            "outcome":{"app":"till","id":"order-17","txn":42,
            "kind":"sale","status":"approved","currency":"CNY","amount":"12.34","fee":"0.07","started":1000,
            "place":{"shop":"s","address":"","city":""},"operator":"01","pin":true,"voided":false,
            "test":false}}"#;
        let job: PaperJob = serde_json::from_str(old).expect("loads");
        assert_eq!((job.owner(), job.transaction(), job.state), (Some("till"), Some(42), PaperState::Held));
        assert_eq!(job.outcome().and_then(|o| o.sums.amount), Some(1234));
        let again: PaperJob =
            serde_json::from_str(&serde_json::to_string(&job).expect("writes")).expect("loads again");
        assert_eq!(again, job);
    }
}
