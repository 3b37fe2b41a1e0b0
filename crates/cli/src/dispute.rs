//! The dispute page: what happened in a request, in order, with the decisions in words and the masked frames.
use crate::{
    show,
    ui::{Ui, block, rows},
};
use payterm_schema::{
    AccountId, AccountRecord, HostAnswer, ObligationRecord, Outcome, PaperRecord, Record, RequestRecord,
    SettlementRecord, TerminalRecord,
    host::{FieldView, FrameTrace, KeysVerdict, MacVerdict, Plan},
    kind::Recovery,
    operator::OperatorEvent,
    paper::PrintResult,
    record::{ClockEvent, Ending, OutcomePaper, ProvisionalOf},
    settlement::{BatchPart, Verdict},
    terminal::Explanation,
};
use std::fmt::{Display, Write};

pub fn page(ui: &Ui, page: &Explanation) -> String {
    let mut text = show::outcome(ui, &page.outcome);
    for e in &page.entries {
        let _ = write!(text, "\n#{} {} ", e.seq, ui.time(e.at));
        match serde_json::from_value::<Record>(e.record.clone()) {
            Ok(record) => text.push_str(&describe(ui, &record)),
            // A record of a newer terminal is shown as it is, not left out.
            Err(_) => text.push_str(&block(&e.record.to_string())),
        }
    }
    for slip in &page.slips {
        let _ = write!(text, "\n{}\n{}", ui.text("cli-explain-slip"), block(slip));
    }
    text
}

pub fn fields(all: &[FieldView]) -> String {
    rows(all.iter().map(|f| [f.field.to_string(), f.name.to_string(), f.value.clone()]))
}

/// A sentence and what belongs to it, indented.
fn describe(ui: &Ui, record: &Record) -> String {
    match record {
        Record::Request(r) => request(ui, r),
        Record::Obligation(r) => obligation(ui, r),
        Record::Settlement(r) => settlement(ui, r),
        Record::Account(r) => account(ui, r),
        Record::Paper(r) => paper(ui, r),
        Record::Operator(e) => operator(ui, e),
        Record::Onboarding(o) => say(ui, "cli-explain-onboarding", &[("stage", &ui.texts.word(o.stage))]),
        Record::Terminal(r) => terminal(ui, r),
    }
}

/// The text of `id` with its places filled in, cleaned of what could control the terminal.
fn say(ui: &Ui, id: &str, args: &[(&str, &dyn Display)]) -> String {
    block(&ui.say(id, args))
}

