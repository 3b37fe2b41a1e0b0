//! `paytermctl apply`: applying for a terminal.
use crate::{
    Failure,
    args::Global,
    bus::Bus,
    ui::{Ui, block, pairs},
};
use clap::Subcommand;
use payterm_schema::{
    Fault, Terminal,
    onboarding::{Draft, OfferShown, Onboarding, OnboardingShown, Step},
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, sleep};

#[derive(Subcommand)]
pub enum ApplyAction {
    /// Shows what the acquirer offers: fees, settlement, conditions, and the hash to accept.
    Offer,
    /// Fills the onboarding in from a file, TOML or (.json) JSON: name, legal_name, licence, address, city,
    /// category, contact, phone, email, products.
    Draft {
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Accepts the offer with this hash.
    Accept { hash: String },
    /// Sends the onboarding.
    Submit,
    /// How far the onboarding is.
    Status,
    /// Asks the acquirer now.
    Refresh,
    /// Fetches parameters and master key of an approved onboarding; returns when the terminal is in service.
    Activate,
}

/// Greatest size of a draft's file in bytes.
const MAX_FILE: u64 = 8 * 1024;
/// Longest wait for an activated terminal, 30 s: it starts in well under one.
const START: Duration = Duration::from_secs(30);

pub async fn run(global: &Global, ui: &Ui, action: ApplyAction) -> Result<u8, Failure> {
    // What is wrong with the file is told before the terminal is looked for.
    let step = match action {
        ApplyAction::Offer => {
            let bus = Bus::connect(global, ui).await?;
            let offer = told(ui, bus.client.offer(&bus.caller).await)?;
            ui.result(&offer, || offered(ui, &offer));
            return Ok(0);
        }
        ApplyAction::Status => return status(global, ui).await,
        ApplyAction::Draft { file } => Step::Draft(Box::new(told(ui, draft(&file))?)),
        ApplyAction::Accept { hash } => Step::Accept { hash },
        ApplyAction::Submit => Step::Submit,
        ApplyAction::Refresh => Step::Refresh,
        ApplyAction::Activate => return activate(global, ui).await,
    };
    let bus = Bus::connect(global, ui).await?;
    told(ui, bus.client.apply(&bus.caller, step).await)?;
    drop(bus);
    status(global, ui).await
}

async fn status(global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let bus = Bus::connect(global, ui).await?;
    let shown = told(ui, bus.client.onboarding(&bus.caller).await)?;
    ui.result(&shown, || state(ui, &shown));
    Ok(0)
}

/// Waits until the terminal is there again with its accounts.
async fn activate(global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let bus = Bus::connect(global, ui).await?;
    // The terminal may be starting anew before its answer is out.
    match bus.client.apply(&bus.caller, Step::Activate).await {
        Ok(()) | Err(Fault::Unreachable { .. } | Fault::Restarting { .. } | Fault::ShuttingDown) => {}
        Err(fault) => return told(ui, Err(fault)),
    }
    drop(bus);
    let until = Instant::now() + START;
    loop {
        if let Ok(bus) = Bus::connect(global, ui).await
            && let Ok(shown) = bus.client.onboarding(&bus.caller).await
        {
            let accounts = bus.client.info().await.map(|i| i.accounts.clone()).unwrap_or_default();
            let granted = shown.onboarding.as_ref().and_then(|a| a.parameters.as_ref());
            if granted.is_some_and(|p| p.accounts.iter().all(|a| accounts.contains(&a.id))) {
                ui.result(&shown, || state(ui, &shown));
                return Ok(0);
            }
        }
        if Instant::now() >= until {
            return Err(Fault::Unreachable {
                cause: "the terminal has not come back: ask with paytermctl apply status".into(),
            }
            .into());
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// A fault with the rule of its field, or the problem's meaning, in the user's language.
fn told<T>(ui: &Ui, result: Result<T, Fault>) -> Result<T, Failure> {
    let id = match &result {
        Err(Fault::Invalid { field, .. }) => format!("apply-rule-{field}"),
        Err(Fault::Management { problem, .. }) => format!("apply-problem-{problem}"),
        Err(_) | Ok(_) => String::new(),
    };
    if let Some(text) = ui.texts.find(&id, &[]) {
        ui.progress(&text);
    }
    Ok(result?)
}

/// TOML, or JSON when the name ends in `.json`.
fn draft(file: &Path) -> Result<Draft, Fault> {
    let bad =
        |rule: String| Fault::Invalid { field: file.display().to_string(), rule: rule.replace('\n', " ") };
    if std::fs::metadata(file).map_err(|e| bad(e.to_string()))?.len() > MAX_FILE {
        return Err(bad(format!("up to {MAX_FILE} bytes")));
    }
    let text = std::fs::read_to_string(file).map_err(|e| bad(e.to_string()))?;
    let draft: Draft = if file.extension().is_some_and(|e| e == "json") {
        serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?
    } else {
        toml::from_str(&text).map_err(|e| bad(e.message().to_owned()))?
    };
    draft.check()?;
    Ok(draft)
}

fn offered(ui: &Ui, shown: &OfferShown) -> String {
    let o = &shown.offer;
    let rows = [
        ("apply-label-offer", o.id.clone()),
        ("apply-label-products", ui.texts.products(&o.products)),
        ("cli-currency", o.currency.to_string()),
        ("apply-label-settlement", o.settlement.name().into()),
        ("apply-label-hash", shown.hash.clone()),
    ];
    let fees: String = o.fees.iter().map(|r| ui.texts.fee_row(r) + "\n").collect();
    pairs(rows.map(|(id, value)| (ui.text(id), value))) + &block(&fees) + &block(&o.text)
}

fn state(ui: &Ui, shown: &OnboardingShown) -> String {
    let stage = shown.onboarding.as_ref().map_or("none", |a| a.stage.name());
    let mut rows = vec![
        ("apply-label-stage", ui.text(&format!("stage-{stage}"))),
        ("apply-label-next", ui.text(&format!("apply-next-{}", stage.replace('_', "-")))),
        ("apply-label-problem", shown.problem.map(|p| ui.texts.word(p)).unwrap_or_default()),
    ];
    if let Some(a) = &shown.onboarding {
        rows.extend(details(ui, a));
    }
    pairs(rows.into_iter().filter(|(_, value)| !value.is_empty()).map(|(id, value)| (ui.text(id), value)))
}

fn details(ui: &Ui, a: &Onboarding) -> Vec<(&'static str, String)> {
    let d = &a.draft;
    let mut rows = vec![
        ("apply-label-reason", a.reason.clone().unwrap_or_default()),
        ("apply-label-onboarding", a.id.clone()),
        ("apply-label-revision", a.revision.to_string()),
        ("apply-label-since", ui.time(a.since)),
        ("apply-label-name", d.name.clone()),
        ("apply-label-legal-name", d.legal_name.clone()),
        ("apply-label-licence", d.licence.clone()),
        ("apply-label-category", d.category.clone()),
        ("apply-label-contact", format!("{} {}", d.contact, d.phone)),
        ("apply-label-products", ui.texts.products(&d.products)),
    ];
    if let Some(accepted) = &a.accepted {
        rows.push((
            "apply-label-accepted",
            format!("{} {} {}", accepted.offer.id, ui.time(accepted.at), accepted.hash),
        ));
    }
    for account in a.parameters.iter().flat_map(|p| &p.accounts) {
        let word = format!(
            "{} {} {} {} {}",
            account.id,
            account.mid,
            account.tid,
            account.currency,
            account.settlement.name()
        );
        rows.push(("apply-label-account", word));
        rows.extend(account.fees.iter().map(|r| ("apply-label-account", ui.texts.fee_row(r))));
    }
    rows
}
