//! `paytermctl batches`.
use crate::{
    Failure,
    args::{self, Global},
    bus::Bus,
    show::{self, reason, shown},
    ui::Ui,
};
use clap::Args;
use payterm_schema::{Kind, Outcome, Status, Terminal, terminal::Filter};

/// The settled batches, newest first 批次.
#[derive(Args)]
pub struct Batches {
    /// Only of this account.
    #[arg(long)]
    account: Option<String>,
    /// Lines of the page, 1 to 200.
    #[arg(long)]
    limit: Option<u32>,
}

impl Batches {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let filter = Filter {
            kind: Some(Kind::Settlement),
            status: Some(Status::Approved),
            account: args::named_account(self.account)?,
            limit: self.limit,
            ..Filter::default()
        };
        let bus = Bus::connect(global, ui).await?;
        let mut all = bus.client.list(&bus.caller, filter).await?;
        all.iter_mut().for_each(|o| show::with_texts(ui, o));
        ui.result(&all, || page(ui, &all));
        Ok(0)
    }
}

/// Settlements: what was told to the acquirer, and its word.
fn page(ui: &Ui, all: &[Outcome]) -> String {
    if all.is_empty() {
        return ui.text("cli-batches-empty");
    }
    let header = [
        "label-txn",
        "label-started",
        "label-account",
        "label-batch",
        "label-status",
        "label-domestic",
        "label-foreign",
        "label-uploaded",
        "label-reason",
    ];
    let rows = all.iter().map(|o| {
        let s = o.settlement.as_deref();
        [
            o.txn.to_string(),
            ui.time(o.started),
            shown(o.account.as_ref()),
            shown(o.batch),
            ui.texts.word(o.status),
            shown(s.map(|s| ui.texts.half(&s.domestic, s.domestic_verdict, o.sums.currency))),
            shown(s.map(|s| ui.texts.half(&s.foreign, s.foreign_verdict, o.sums.currency))),
            shown(s.map(|s| s.uploaded)),
            shown(reason(ui, o).map(|r| r.text)),
        ]
    });
    ui.table(header, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::tests::each_language;

    #[test]
    fn no_batches_are_one_line() {
        assert_eq!(each_language().map(|ui| page(&ui, &[])), ["No batch was settled yet", "尚无已结算批次"]);
    }
}