fn request(ui: &Ui, record: &RequestRecord) -> String {
    let say = |id: &str, args: &[(&str, &dyn Display)]| say(ui, id, args);
    match record {
        RequestRecord::Started { txn, key, hash, request, view: _ } => {
            let amount = request.amount.map(|m| ui.texts.amount_text(m)).unwrap_or_default();
            let kind = ui.texts.word(request.kind);
            say("cli-explain-started", &[("txn", txn), ("kind", &kind), ("amount", &amount), ("key", key)])
                + &indent(&ui.say("cli-explain-content", &[("hash", hash)]))
        }
        RequestRecord::Allowed { account, plan, owes, view, .. } => {
            let numbers = numbers(ui, account, plan);
            let may = match (owes, plan.kind.row().recovery) {
                (false, _) | (_, Recovery::AskAgain) => say("cli-explain-allowed", &[("numbers", &numbers)]),
                (true, Recovery::Reverse) => say("cli-explain-allowed-owing", &[("numbers", &numbers)]),
                (true, Recovery::Repeat) => say("cli-explain-allowed-repeat", &[("numbers", &numbers)]),
                (true, Recovery::ManualResolution) => {
                    say("cli-explain-allowed-ask", &[("numbers", &numbers)])
                }
            };
            may + &indent(view.masked_pan.as_deref().unwrap_or_default())
        }
        RequestRecord::OfflineAllowed { account, plan, view, judgement, .. } => {
            let by = ui.texts.judgement(judgement, view.sums.currency);
            say("cli-explain-offline", &[("numbers", &numbers(ui, account, plan))]) + &indent(&by)
        }
        RequestRecord::OfflineDenied { judgement, .. } => {
            say("cli-explain-offline-denied", &[("rule", &ui.texts.word(judgement.by.rule))])
        }
        RequestRecord::NotSent { stan, why, .. } => {
            say("cli-explain-not-sent", &[("stan", stan), ("why", why)])
        }
        RequestRecord::NoReply { stan, why, reason, not_before, trace, .. } => {
            let due = ui.say("cli-explain-due", &[("code", &reason.code()), ("time", &ui.time(*not_before))]);
            say("cli-explain-no-reply", &[("stan", stan), ("why", why)]) + &indent(&due) + &frames(ui, trace)
        }
        RequestRecord::Answered { stan, answer, due, trace, .. } => {
            let due = due.as_ref().map(|d| {
                ui.say(
                    "cli-explain-due-still",
                    &[("code", &d.reason.code()), ("time", &ui.time(d.not_before))],
                )
            });
            say("cli-explain-answered", &[("stan", stan)])
                + &answered(ui, answer)
                + &indent(&due.unwrap_or_default())
                + &frames(ui, trace)
        }
        RequestRecord::Disregarded { stan, why, answer, trace, .. } => {
            say("cli-explain-disregarded", &[("stan", stan), ("why", why)])
                + &answered(ui, answer)
                + &frames(ui, trace)
        }
        RequestRecord::Outcome { outcome, papers } => ended(ui, outcome, papers),
        RequestRecord::Voided { by, .. } => say("cli-explain-voided", &[("txn", by)]),
        RequestRecord::Completed { by, .. } => say("cli-explain-completed", &[("txn", by)]),
        RequestRecord::Adjusted { by, .. } => say("cli-explain-adjusted", &[("txn", by)]),
        RequestRecord::RefundHeld { by, minor, .. } => {
            say("cli-explain-refund-held", &[("txn", by), ("minor", minor)])
        }
        RequestRecord::RefundFreed { by, minor, .. } => {
            say("cli-explain-refund-freed", &[("txn", by), ("minor", minor)])
        }
        RequestRecord::Released { by, .. } => say("cli-explain-released", &[("txn", by)]),
        RequestRecord::Pending { stan, answer, asking, trace, .. } => {
            say("cli-explain-pending", &[("stan", stan), ("time", &ui.time(asking.until))])
                + &answered(ui, answer)
                + &frames(ui, trace)
        }
        RequestRecord::Provisional { stan, of, answer, trace, .. } => {
            let text = match of {
                ProvisionalOf::Part => say("cli-explain-partial", &[("stan", stan)]),
                ProvisionalOf::Card => say("cli-explain-card-decides", &[("stan", stan)]),
            };
            text + &answered(ui, answer) + &frames(ui, trace)
        }
        RequestRecord::CardHears { .. } => say("cli-explain-card-hears", &[]),
        RequestRecord::CardEnded { stan, approved: true, .. } => {
            say("cli-explain-card-approved", &[("stan", stan)])
        }
        RequestRecord::CardEnded { stan, approved: false, .. } => {
            say("cli-explain-card-declined", &[("stan", stan)])
        }
    }
}

fn ended(ui: &Ui, o: &Outcome, papers: &[OutcomePaper]) -> String {
    let reason = show::reason(ui, o)
        .map(|r| ui.say("reason-with-code", &[("text", &r.text), ("code", &r.code)]))
        .unwrap_or_default();
    let by = o
        .authority
        .map(|a| format!("{}: {}", ui.text("label-authority"), ui.texts.word(a)))
        .unwrap_or_default();
    let paper = |p: &OutcomePaper| {
        indent(&ui.say("cli-explain-paper-queued", &[("job", &p.job), ("kind", &ui.texts.word(p.kind))]))
    };
    let papers = papers.iter().map(paper).collect::<String>();
    say(ui, "cli-explain-outcome", &[("status", &ui.texts.word(o.status))])
        + &indent(&reason)
        + &indent(&by)
        + &papers
}

