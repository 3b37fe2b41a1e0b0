//! `paytermctl watch`.
use crate::{
    Failure,
    args::Global,
    bus::Bus,
    show::{amount, inhibits, paper_of, reason, shown},
    ui::{Ui, block},
};
use futures_util::StreamExt;
use payterm_schema::{Fault, Notice, Terminal, terminal::TerminalInfo};

pub async fn run(global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let bus = Bus::connect(global, ui).await?;
    let info = bus.client.info().await?;
    let mut notices = bus.client.notices();
    loop {
        tokio::select! {
            notice = notices.next() => match notice {
                Some(n) => ui.result(&n, || line(ui, &n, &info)),
                None => return Err(Fault::Unreachable { cause: "the connection was lost".into() }.into()),
            },
            _ = tokio::signal::ctrl_c() => return Ok(0),
        }
    }
}

/// Notice as one line.
fn line(ui: &Ui, n: &Notice, info: &TerminalInfo) -> String {
    let screen = |s| ui.texts.screen(s, &ui.screen_context(info.test, &info.shop)).join(" | ");
    let text = match n {
        Notice::Started { key, txn, .. } => ui.say("cli-notice-started", &[("key", key), ("txn", txn)]),
        Notice::Phase { key, phase, screen: s } => format!("{key} [{}] {}", ui.texts.word(*phase), screen(s)),
        Notice::Outcome { outcome: o } => {
            let reason = shown(reason(ui, o).map(|r| r.text));
            format!("{} {} {} {reason}", o.key, ui.texts.word(o.status), amount(ui, o))
        }
        Notice::Screen { screen: s } => screen(s),
        Notice::Device { device: d } => format!("{} {} {}", d.name, ui.texts.word(d.state), d.health),
        Notice::Obligation { obligation: o } => {
            format!(
                "{} {} · {} {} · {}",
                ui.text("label-txn"),
                o.txn,
                ui.text("label-stan"),
                o.plan.stan,
                ui.texts.word(o.state)
            )
        }
        Notice::Paper { job: j } => {
            let problem = j.problem.as_deref().unwrap_or_default();
            format!("{} {} {} {problem}", paper_of(j), ui.texts.word(j.kind), ui.texts.word(j.state))
        }
        Notice::SelfTest { report } => {
            let mut report = (**report).clone();
            ui.texts.fill_self_test(&mut report);
            let bad = report
                .items
                .iter()
                .filter(|i| !i.remedy.is_empty())
                .map(|i| format!(" · {}: {} · {}", ui.texts.part_name(i), i.reason, i.remedy));
            ui.say("self-test-title", &[("verdict", &ui.texts.word(report.verdict))])
                + &bad.collect::<String>()
        }
        Notice::Language { language } => ui.say("cli-notice-language", &[("language", &language.tag())]),
        Notice::Inhibited { reasons } => inhibits(ui, reasons),
        Notice::Operators { on_duty, locked } => {
            let none = ui.text("cli-none");
            let duty =
                format!("{} {}", ui.text("cli-on-duty"), on_duty.as_ref().map_or(none, ToString::to_string));
            if *locked { format!("{duty} · {}", ui.text("locked")) } else { duty }
        }
        Notice::Onboarding { onboarding } => {
            ui.say("cli-notice-onboarding", &[("stage", &ui.texts.word(onboarding.stage))])
        }
        Notice::Requirement { account, digit } => {
            ui.say("cli-notice-requirement", &[("account", account), ("digit", digit)])
        }
        Notice::Downloaded { account, version, keys, aids } => {
            let many = |list: &Option<u32>| list.map_or_else(|| ui.text("cli-none"), |n| n.to_string());
            let (keys, aids) = (many(keys), many(aids));
            ui.say(
                "cli-notice-downloaded",
                &[("account", account), ("version", version), ("keys", &keys), ("aids", &aids)],
            )
        }
        Notice::DownloadFailed { account, why, again } => {
            let failed = ui.say("cli-notice-download-failed", &[("account", account), ("why", why)]);
            let again = again.map(|at| ui.say("cli-notice-again", &[("at", &ui.time(at))]));
            [Some(failed), again].into_iter().flatten().collect::<Vec<_>>().join(" · ")
        }
    };
    block(&text)
}
