//! Obligations to the acquirer, and papers that wait.
use crate::{
    row::{Interface, methods},
    types::{Dicts, Text},
};
use payterm_schema::{
    AccountId, Money,
    account::Stan,
    offline::{OfflineAnswer, QueueAct},
    paper::PaperJob,
    record::Obligation,
};

pub(crate) const NAME: &str = "org.payterm.Terminal1.Queue";

pub(crate) const INTERFACE: Interface =
    Interface { name: NAME, methods: METHODS, properties: &[], signals: &[] };

methods! { NAME;
    /// What frames that left still owe.
    Obligations() -> obligations: Dicts<Obligation> [Apps, Own, Moment]
        |asked| asked.terminal().obligations(asked.caller).await;
    /// Tries a Stuck obligation again. Managers only.
    Retry(txn: u64) [Managers, All, Moment]
        |asked| asked.terminal().retry_obligation(asked.caller, txn).await;
    /// What the acquirer says became of what is Stuck, with their reference; of several frames the one that
    /// stands, else 0. Managers only.
    Resolve(txn: u64, executed: bool, stan: Option<Stan>, reference: String) [Managers, All, Moment]
        |asked| asked.terminal().resolve_obligation(asked.caller, txn, executed, stan, &reference).await;
    /// Has it tried now, or with 0 all that waits. Managers only.
    Forward(txn: u64) [Managers, All, Moment] |asked| {
        let act = QueueAct::Forward { txn: Some(txn).filter(|t| *t > 0) };
        asked.terminal().queue(asked.caller, act).await
    };
    /// Keeps an advice back until it is released. Managers only.
    Hold(txn: u64) [Managers, All, Moment]
        |asked| asked.terminal().queue(asked.caller, QueueAct::Hold { txn }).await;
    /// Lets a held advice go. Managers only.
    Release(txn: u64) [Managers, All, Moment]
        |asked| asked.terminal().queue(asked.caller, QueueAct::Release { txn }).await;
    /// The supervisor gives it up: asked at the keypad; answers when that has ended. Managers only.
    WriteOff(txn: u64, why: String) [Supervised, All, Long]
        |asked| asked.terminal().queue(asked.caller, QueueAct::WriteOff { txn, why }).await;
    /// Would a sale be accepted without the host, by the merchant, the card, and a card while the host cannot
    /// be reached: by which rule, limit and exposure? An empty account: the first of the currency.
    OfflineWhy(amount: String, currency: String, account: Text<Option<AccountId>>)
        -> answers: Dicts<OfflineAnswer> [Apps, Nobodys, Moment] |asked| {
        let amount = Money::parse(&amount, currency.parse()?)?;
        asked.terminal().offline_why(asked.caller, amount, account).await
    };
    /// Papers that are not printed yet.
    Papers() -> papers: Dicts<PaperJob> [Apps, Own, Moment]
        |asked| asked.terminal().papers(asked.caller).await;
    /// Prints a held paper as a duplicate, or gives it up. Managers only.
    ReleasePaper(paper: u64, print: bool) [Managers, All, Moment]
        |asked| asked.terminal().release_paper(asked.caller, paper, print).await;
}
