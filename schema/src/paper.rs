//! Papers: what is to be printed, durable until the printer has confirmed it.
use crate::{
    onboarding::OnboardingSlip,
    outcome::Outcome,
    page::{Drawer, Invoice, Page, Printable},
    totals::TotalsReport,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Kind of a paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaperKind {
    /// 商户存根: the merchant's copy of a slip.
    MerchantCopy,
    /// 持卡人存根: the customer's copy of a slip.
    CustomerCopy,
    /// Notice to the shop that an outcome is unknown: "do not take the money again".
    UnknownSlip,
    /// Notice to a person that an obligation is Stuck.
    StuckSlip,
    /// 余额: the balance of a card.
    BalanceSlip,
    /// Totals of the open batches.
    TotalsReport,
    /// Totals of the shift.
    ShiftReport,
    /// 结算单: the report of a settlement.
    SettlementReport,
    /// Page that an app composed.
    Page,
    /// 开票单: an invoice slip that an app composed.
    InvoiceSlip,
    /// 自检: the report of a self-test.
    SelfTestSlip,
    /// 终端申请单: the onboarding of the terminal.
    OnboardingSlip,
    /// 开钱箱: no paper, the cash drawer is opened.
    Drawer,
}

/// State of a paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaperState {
    /// Waits for the printer; `attempts` = 0 means that no byte of it was ever sent.
    Waiting,
    /// Is being printed: bytes of it may have left.
    Printing,
    /// Was confirmed by the printer; or was sent, to a printer that cannot answer.
    Done,
    /// Was not confirmed; the cashier decides (`paper.duplicate = "ask"`).
    Held,
    /// Was given up, by a person or by the terminal itself.
    GivenUp,
}

/// Job of printing one paper. A job that may have reached the paper is printed again only from its start,
/// headed 重打印 / DUPLICATE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaperJob {
    pub id: u64,
    pub kind: PaperKind,
    pub state: PaperState,
    /// Attempts so far in which bytes may have left.
    pub attempts: u32,
    /// Problem for which it is not printed yet; none: there is none.
    pub problem: Option<String>,
    /// Characters of its last try that the printer lacks: `?` or a plain letter stands in their place.
    #[serde(default, skip_serializing_if = "crate::settlement::is_zero")]
    pub replaced: u32,
    /// App that sees it; absent for an outcome's paper, which its request's app sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Name that the app gave it, with the hash of what it asked for; none: no app asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<PaperRequest>,
    /// Transaction to which it belongs, when that is not its outcome's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txn: Option<u64>,
    /// Content: one key beside the others, named as the content is: `"outcome":{...}`.
    #[serde(flatten)]
    pub content: PaperContent,
}

/// Content of a paper; kept with the job, so that it is the same at every try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaperContent {
    /// Slip of a transaction.
    Outcome(Arc<Outcome>),
    Totals(Box<TotalsReport>),
    Page(Box<Page>),
    Invoice(Box<Invoice>),
    /// Report of a self-test.
    SelfTest(Box<crate::SelfTest>),
    /// Onboarding of the terminal.
    Onboarding(Box<OnboardingSlip>),
    /// Pulse that opens the cash drawer.
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

/// Name that an app gives a paper: the same id with the same hash is the same paper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaperRequest {
    pub id: String,
    pub hash: String,
}

/// Status of a paper that an app asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaperStatus {
    pub id: String,
    pub job: u64,
    pub state: PaperState,
    /// Problem for which it is not printed yet; none: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Characters that the printer lacks: `?` or a plain letter stands in their place.
    #[serde(default, skip_serializing_if = "crate::settlement::is_zero")]
    pub replaced: u32,
}

/// Copy of a slip.
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
    /// Copy of this name, or none.
    pub fn named(name: &str) -> Option<SlipCopy> {
        [SlipCopy::Merchant, SlipCopy::Customer].into_iter().find(|c| c.name() == name)
    }
}

impl PaperJob {
    /// Job that waits; `attempts` = 1 for a reprint, which is never headed as an original.
    pub fn new(id: u64, kind: PaperKind, attempts: u32, content: PaperContent) -> Self {
        Self {
            id,
            kind,
            state: PaperState::Waiting,
            attempts,
            problem: None,
            replaced: 0,
            app: None,
            request: None,
            txn: None,
            content,
        }
    }
    /// Outcome of a transaction's slip.
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
    /// Outcome of a transaction's slip, to be changed.
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
    /// Tells whether it is done at once or not at all: a drawer that opens later, or twice, opens before
    /// nobody.
    pub fn at_most_once(&self) -> bool {
        matches!(self.content, PaperContent::Drawer(_))
    }
    /// App that sees it beside the managers; none: only they do.
    pub fn owner(&self) -> Option<&str> {
        self.app.as_deref().or_else(|| self.outcome().map(|o| o.key.app.as_str()))
    }
    /// Number of the transaction to which it belongs.
    pub fn transaction(&self) -> Option<u64> {
        self.txn.or_else(|| self.outcome().map(|o| o.txn))
    }
}

/// Result that a printer driver answers for a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrintResult {
    /// The printer said that the paper is out of it: it answered the process id, or reported a good status
    /// after the job.
    Confirmed,
    /// All bytes were taken, by a printer that cannot answer.
    SentUnconfirmable,
    /// No byte of the job was sent: no paper, cover open, not reachable.
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