fn obligation(ui: &Ui, record: &ObligationRecord) -> String {
    let say = |id: &str, args: &[(&str, &dyn Display)]| say(ui, id, args);
    match record {
        ObligationRecord::Hurried { stan, by, .. } => {
            say("cli-explain-hurried", &[("stan", stan), ("by", by)])
        }
        ObligationRecord::Held { stan, hold, by, .. } => {
            say(if *hold { "cli-explain-held" } else { "cli-explain-freed" }, &[("stan", stan), ("by", by)])
        }
        ObligationRecord::WrittenOff { stan, by, why, .. } => {
            say("cli-explain-written-off", &[("stan", stan), ("by", by), ("why", why)])
        }
        ObligationRecord::Queried { stan, plan, .. } => {
            say("cli-explain-queried", &[("stan", stan), ("own", &plan.stan)])
        }
        ObligationRecord::AskedAnew { stan, asking, .. } => {
            say("cli-explain-asked-anew", &[("stan", stan), ("time", &ui.time(asking.until))])
        }
        ObligationRecord::ScriptsEnded { stan, .. } => say("cli-explain-scripts-ended", &[("stan", stan)]),
        ObligationRecord::Opened { obligation: o } => say("cli-explain-opened", &[("stan", &o.plan.stan)]),
        ObligationRecord::Due { stan, reason, not_before, .. } => {
            let due = ui.say("cli-explain-due", &[("code", &reason.code()), ("time", &ui.time(*not_before))]);
            say("cli-explain-unclear", &[("stan", stan)]) + &indent(&due)
        }
        ObligationRecord::Tried { stan, .. } => say("cli-explain-tried", &[("stan", stan)]),
        ObligationRecord::Failed { stan, code, why, next_try, left, trace, .. } => {
            let code = code.as_deref().map(|c| format!("F39 {c} · ")).unwrap_or_default();
            let sent = ui.say(
                if *left { "cli-explain-left" } else { "cli-explain-not-left" },
                &[("time", &ui.time(*next_try))],
            );
            say("cli-explain-failed", &[("stan", stan), ("why", why)])
                + &indent(&format!("{code}{sent}"))
                + &frames(ui, trace)
        }
        ObligationRecord::Ended { stan, how, trace, .. } => {
            say("cli-explain-ended", &[("stan", stan), ("how", &ending(ui, how))]) + &frames(ui, trace)
        }
        ObligationRecord::OfAnother { stan, .. } => say("cli-explain-of-another", &[("stan", stan)]),
        ObligationRecord::Stuck { stan, .. } => say("cli-explain-stuck", &[("stan", stan)]),
        ObligationRecord::Retried { stan, by, .. } => {
            say("cli-explain-retried", &[("stan", stan), ("by", by)])
        }
    }
}

fn settlement(ui: &Ui, record: &SettlementRecord) -> String {
    let say = |id: &str, args: &[(&str, &dyn Display)]| say(ui, id, args);
    match record {
        SettlementRecord::Asked { account, plan, .. } => {
            say("cli-explain-settlement-asked", &[("numbers", &numbers(ui, account, plan))])
        }
        SettlementRecord::Judged { stan, domestic, foreign, answer, trace, .. } => {
            let word = |v: &Verdict| ui.text(settlement_word(*v));
            say(
                "cli-explain-settlement-judged",
                &[("stan", stan), ("domestic", &word(domestic)), ("foreign", &word(foreign))],
            ) + &answered(ui, answer)
                + &frames(ui, trace)
        }
        SettlementRecord::UploadAllowed { account, plan, .. } => match plan.settlement.as_deref() {
            Some(BatchPart::End { records, .. }) => {
                say("cli-explain-upload-end", &[("numbers", &numbers(ui, account, plan)), ("n", records)])
            }
            Some(BatchPart::List(list)) => {
                say("cli-explain-upload", &[("numbers", &numbers(ui, account, plan)), ("n", &list.len())])
            }
            Some(BatchPart::Certificate { record, .. }) => {
                let numbers = numbers(ui, account, plan);
                say("cli-explain-upload-certificate", &[("numbers", &numbers), ("txn", &record.txn)])
            }
            Some(BatchPart::One { .. } | BatchPart::Totals(_)) | None => {
                say("cli-explain-upload", &[("numbers", &numbers(ui, account, plan)), ("n", &1)])
            }
        },
        SettlementRecord::CertificateLost { line, .. } => {
            say("cli-explain-certificate-lost", &[("stan", &line.stan), ("txn", &line.txn)])
        }
        SettlementRecord::Uploaded { stan, code, trace, .. } => {
            say("cli-explain-uploaded", &[("stan", stan), ("code", code)]) + &frames(ui, trace)
        }
        SettlementRecord::Failed { stan, code, why, next_try, hold, trace, .. } => {
            let code = code.as_deref().map(|c| format!("{c} · ")).unwrap_or_default();
            let next = if *hold {
                ui.text("cli-explain-settlement-held")
            } else {
                ui.say("cli-explain-left", &[("time", &ui.time(*next_try))])
            };
            say("cli-explain-settlement-failed", &[("stan", stan), ("why", why)])
                + &indent(&format!("{code}{next}"))
                + &frames(ui, trace)
        }
        SettlementRecord::Retried { by, .. } => say("cli-explain-settlement-retried", &[("by", by)]),
        SettlementRecord::Dropped { how, .. } => {
            say("cli-explain-settlement-dropped", &[("how", &ending(ui, how))])
        }
        SettlementRecord::BatchClosed { account, next, how, trace, .. } => {
            say(
                "cli-explain-batch-closed",
                &[("account", account), ("batch", next), ("how", &ending(ui, how))],
            ) + &frames(ui, trace)
        }
    }
}

