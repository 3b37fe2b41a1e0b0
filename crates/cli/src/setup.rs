//! Care of the terminal: self-test, language, the bundle for customer service.
use crate::{Failure, args::Global, bus::Bus, show, ui::Ui};
use futures_util::StreamExt;
use payterm_schema::{
    Fault, InhibitReason, Notice, Outcome, SelfTest, Terminal,
    config::Language,
    selftest::Verdict,
    terminal::{Filter, Transaction},
};
use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// Runs it and answers the exit status: 0 passed, 20 degraded, 21 failed.
pub async fn self_test(global: &Global, ui: &Ui, print: bool) -> Result<u8, Failure> {
    let bus = Bus::connect(global).await?;
    let mut report = bus.client.self_test(&bus.caller, print).await?;
    ui.texts.fill_self_test(&mut report);
    ui.result(&report, || page(ui, &report));
    Ok(match report.verdict {
        Verdict::Passed => 0,
        Verdict::Degraded => 20,
        Verdict::Failed => 21,
    })
}

pub fn page(ui: &Ui, report: &SelfTest) -> String {
    let rows = report
        .items
        .iter()
        .map(|i| [ui.texts.part_name(i), ui.texts.word(i.verdict), i.reason.clone(), i.remedy.clone()]);
    let head = ui.say("self-test-title", &[("verdict", &ui.texts.word(report.verdict))]);
    format!(
        "{head}  {}\n{}",
        ui.time(report.at),
        ui.table(["cli-part", "cli-verdict", "cli-reason", "cli-remedy"], rows)
    )
}

/// A notice may have been lost.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// A terminal that is not there is looked for this often while it is waited for.
const KNOCK_AGAIN: Duration = Duration::from_secs(1);

/// Answers the exit status: 0 it may be updated and restarted now, 30 it may not.
pub async fn inhibited(
    global: &Global,
    ui: &Ui,
    wait: Option<u32>,
    except: &[InhibitReason],
) -> Result<u8, Failure> {
    let until = Instant::now() + Duration::from_secs(u64::from(wait.unwrap_or(0)));
    let reasons = loop {
        match free(global, until, except).await {
            Ok(reasons) => break reasons,
            Err(Fault::Unreachable { .. } | Fault::Restarting { .. } | Fault::ShuttingDown)
                if Instant::now() + KNOCK_AGAIN < until =>
            {
                sleep(KNOCK_AGAIN).await
            }
            Err(fault) => return Err(fault.into()),
        }
    };
    ui.result(&serde_json::json!({"inhibited": !reasons.is_empty(), "reasons": reasons}), || {
        show::inhibits(ui, &reasons)
    });
    Ok(if reasons.is_empty() { 0 } else { 30 })
}

/// The reasons that are left at `until`, or none before.
async fn free(
    global: &Global,
    until: Instant,
    except: &[InhibitReason],
) -> Result<Vec<InhibitReason>, Fault> {
    let client = Bus::connect(global).await?.client;
    // First the ear, then the look.
    let mut notices = client.notices();
    loop {
        let mut reasons = client.info().await?.inhibit_reasons.clone();
        reasons.retain(|r| !except.contains(r));
        let left = until.saturating_duration_since(Instant::now());
        if reasons.is_empty() || left.is_zero() {
            return Ok(reasons);
        }
        let changed = async {
            while let Some(notice) = notices.next().await {
                if matches!(notice, Notice::Inhibited { .. }) {
                    return true;
                }
            }
            false
        };
        if !timeout(left.min(LOOK_AGAIN), changed).await.unwrap_or(true) {
            return Err(Fault::Unreachable { cause: "the connection was lost".into() });
        }
    }
}

pub async fn language(global: &Global, ui: &Ui, language: Language) -> Result<(), Failure> {
    let bus = Bus::connect(global).await?;
    bus.client.set_language(&bus.caller, language).await?;
    ui.done();
    Ok(())
}

/// Written with mode 0600; a file that is there is left alone.
pub async fn bundle(global: &Global, ui: &Ui, to: Option<PathBuf>) -> Result<(), Failure> {
    let bus = Bus::connect(global).await?;
    let bytes = bus.client.support_bundle(&bus.caller).await?;
    let path = match to {
        Some(path) => path,
        None => {
            let now =
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_err(Failure::local)?;
            let digits: String = ui
                .time(payterm_schema::Time(now.as_millis() as i64))
                .chars()
                .filter(char::is_ascii_digit)
                .collect();
            format!("payterm-support-{digits}.tar.gz").into()
        }
    };
    let failed = |e: std::io::Error| Failure::Local(format!("{}: {e}", path.display()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
    file.write_all(&bytes).map_err(failed)?;
    ui.result(&serde_json::json!({"ok": true, "path": path, "bytes": bytes.len()}), || {
        ui.say("cli-bundle-written", &[("path", &path.display()), ("bytes", &bytes.len())])
    });
    Ok(())
}

/// The transaction of a reference (`R0001-17`), if the text is one and this caller may see it. An app's own
/// ids come first: it may number its orders like that.
pub async fn by_reference(bus: &Bus, text: &str) -> Result<Option<Outcome>, Fault> {
    let Some(txn) = Outcome::txn_of(text) else { return Ok(None) };
    match bus.recall(text).await {
        Ok(Transaction { outcome, .. }) => return Ok(Some(outcome)),
        Err(Fault::NotFound { .. }) => {}
        Err(fault) => return Err(fault),
    }
    referred(bus, text, txn).await.map(Some)
}

/// The transaction of this number, when the reference is this terminal's: the number of another terminal's is
/// another payment here.
pub async fn referred(bus: &Bus, text: &str, txn: u64) -> Result<Outcome, Fault> {
    let filter = Filter { before: Some(txn.saturating_add(1)), limit: Some(1), ..Filter::default() };
    let found = bus
        .client
        .list(&bus.caller, filter)
        .await?
        .into_iter()
        .find(|o| o.txn == txn && o.reference().eq_ignore_ascii_case(text));
    found.ok_or_else(|| Fault::not_found("reference", text))
}
