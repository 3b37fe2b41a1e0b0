//! The dispute page: what happened in a request, in order, with the decisions in words and the masked frames.
use crate::{
    show,
    ui::{Ui, block, table},
};
use payterm_schema::{
    HostAnswer, Record,
    host::{FieldView, FrameTrace, KeysVerdict, MacVerdict, Plan},
    paper::PrintResult,
    record::Ending,
    terminal::Explanation,
};
use std::fmt::Write;

pub fn page(ui: &Ui, page: &Explanation) -> String {
    let mut outcome = page.outcome.clone();
    show::with_texts(ui, &mut outcome);
    let mut text = show::outcome(ui, &outcome);
    for e in &page.entries {
        let _ = write!(text, "\n#{} {} ", e.seq, ui.time(e.at));
        match serde_json::from_value::<Record>(e.record.clone()) {
            Ok(record) => text.push_str(&describe(ui, &record)),
            // A record of a newer terminal is shown as it is, not left out.
            Err(_) => text.push_str(&block(&e.record.to_string())),
        }
    }
    for slip in &page.slips {
        let _ = write!(text, "\n{}\n{}", ui.pick("---- 凭条 ----", "---- slip ----"), block(slip));
    }
    text
}

pub fn fields(all: &[FieldView]) -> String {
    table(["", "", ""], all.iter().map(|f| [f.field.clone(), f.name.clone(), f.value.clone()]))
}

/// A sentence and what belongs to it, indented.
fn describe(ui: &Ui, record: &Record) -> String {
    let p = |zh, en| ui.pick(zh, en);
    match record {
        Record::Booted { version } => line(format!("{} {version}", p("终端启动，版本", "the terminal started, version"))),
        Record::Started { txn, key, hash, request, view: _ } => {
            let amount = request.amount.map(|m| ui.texts.amount_text(m)).unwrap_or_default();
            let head = format!("{} {txn}: {} {amount} · {key}", p("受理请求，序号", "request accepted, number"), ui.texts.word(request.kind));
            line(head) + &indent(&format!("{} {hash}", p("内容 SHA-256", "content SHA-256")))
        }
        Record::Allowed { account, plan, owes, view, .. } => {
            let owed = if *owes {
                p("无应答则冲正", "it is reversed when no answer comes")
            } else {
                p("无应答不冲正", "nothing is owed when no answer comes")
            };
            let head = format!("{} ({account} {}): {owed}", p("报文获准发出", "the frame may leave"), numbers(ui, plan));
            line(head) + &indent(view.masked_pan.as_deref().unwrap_or_default())
        }
        Record::NotSent { stan, why, .. } => line(format!("{} ({stan}): {why}", p("未发出任何字节，无需冲正", "no byte left, nothing is owed"))),
        Record::NoReply { stan, why, reason, not_before, trace, .. } => {
            let due = format!("{} {} · {} {}", p("冲正，F39", "to be reversed, F39"), reason.code(), p("不早于", "not before"), ui.time(*not_before));
            line(format!("{} ({stan}): {why}", p("已发出，无有效应答", "sent, no valid answer"))) + &indent(&due) + &frames(ui, trace)
        }
        Record::Answered { stan, answer, due, trace, .. } => {
            let head = line(format!("{} ({stan})", p("收到有效应答", "a valid answer came")));
            let due = due.as_ref().map(|d| {
                format!(
                    "{} {} · {} {}",
                    p("仍须冲正，F39", "to be reversed all the same, F39"),
                    d.reason.code(),
                    p("不早于", "not before"),
                    ui.time(d.not_before)
                )
            });
            head + &answered(ui, answer) + &indent(&due.unwrap_or_default()) + &frames(ui, trace)
        }
        Record::Disregarded { stan, why, answer, trace, .. } => {
            line(format!("{} ({stan}): {why}", p("应答未采用", "an answer was disregarded"))) + &answered(ui, answer) + &frames(ui, trace)
        }
        Record::Outcome { outcome } => {
            let mut o = outcome.clone();
            show::with_texts(ui, &mut o);
            let reason = o.reason.as_ref().map(|r| format!("{} ({})", r.text, r.code)).unwrap_or_default();
            let by = o.authority.map(|a| format!("{}: {}", ui.text("label-authority"), ui.texts.word(a))).unwrap_or_default();
            line(format!("{}: {}", p("告知结果", "outcome told"), ui.texts.word(o.status))) + &indent(&reason) + &indent(&by)
        }
        Record::Voided { by, .. } => line(format!("{} {by}", p("已被撤销，撤销交易序号", "taken back by void number"))),
        Record::ObligationTried { stan, .. } => line(format!("{} ({stan})", p("发送冲正", "the reversal is sent"))),
        Record::ObligationFailed { stan, code, why, next_try, left, trace, .. } => {
            let sent = if *left { p("已发出", "it left") } else { p("未发出，不计次数", "no byte left, the try does not count") };
            let code = code.as_deref().map(|c| format!("F39 {c} · ")).unwrap_or_default();
            let head = line(format!("{} ({stan}): {why}", p("冲正未完成", "the reversal did not succeed")));
            head + &indent(&format!("{code}{sent} · {} {}", p("下次", "next try"), ui.time(*next_try))) + &frames(ui, trace)
        }
        Record::ObligationEnded { stan, how, trace, .. } => {
            let how = match how {
                Ending::Answered(code) => format!("F39 {code}"),
                Ending::NothingLeft => p("原报文未发出", "the frame had not left").into(),
                Ending::RequestAnswered => p("原请求已有应答", "the request itself was answered").into(),
                Ending::ByPerson(reference) => format!("{} {reference}", p("人工处理", "by a person,")),
            };
            line(format!("{} ({stan}): {how}", p("冲正义务结束", "the obligation ended"))) + &frames(ui, trace)
        }
        Record::ObligationStuck { stan, .. } => {
            line(format!("{} ({stan})", p("冲正次数用尽，需人工处理", "the reversal's tries are used up: a person is needed")))
        }
        Record::ObligationRetried { stan, by, .. } => line(format!("{} ({stan}): {by}", p("人工再试冲正", "the reversal is tried again by order of"))),
        Record::ControlSent { account, plan } => {
            line(format!("{} {} ({account} {})", p("终端自发", "the terminal itself sent"), ui.texts.word(plan.kind), numbers(ui, plan)))
        }
        Record::SignedIn { account, batch, answer, .. } => {
            line(format!("{} ({account}), {} {batch}", p("已签到", "signed in"), ui.text("label-batch"))) + &answered(ui, answer)
        }
        Record::SignInFailed { account, why } => line(format!("{} ({account}): {why}", p("签到失败", "sign-in failed"))),
        Record::SignedOut { account, why } => line(format!("{} ({account}): {why}", p("签到失效", "signed out"))),
        Record::Requirement { account, digit } => line(format!("{} {digit} ({account})", p("主机处理要求", "processing requirement of the host"))),
        Record::PaperQueued { job } => line(format!("{} {}: {}", p("打印任务", "paper job"), job.id, ui.texts.word(job.kind))),
        Record::PaperStarted { job } => line(format!("{} {job}", p("开始打印任务", "printing starts, paper job"))),
        Record::PaperEnded { job, result, hold } => {
            let result = match result {
                PrintResult::Confirmed => p("打印机已确认", "confirmed by the printer").to_owned(),
                PrintResult::SentUnconfirmable => p("已发送，该打印机无法确认", "sent to a printer that cannot confirm").to_owned(),
                PrintResult::NotStarted(why) => format!("{}: {why}", p("未开始", "not started")),
                PrintResult::Unconfirmed(why) => format!("{}: {why}", p("未确认", "unconfirmed")),
            };
            let hold = if *hold { p("; 待收银员决定", "; held for the cashier") } else { "" };
            line(format!("{} {job}: {result}{hold}", p("打印任务", "paper job")))
        }
        Record::PaperReleased { job, print, by } => {
            let what = if *print { p("重打印", "printed again as a duplicate") } else { p("放弃", "given up") };
            line(format!("{} {job}: {what} ({by})", p("打印任务", "paper job")))
        }
    }
}