fn account(ui: &Ui, record: &AccountRecord) -> String {
    let say = |id: &str, args: &[(&str, &dyn Display)]| say(ui, id, args);
    match record {
        AccountRecord::ControlSent { account, plan } => say(
            "cli-explain-control-sent",
            &[("kind", &ui.texts.word(plan.kind)), ("numbers", &numbers(ui, account, plan))],
        ),
        AccountRecord::SignedIn { account, batch, answer, .. } => {
            say("cli-explain-signed-in", &[("account", account), ("batch", batch)]) + &answered(ui, answer)
        }
        AccountRecord::SignInFailed { account, why } => {
            say("cli-explain-sign-in-failed", &[("account", account), ("why", why)])
        }
        AccountRecord::SignedOut { account, why } => {
            say("cli-explain-signed-out", &[("account", account), ("why", why)])
        }
        AccountRecord::Requirement { account, digit } => {
            say("cli-explain-requirement", &[("account", account), ("digit", digit)])
        }
        AccountRecord::EmvParameters { account, parameters } => say(
            "cli-explain-emv-parameters",
            &[("account", account), ("version", &parameters.version), ("hash", &parameters.sha256)],
        ),
        AccountRecord::DownloadFailed { account, why } => {
            say("cli-explain-download-failed", &[("account", account), ("why", why)])
        }
    }
}

fn paper(ui: &Ui, record: &PaperRecord) -> String {
    let say = |id: &str, args: &[(&str, &dyn Display)]| say(ui, id, args);
    match record {
        PaperRecord::Queued { job } => {
            say("cli-explain-paper-queued", &[("job", &job.id), ("kind", &ui.texts.word(job.kind))])
        }
        PaperRecord::Started { job } => say("cli-explain-paper-started", &[("job", job)]),
        PaperRecord::Ended { job, result, hold, replaced } => {
            let result = match result {
                PrintResult::Confirmed => ui.text("cli-explain-print-confirmed"),
                PrintResult::SentUnconfirmable => ui.text("cli-explain-print-sent"),
                PrintResult::NotStarted(why) => ui.say("cli-explain-print-not-started", &[("why", why)]),
                PrintResult::Unconfirmed(why) => ui.say("cli-explain-print-unconfirmed", &[("why", why)]),
            };
            let result = match replaced {
                0 => result,
                n => ui.say("cli-explain-print-replaced", &[("result", &result), ("n", n)]),
            };
            say(
                if *hold { "cli-explain-paper-held" } else { "cli-explain-paper-ended" },
                &[("job", job), ("result", &result)],
            )
        }
        PaperRecord::Released { job, print, by } => say(
            if *print { "cli-explain-paper-again" } else { "cli-explain-paper-dropped" },
            &[("job", job), ("by", by)],
        ),
    }
}

