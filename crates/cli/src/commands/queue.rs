//! `paytermctl queue`: what is owed, and what a person does about it (docs/stuck.md).
use crate::{
    Failure,
    args::{Global, stan},
    bus::Bus,
    show::shown,
    ui::Ui,
};
use clap::{Args, Subcommand};
use payterm_schema::{
    Kind, Outcome, Stan, Status, Terminal,
    offline::QueueAct,
    record::{Duty, Obligation, ObligationState},
    terminal::Filter,
};

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

/// Transaction of the queue, as an argument.
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
    /// Reference as it was typed, which names the terminal too; none: a bare number.
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

pub async fn run(global: &Global, ui: &Ui, action: Option<QueueAction>) -> Result<u8, Failure> {
    let bus = Bus::connect(global, ui).await?;
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
            return Ok(0);
        }
        Some(QueueAction::Retry(Of { txn })) => {
            bus.client.retry_obligation(&bus.caller, number(&bus, txn).await?).await?;
            ui.done();
            return Ok(0);
        }
    };
    bus.client.queue(&bus.caller, act).await?;
    ui.done();
    Ok(0)
}

async fn list(bus: &Bus, ui: &Ui) -> Result<u8, Failure> {
    let all = bus.client.obligations(&bus.caller).await?;
    let filter = Filter { kind: Some(Kind::Settlement), status: Some(Status::Unknown), ..Filter::default() };
    let settlements = bus.client.list(&bus.caller, filter).await?;
    ui.result(&all, || page(ui, &all, &settlements));
    Ok(0)
}

/// The number that a person means.
async fn number(bus: &Bus, txn: Txn) -> Result<u64, Failure> {
    match txn.reference {
        Some(text) => Ok(bus.referred(&text, txn.number).await?.txn),
        None => Ok(txn.number),
    }
}

/// Table of the obligations, and of the settlements that are not done: these owe no message of their own
/// here, and hold up everything.
fn page(ui: &Ui, all: &[Obligation], settlements: &[Outcome]) -> String {
    let line = |o: &Outcome| {
        let account = o.account.as_ref().map(ToString::to_string).unwrap_or_default();
        ui.say("cli-queue-settlement", &[("txn", &o.txn.to_string()), ("account", &account)])
    };
    let open = settlements.iter().map(|o| format!("{}\n", line(o))).collect::<String>();
    if all.is_empty() {
        return if open.is_empty() { ui.text("cli-queue-empty") } else { open.trim_end().into() };
    }
    let header = [
        "label-txn",
        "cli-duty",
        "label-account",
        "label-stan",
        "label-kind",
        "label-amount",
        "label-status",
        "cli-reversal-code",
        "cli-tries",
        "cli-last-answer",
        "cli-since",
        "cli-next-try",
        "cli-deadline",
        "label-offline-authority",
    ];
    let rows = all.iter().map(|o| {
        let driven = o.held.is_none() && o.state != ObligationState::Stuck;
        [
            o.txn.to_string(),
            ui.text(match o.duty {
                _ if o.asking.is_some() => "cli-duty-query",
                Duty::Reverse => "cli-duty-reversal",
                Duty::Repeat => "cli-duty-advice",
                Duty::ManualResolution => "cli-duty-person",
                Duty::Notify => "cli-duty-notice",
            }),
            o.account.to_string(),
            o.plan.stan.to_string(),
            ui.texts.word(o.plan.kind),
            o.plan.amount.map(|m| ui.texts.amount_text(m)).unwrap_or_default(),
            o.held.as_ref().map_or_else(|| ui.texts.word(o.state), |by| ui.say("cli-held-by", &[("by", by)])),
            if o.duty == Duty::Reverse { o.reason.code().into() } else { String::new() },
            o.tries.to_string(),
            shown(o.last_code.as_ref()),
            ui.time(o.since),
            if driven { ui.time(o.next_try) } else { String::new() },
            o.deadline.map(|t| ui.time(t)).unwrap_or_default(),
            o.plan.offline_authority.map(|r| ui.texts.word(r)).unwrap_or_default(),
        ]
    });
    ui.table(header, rows) + &open
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::tests::each_language;

    #[test]
    fn an_empty_queue_is_one_line() {
        let pages = each_language().map(|ui| page(&ui, &[], &[]));
        assert_eq!(pages, ["Nothing is owed", "无待处理事项"]);
    }
}
