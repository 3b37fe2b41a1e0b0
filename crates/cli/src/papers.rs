//! Papers and reports.
use crate::{
    Failure,
    args::{ByName, CopyName, Global},
    bus::{self, Bus},
    show,
    ui::Ui,
};
use payterm_schema::{
    Fault, RequestKey, Status, Terminal,
    money::decimal,
    page::{JSON_MAX, Printable},
    paper::{PaperState, SlipCopy},
    terminal::Filter,
    totals::{By, Scope, TotalsReport},
};
use std::{io::Read, path::Path};

/// Exit status when a paper waits for a person.
const NOT_PRINTED: u8 = 14;

pub async fn totals(
    global: &Global,
    ui: &Ui,
    by: Option<ByName>,
    shift: bool,
    print: bool,
) -> Result<u8, Failure> {
    let bus = Bus::connect(global).await?;
    let scope = if shift { Scope::Shift } else { Scope::Batch };
    if by.is_none() && !shift && !print {
        let all = bus.client.totals(&bus.caller).await?;
        ui.result(&all, || show::totals(ui, &all));
        return Ok(0);
    }
    let report = bus.client.report(&bus.caller, scope).await?;
    if print {
        bus.client.print_report(&bus.caller, scope).await?;
    }
    ui.result(&report, || rows(ui, &report, by));
    Ok(0)
}

fn rows(ui: &Ui, report: &TotalsReport, by: Option<ByName>) -> String {
    let by = match by {
        Some(ByName::Scheme) => By::Scheme,
        Some(ByName::Operator) => By::Operator,
        Some(ByName::Kind) | None => By::Kind,
    };
    let label = match by {
        By::Scheme => "label-scheme",
        By::Operator => "label-operator",
        By::Kind => "label-tid",
    };
    let rows = report.accounts.iter().flat_map(|a| {
        a.by(by).into_iter().map(move |(key, kind, count, minor)| {
            let key = if by == By::Kind { a.tid.clone() } else { key };
            [
                a.account.to_string(),
                key,
                ui.texts.word(kind),
                count.to_string(),
                a.currency.to_string(),
                decimal(minor, a.currency),
            ]
        })
    });
    ui.table(["label-account", label, "label-kind", "cli-count", "cli-currency", "label-amount"], rows)
}

/// The newest transaction that has a slip, when none is named.
pub async fn reprint(
    global: &Global,
    ui: &Ui,
    id: Option<String>,
    copy: Option<CopyName>,
) -> Result<u8, Failure> {
    let id = id.filter(|id| id != "last");
    if let Some(id) = &id {
        bus::parse(id)?;
    }
    let bus = Bus::connect(global).await?;
    let key: RequestKey = match id {
        Some(id) => bus.key(&id).await?,
        None => {
            let all = bus.client.list(&bus.caller, Filter { limit: Some(200), ..Filter::default() }).await?;
            let has = |status, slip| status == Status::Unknown || (status == Status::Approved && slip);
            let last = all.into_iter().find(|o| has(o.status, o.kind.row().slip));
            last.ok_or_else(|| Fault::not_found("request", "last"))?.key
        }
    };
    let copy = copy.map(|c| match c {
        CopyName::Merchant => SlipCopy::Merchant,
        CopyName::Customer => SlipCopy::Customer,
    });
    bus.client.reprint(&bus.caller, &key, copy).await?;
    ui.done();
    Ok(0)
}

pub async fn print(global: &Global, ui: &Ui, file: &Path, id: String, no_wait: bool) -> Result<u8, Failure> {
    let named = |e: std::io::Error| Failure::Local(format!("{}: {e}", file.display()));
    let from: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(named)?)
    };
    let mut json = String::new();
    from.take(JSON_MAX as u64 + 1).read_to_string(&mut json).map_err(named)?;
    own(global, ui, Printable::parse(&json)?, id, no_wait).await
}

pub async fn own(
    global: &Global,
    ui: &Ui,
    paper: Printable,
    id: String,
    no_wait: bool,
) -> Result<u8, Failure> {
    // The daemon's rules for ids, before it is looked for.
    RequestKey::new("app", &id)?;
    let bus = Bus::connect(global).await?;
    bus.client.print(&bus.caller, id.clone(), paper).await?;
    let status = bus.client.paper_id(&id, !no_wait).await?;
    ui.result(&status, || {
        [ui.texts.word(status.state), status.problem.clone().unwrap_or_default()].join(" ")
    });
    Ok(match status.state {
        PaperState::Done => 0,
        PaperState::Waiting | PaperState::Printing if no_wait => 0,
        PaperState::Waiting | PaperState::Printing | PaperState::Held | PaperState::GivenUp => NOT_PRINTED,
    })
}