fn terminal(ui: &Ui, record: &TerminalRecord) -> String {
    let say = |id: &str, args: &[(&str, &dyn Display)]| say(ui, id, args);
    match record {
        TerminalRecord::Booted { version } => say("cli-explain-booted", &[("version", version)]),
        TerminalRecord::SelfTested { report } => {
            say("cli-explain-self-tested", &[("verdict", &ui.texts.word(report.verdict))])
        }
        TerminalRecord::Restored { restored } if restored.outdated => {
            say("cli-explain-outdated", &[("why", &restored.why)])
        }
        TerminalRecord::Restored { restored } => {
            let backup = restored.backup.map_or_else(|| ui.text("cli-none"), |n| n.to_string());
            say(
                "cli-explain-restored",
                &[
                    ("why", &restored.why),
                    ("backup", &backup),
                    ("salvaged", &restored.salvaged),
                    ("lost", &restored.lost),
                ],
            )
        }
        TerminalRecord::RecoveryEnded { by } => say("cli-explain-recovery-ended", &[("by", by)]),
        TerminalRecord::Clock { event } => {
            let (what, by) = match event {
                ClockEvent::Jumped { by } => ("jumped", by),
                ClockEvent::Behind { by } => ("behind", by),
                ClockEvent::HostDiffers { by, .. } => ("host", by),
                ClockEvent::Agrees { account } => {
                    return say("cli-explain-clock-agrees", &[("account", account)]);
                }
            };
            say("cli-explain-clock", &[("what", &what), ("seconds", &(by.0 / 1000))])
        }
        TerminalRecord::LanguageSet { language, by } => {
            say("cli-explain-language-set", &[("language", &language.tag()), ("by", by)])
        }
    }
}

/// Line of an operator's record: of all that happens to operators only the supervisor's word on this request
/// is on its page.
fn operator(ui: &Ui, event: &OperatorEvent) -> String {
    match event {
        OperatorEvent::Right { operator, .. } => say(ui, "cli-explain-allowed-by", &[("operator", operator)]),
        OperatorEvent::Wrong { operator, .. } => {
            say(ui, "cli-explain-wrong-password", &[("operator", operator)])
        }
        OperatorEvent::Set { .. }
        | OperatorEvent::Removed { .. }
        | OperatorEvent::Locked { .. }
        | OperatorEvent::Unlocked { .. }
        | OperatorEvent::LoggedOn { .. }
        | OperatorEvent::LoggedOff { .. }
        | OperatorEvent::TerminalLocked { .. }
        | OperatorEvent::Challenged { .. }
        | OperatorEvent::CodeWrong { .. }
        | OperatorEvent::TerminalUnlocked { .. } => String::new(),
    }
}

fn ending(ui: &Ui, how: &Ending) -> String {
    match how {
        Ending::Answered(code) => format!("F39 {code}"),
        Ending::NothingLeft => ui.text("cli-explain-nothing-left"),
        Ending::RequestAnswered => ui.text("cli-explain-request-answered"),
        Ending::ByPerson(reference) => ui.say("cli-explain-by-person", &[("reference", reference)]),
    }
}

fn settlement_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Balanced => "settlement-balanced",
        Verdict::NotBalanced => "settlement-not-balanced",
        Verdict::Error => "settlement-error",
    }
}

fn numbers(ui: &Ui, account: &AccountId, plan: &Plan) -> String {
    ui.say("cli-explain-numbers", &[("account", account), ("batch", &plan.batch), ("stan", &plan.stan)])
}

fn answered(ui: &Ui, a: &HostAnswer) -> String {
    let mac = ui.text(match a.mac {
        MacVerdict::Good => "cli-explain-mac-good",
        MacVerdict::Wrong => "cli-explain-mac-wrong",
        MacVerdict::Absent => "cli-explain-mac-absent",
        MacVerdict::NotUsed => "cli-explain-mac-not-used",
    });
    let keys = match &a.keys {
        KeysVerdict::None => String::new(),
        KeysVerdict::Loaded => format!(" · {}", ui.text("cli-explain-keys-loaded")),
        KeysVerdict::Refused(why) => format!(" · {}", ui.say("cli-explain-keys-refused", &[("why", why)])),
    };
    indent(&format!("F39 {} · {mac}{keys}", a.code))
}

fn frames(ui: &Ui, trace: &FrameTrace) -> String {
    let part = |id: &str, all: &[FieldView]| {
        if all.is_empty() { String::new() } else { indent(&ui.text(id)) + &indent(&fields(all)) }
    };
    part("cli-explain-frame-sent", &trace.sent) + &part("cli-explain-frame-received", &trace.received)
}

fn indent(text: &str) -> String {
    text.lines().map(|l| format!("    {}", block(l))).collect()
}
