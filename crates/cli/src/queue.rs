//! `paytermctl queue`: what is owed, and what a person does about it (docs/stuck.md).
use crate::{
    Failure,
    args::{Global, stan},
    bus::Bus,
    setup, show,
    ui::Ui,
};
use clap::{Args, Subcommand};
use payterm_schema::{Kind, Outcome, Stan, Status, Terminal, offline::QueueAct, terminal::Filter};

#[derive(Subcommand)]
pub enum QueueAction {
    /// Has it tried now: an advice told to the acquirer, a reversal sent again; without TXN every advice that
    /// waits (managers).
    Forward {
        /// The number in the first column of `paytermctl queue`, or the support reference (R0001-17: the
        /// digits behind the dash).
        #[arg(value_parser = txn)]
        txn: Option<Txn>,
    },
    /// Keeps an advice back: a payment accepted without the acquirer that is still to be told (managers).
    Hold(Of),
    /// Lets a held advice go (managers).
    Release(Of),
    /// Gives it up; the supervisor is asked at the keypad (managers).
    WriteOff {
        #[command(flatten)]
        of: Of,
        /// On record with it, up to 80 characters.
        #[arg(long)]
        why: String,
    },
    /// Tries a stuck obligation again (managers).
    Retry(Of),
    /// Writes down what the acquirer says became of a stuck one (managers).
    ///
    /// Answer about the payment itself, never about its reversal. Of a settlement: executed = the batch is
    /// closed there, not executed = it is open.
    Resolve {
        #[command(flatten)]
        of: Of,
        /// The acquirer's reference, up to 40 characters.
        #[arg(long)]
        reference: String,
        #[command(flatten)]
        what: Resolved,
        /// Of a payment that was sent several times: the STAN (voucher number) of the one that the acquirer
        /// has booked.
        #[arg(long, value_parser = stan, conflicts_with = "not_executed")]
        stan: Option<Stan>,
    },
}

/// One of the queue.
#[derive(Args)]
pub struct Of {
    /// The number in the first column of `paytermctl queue`, or the support reference (R0001-17: the digits
    /// behind the dash).
    #[arg(value_parser = txn)]
    txn: Txn,
}

#[derive(Args)]
#[group(id = "resolved", required = true, multiple = false)]
pub struct Resolved {
    /// The payment itself (sale, refund, void ...) stands at the acquirer; of a settlement: the batch is
    /// closed there.
    #[arg(long)]
    pub executed: bool,
    /// It was never made, or its reversal was done; of a settlement: the batch is open there.
    #[arg(long)]
    pub not_executed: bool,
}

/// A transaction as a person names it: `17`, or the support reference that stands on its slip.
#[derive(Clone)]
pub struct Txn {
    number: u64,
    /// As typed. It names the terminal too.
    reference: Option<String>,
}
fn txn(text: &str) -> Result<Txn, String> {
    let (number, reference) = match Outcome::txn_of(text) {
        Some(number) => (Some(number), Some(text.to_owned())),
        None => (text.parse().ok(), None),
    };
    let number = number.filter(|n| *n > 0).ok_or("a number, or a support reference such as R0001-17")?;
    Ok(Txn { number, reference })
}

pub async fn run(global: &Global, ui: &Ui, action: Option<QueueAction>) -> Result<(), Failure> {
    let bus = Bus::connect(global).await?;
    let act = match action {
        None => return list(&bus, ui).await,
        Some(QueueAction::Forward { txn: None }) => QueueAct::Forward { txn: None },
        Some(QueueAction::Forward { txn: Some(txn) }) => {
            QueueAct::Forward { txn: Some(number(&bus, txn).await?) }
        }
        Some(QueueAction::Hold(Of { txn })) => QueueAct::Hold { txn: number(&bus, txn).await? },
        Some(QueueAction::Release(Of { txn })) => QueueAct::Release { txn: number(&bus, txn).await? },
        Some(QueueAction::WriteOff { of, why }) => {
            QueueAct::WriteOff { txn: number(&bus, of.txn).await?, why }
        }
        Some(QueueAction::Resolve { of, reference, what, stan }) => {
            bus.client
                .resolve_obligation(&bus.caller, number(&bus, of.txn).await?, what.executed, stan, &reference)
                .await?;
            ui.done();
            return Ok(());
        }
        Some(QueueAction::Retry(Of { txn })) => {
            bus.client.retry_obligation(&bus.caller, number(&bus, txn).await?).await?;
            ui.done();
            return Ok(());
        }
    };
    bus.client.queue(&bus.caller, act).await?;
    ui.done();
    Ok(())
}

async fn list(bus: &Bus, ui: &Ui) -> Result<(), Failure> {
    let all = bus.client.obligations(&bus.caller).await?;
    let filter = Filter { kind: Some(Kind::Settlement), status: Some(Status::Unknown), ..Filter::default() };
    let settlements = bus.client.list(&bus.caller, filter).await?;
    ui.result(&all, || show::obligations(ui, &all, &settlements));
    Ok(())
}

/// The number that a person means.
async fn number(bus: &Bus, txn: Txn) -> Result<u64, Failure> {
    match txn.reference {
        Some(text) => Ok(setup::referred(bus, &text, txn.number).await?.txn),
        None => Ok(txn.number),
    }
}