fn numbers(ui: &Ui, plan: &Plan) -> String {
    format!("{} {} · {} {}", ui.text("label-batch"), plan.batch, ui.text("label-stan"), plan.stan)
}

fn answered(ui: &Ui, a: &HostAnswer) -> String {
    let mac = match a.mac {
        MacVerdict::Good => ui.pick("MAC 正确", "MAC good"),
        MacVerdict::Wrong => ui.pick("MAC 错误", "MAC wrong"),
        MacVerdict::Absent => ui.pick("无 MAC", "MAC absent"),
        MacVerdict::NotUsed => ui.pick("此报文不用 MAC", "MAC not used in this message"),
    };
    let keys = match &a.keys {
        KeysVerdict::None => String::new(),
        KeysVerdict::Loaded => format!(" · {}", ui.pick("工作密钥已装入", "working keys loaded")),
        KeysVerdict::Refused(why) => format!(" · {}: {why}", ui.pick("工作密钥被拒", "working keys refused")),
    };
    indent(&format!("F39 {} · {mac}{keys}", a.code))
}

fn frames(ui: &Ui, trace: &FrameTrace) -> String {
    let part = |what: &str, all: &[FieldView]| if all.is_empty() { String::new() } else { indent(what) + &indent(&fields(all)) };
    part(ui.pick("发出:", "sent:"), &trace.sent) + &part(ui.pick("收到:", "received:"), &trace.received)
}

fn line(text: String) -> String {
    block(&text)
}
fn indent(text: &str) -> String {
    text.lines().map(|l| format!("    {}", block(l))).collect()
}
