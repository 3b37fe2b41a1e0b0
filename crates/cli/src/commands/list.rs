//! `paytermctl list`.
use crate::{
    Failure,
    args::{Global, account, kind, stan, status},
    bus::Bus,
    show::{self, amount, reason, shown},
    ui::Ui,
};
use clap::Args;
use payterm_schema::{
    AccountId, Fault, Kind, Outcome, Stan, Status, Terminal, Time, terminal::Filter, zone::Zone,
};
use time::{Duration, PrimitiveDateTime, macros::format_description as form};

/// The history, newest first.
#[derive(Args)]
pub struct List {
    /// Of this app (managers).
    #[arg(long)]
    app: Option<String>,
    #[arg(long, value_parser = kind)]
    kind: Option<Kind>,
    #[arg(long, value_parser = status)]
    status: Option<Status>,
    #[arg(long, value_parser = account)]
    account: Option<AccountId>,
    /// From this time on: YYYY-MM-DD or "YYYY-MM-DD HH:MM[:SS]".
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Up to this time; a date means its end.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Last four digits of the card number or payment code.
    #[arg(long)]
    last4: Option<String>,
    #[arg(long)]
    rrn: Option<String>,
    #[arg(long, value_parser = stan)]
    stan: Option<Stan>,
    /// Next page: transactions before this number.
    #[arg(long, value_name = "TXN")]
    before: Option<u64>,
    /// Most rows, 1 to 200; without it 50.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: Option<u32>,
}

impl List {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        // What is typed is judged before the terminal is looked for, and its times are read in the zone that
        // the terminal names.
        self.filter(&Zone::default())?;
        let bus = Bus::connect(global, ui).await?;
        let filter = self.filter(ui.zone())?;
        let mut all = bus.client.list(&bus.caller, filter).await?;
        all.iter_mut().for_each(|o| show::with_texts(ui, o));
        ui.result(&all, || page(ui, &all));
        Ok(0)
    }

    fn filter(&self, zone: &Zone) -> Result<Filter, Fault> {
        if self.last4.as_deref().is_some_and(|d| d.len() != 4 || !d.bytes().all(|b| b.is_ascii_digit())) {
            return Err(Fault::invalid("last4", "4 digits"));
        }
        let since = self.since.as_ref().map(|t| time("since", t, zone, false)).transpose()?;
        let until = self.until.as_ref().map(|t| time("until", t, zone, true)).transpose()?;
        Ok(Filter {
            app: self.app.clone(),
            kind: self.kind,
            status: self.status,
            account: self.account.clone(),
            since,
            until,
            last4: self.last4.clone(),
            rrn: self.rrn.clone(),
            stan: self.stan,
            before: self.before,
            limit: self.limit,
        })
    }
}

fn page(ui: &Ui, all: &[Outcome]) -> String {
    let header = [
        "label-txn",
        "label-started",
        "label-request",
        "label-kind",
        "label-status",
        "label-amount",
        "label-card",
        "label-stan",
        "label-rrn",
        "label-reason",
    ];
    let rows = all.iter().map(|o| {
        let status = ui.texts.word(o.status);
        let status =
            if o.voided { ui.say("pair", &[("a", &status), ("b", &ui.text("cli-voided"))]) } else { status };
        [
            o.txn.to_string(),
            ui.time(o.started),
            o.key.to_string(),
            ui.texts.word(o.kind),
            status,
            amount(ui, o),
            shown(o.masked_pan.as_ref()),
            shown(o.stan),
            shown(o.rrn.as_ref()),
            shown(reason(ui, o).map(|r| r.text)),
        ]
    });
    ui.table(header, rows)
}

/// A date, or a date and time, in that zone. `end`: the end of what the text names; `Filter::until`
/// is the first instant that is not meant any more.
fn time(field: &str, text: &str, zone: &Zone, end: bool) -> Result<Time, Fault> {
    let text = text.replace('T', " ");
    let (full, span) = match text.len() {
        10 => (format!("{text} 00:00:00"), Duration::DAY),
        16 => (format!("{text}:00"), Duration::MINUTE),
        _ => (text, Duration::SECOND),
    };
    let at = PrimitiveDateTime::parse(&full, form!("[year]-[month]-[day] [hour]:[minute]:[second]"));
    let invalid = || Fault::invalid(field, "YYYY-MM-DD or YYYY-MM-DD HH:MM[:SS]");
    let at = at.map_err(|_| invalid())?;
    // A day is as long as it is: the one on which summer time begins has 23 hours.
    let at = if end { at.checked_add(span) } else { Some(at) };
    let instant = at.and_then(|at| zone.instant(at, end));
    instant.ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_means_the_whole_day_of_the_place() {
        let t = |text, last| time("since", text, &Zone::default(), last).map(|t| t.0);
        assert_eq!(t("2026-03-05", false), Ok(1_772_640_000_000));
        assert_eq!(t("2026-03-05", true), Ok(1_772_640_000_000 + 86_400_000));
        assert_eq!(t("2026-03-05 14:30", false), Ok(1_772_692_200_000));
        assert_eq!(t("2026-03-05T14:30:01", true), Ok(1_772_692_202_000));
        for bad in ["", "2026-02-30", "2026-3-5", "2026-03-05 25:00", "yesterday"] {
            assert!(matches!(t(bad, false), Err(Fault::Invalid { .. })), "{bad}");
        }
    }
}
