//! `paytermctl offline`.
use crate::{
    Failure,
    args::{Global, account},
    bus::Bus,
    ui::Ui,
};
use clap::Subcommand;
use payterm_schema::{
    AccountId, Currency, Money, Terminal,
    money::MoneyError,
    offline::{OfflineAnswer, OfflineRule},
};

#[derive(Subcommand)]
pub enum OfflineAction {
    /// Would a sale be accepted without the host: by the merchant, by the card, by a card that is told that
    /// the host cannot be reached; and by which rule, limit and exposure?
    Why {
        /// As a decimal number: 12.34.
        #[arg(long)]
        amount: String,
        /// ISO 4217 code.
        #[arg(long, default_value = "CNY")]
        currency: String,
        /// Default: the first account of the currency.
        #[arg(long, value_parser = account)]
        account: Option<AccountId>,
    },
}

impl OfflineAction {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let OfflineAction::Why { amount, currency, account } = self;
        let invalid = |e: MoneyError| Failure::Fault(e.into());
        let amount = Money::parse(&amount, currency.parse().map_err(invalid)?).map_err(invalid)?;
        let bus = Bus::connect(global, ui).await?;
        let answers = bus.client.offline_why(&bus.caller, amount, account).await?;
        let page = |a| page(ui, a, amount.currency);
        ui.result(&answers, || {
            answers.iter().map(page).collect::<Vec<_>>().join("\n") + &ui.text("cli-offline-card")
        });
        Ok(0)
    }
}

fn page(ui: &Ui, a: &OfflineAnswer, currency: Currency) -> String {
    let mark = |passed: bool| ui.text(if passed { "yes" } else { "no" });
    let by = ui.texts.word(a.judgement.offline_authority);
    let head = format!("{}  {by}: {}\n", a.account, ui.texts.would_be(&a.judgement, currency));
    // What is off has no limits to speak of.
    if a.judgement.by.rule == OfflineRule::Off && !a.judgement.allowed {
        return head;
    }
    let rows = a.checks.iter().map(|c| [mark(c.passed), ui.texts.check_row(c, currency)]);
    head + &ui.table(["cli-passed", "label-offline"], rows)
}
