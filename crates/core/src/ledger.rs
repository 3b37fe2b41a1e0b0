//! What the terminal keeps of an account: its numbers, its open batch, the settlement that closes it.
use payterm_schema::{
    Outcome,
    account::{Batch, Stan},
    download::EmvParameters,
    host::Plan,
    settlement::{BatchPart, Settlement, UnpaidLine, UploadGroup},
    time::{Millis, Time},
    totals::Total,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};

/// What belongs to an account (host-protocol §10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    pub signed_in: bool,
    pub batch: Batch,
    pub last_stan: Option<Stan>,
    /// Host time minus the terminal's, as of the last sign-in.
    pub offset: Millis,
    pub debit_count: u64,
    pub debit_minor: u64,
    pub credit_count: u64,
    pub credit_minor: u64,
    /// Answers discarded because of their MAC.
    pub mac_failures: u64,
    /// When the host was last heard.
    #[serde(default)]
    pub online: Option<Time>,
    /// Processing requirement that nobody has acted on yet.
    pub requirement: u8,
    /// Approvals of the open batch by scheme, kind and operator, and when the first one was.
    #[serde(default)]
    pub totals: Vec<Total>,
    #[serde(default)]
    pub totals_since: Option<Time>,
    /// TCs of chip cards in the open batch.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub certificates: u32,
    /// The same since the last shift report.
    #[serde(default)]
    pub shift: Vec<Total>,
    #[serde(default)]
    pub shift_since: Option<Time>,
    /// The last transaction before the shift: what a clock says of it does not matter.
    #[serde(default)]
    pub shift_after: u64,
    /// Merchant and terminal number (F42, F41) under which the batch's first record was made: under these it
    /// is settled.
    #[serde(default)]
    pub opened_as: Option<(String, String)>,
    /// Those of the last payment that was made: what was made under others and is approved later opens no
    /// batch.
    #[serde(default)]
    pub made_as: Option<(String, String)>,
    /// The settlement that closed the batch before: what is in this one came later.
    #[serde(default)]
    pub batch_after: u64,
    /// The batch is being closed.
    #[serde(default)]
    pub settling: Option<Box<Settling>>,
    /// When the terminal last began to settle by itself.
    #[serde(default)]
    pub auto_settled: Option<Time>,
    /// How often it did so in vain for this batch.
    #[serde(default)]
    pub auto_tries: u32,
    /// Advices that were refused or written off since the last settlement, for the next one's report: at most
    /// [`Settlement::ROWS`], and how many more.
    #[serde(default)]
    pub unpaid: Vec<UnpaidLine>,
    #[serde(default)]
    pub unpaid_more: u32,
    /// The batch that its host is in, where a person has said that ours is open all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreed: Option<Batch>,
    /// What its host has given to the card kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emv: Option<Arc<EmvParameters>>,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// A settlement whose totals may have left (host-protocol §7), until its batch is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settling {
    pub txn: u64,
    /// Grows with the answers.
    pub settlement: Settlement,
    /// What was Stuck when the totals were made: not in them, and not uploaded.
    pub excluded: BTreeSet<u64>,
    /// Sales whose tip is among them: they are uploaded without it.
    pub untipped: BTreeSet<u64>,
    /// The message that is not answered yet: it leaves again as it is.
    pub open: Option<Plan>,
    /// A byte of the totals has left, or may have.
    pub left: bool,
    /// Where the upload goes on: after this transaction of this group.
    pub group: UploadGroup,
    pub after: u64,
    pub tries: u32,
    pub next_try: Time,
    /// Why it waits: a response code, or the terminal's own word.
    pub problem: Option<String>,
    /// A person must have it tried again.
    pub hold: bool,
}

impl Settling {
    /// The acquirer has what is in the message that is open.
    pub fn uploaded(&mut self) {
        let (records, certificates) = match self.open.as_ref().and_then(|p| p.settlement.as_deref()) {
            Some(BatchPart::List(list)) => (list.len() as u32, 0),
            Some(BatchPart::One { .. }) => (1, 0),
            Some(BatchPart::Certificate { .. }) => (0, 1),
            Some(BatchPart::Totals(_) | BatchPart::End { .. }) | None => (0, 0),
        };
        let s = &mut self.settlement;
        s.uploaded = s.uploaded.saturating_add(records);
        s.certificates = s.certificates.saturating_add(certificates);
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            signed_in: false,
            batch: Batch::FIRST,
            last_stan: None,
            offset: Millis(0),
            debit_count: 0,
            debit_minor: 0,
            credit_count: 0,
            credit_minor: 0,
            mac_failures: 0,
            online: None,
            requirement: 0,
            totals: Vec::new(),
            totals_since: None,
            certificates: 0,
            shift: Vec::new(),
            shift_since: None,
            shift_after: 0,
            opened_as: None,
            made_as: None,
            batch_after: 0,
            settling: None,
            auto_settled: None,
            auto_tries: 0,
            unpaid: Vec::new(),
            unpaid_more: 0,
            agreed: None,
            emv: None,
        }
    }
}

impl Settling {
    pub(crate) fn answered(&mut self, at: Time) {
        (self.open, self.left, self.tries, self.next_try, self.problem, self.hold) =
            (None, true, 0, at, None, false);
    }
}

impl Ledger {
    /// The batch holds records, or is being closed.
    pub fn holds_records(&self) -> bool {
        self.settling.is_some() || self.debit_count + self.credit_count > 0
    }

    /// It was made under the merchant and terminal number of the open batch, or of the payment that would
    /// open it: under others it is of another terminal's batch.
    pub fn of_this_terminal(&self, o: &Outcome) -> bool {
        let own = if self.holds_records() { &self.opened_as } else { &self.made_as };
        own.is_none() || *own == numbers(o)
    }
}

/// Merchant and terminal number (F42, F41) under which it was made.
pub(crate) fn numbers(o: &Outcome) -> Option<(String, String)> {
    o.mid.clone().zip(o.tid.clone())
}
