//! Rows and pages for people.
use crate::{
    args::ListArgs,
    ui::{Ui, block, pairs},
};
use payterm_schema::{
    Currency, Device, Fault, InhibitReason, Notice, Outcome, Time,
    money::decimal,
    offline::OfflineAnswer,
    outcome::Reason,
    paper::PaperJob,
    reconciliation::{Differs, Reconciliation},
    record::{Duty, Obligation, ObligationState},
    terminal::{BatchTotals, Filter, TerminalInfo, Transaction},
};
use time::{Duration, PrimitiveDateTime, macros::format_description as form};

pub fn outcome(ui: &Ui, o: &Outcome) -> String {
    pairs(ui.texts.outcome_lines(o, ui.utc_offset))
}

/// The same with the number to call, where there is something to call about.
pub fn ended(ui: &Ui, o: &Outcome, phone: &str) -> String {
    let service = (!phone.is_empty()).then(|| (ui.text("label-service"), phone.to_owned()));
    pairs(ui.texts.outcome_lines(o, ui.utc_offset).into_iter().chain(service))
}

/// Reason and advice as the terminal put them; where it did not, in the user's language.
pub fn with_texts(ui: &Ui, o: &mut Outcome) {
    if o.reason.as_ref().is_some_and(|r| r.text.is_empty()) {
        ui.texts.fill(o);
    }
}

pub fn transaction(ui: &Ui, t: &Transaction) -> String {
    let more = [
        (ui.text("cli-phase"), ui.texts.word(t.phase)),
        (ui.text("cli-can-cancel"), ui.yes_no(t.can_cancel)),
    ];
    pairs(ui.texts.outcome_lines(&t.outcome, ui.utc_offset).into_iter().chain(more))
}

/// The reason in the user's language, whatever the terminal's is.
pub fn reason(ui: &Ui, o: &Outcome) -> Option<Reason> {
    let mut reason = o.reason.clone()?;
    ui.texts.fill_reason(&mut reason);
    Some(reason)
}

fn amount(ui: &Ui, o: &Outcome) -> String {
    o.sums.amount_money().map(|m| ui.texts.amount_text(m)).unwrap_or_default()
}
fn shown(value: Option<impl ToString>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

pub fn list(ui: &Ui, all: &[Outcome]) -> String {
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

/// What the acquirer's file and the journal do not agree on, and what to do.
pub fn reconciliation(ui: &Ui, r: &Reconciliation) -> String {
    let mut sum = ui.say(
        "cli-reconcile-sum",
        &[
            ("account", &r.account),
            ("batch", &r.batch),
            ("agree", &r.agree),
            ("differ", &r.differences.len()),
        ],
    );
    if r.more > 0 {
        sum.push(' ');
        sum.push_str(&ui.say("cli-reconcile-more", &[("more", &r.more)]));
    }
    let header = [
        "cli-reconcile-differs",
        "label-stan",
        "label-kind",
        "label-txn",
        "label-rrn",
        "cli-reconcile-here",
        "cli-reconcile-there",
        "label-next",
    ];
    let amount = |minor: Option<u64>| shown(minor.map(|m| decimal(m, r.currency)));
    let rows = r.differences.iter().map(|d| {
        [
            ui.text(match d.differs {
                Differs::MissingHere => "cli-reconcile-missing-here",
                Differs::MissingThere => "cli-reconcile-missing-there",
                Differs::Amount => "cli-reconcile-amount",
                Differs::Status => "cli-reconcile-status",
                Differs::WrittenOff => "cli-reconcile-written-off",
                Differs::Unknown => "cli-reconcile-unknown",
            }),
            d.stan.to_string(),
            ui.texts.word(d.kind),
            shown(d.txn),
            shown(d.rrn.as_ref()),
            amount(d.here),
            amount(d.there),
            d.next.clone(),
        ]
    });
    let table = ui.table(header, rows);
    if r.differences.is_empty() { format!("{}\n", block(&sum)) } else { format!("{}\n{table}", block(&sum)) }
}

/// Settlements: what was told to the acquirer, and its word.
pub fn batches(ui: &Ui, all: &[Outcome]) -> String {
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

pub fn devices(ui: &Ui, all: &[Device]) -> String {
    let header =
        ["cli-name", "cli-kind", "cli-driver", "cli-state", "cli-restarts", "cli-virtual", "cli-health"];
    let yes = |on: bool| if on { ui.text("yes") } else { String::new() };
    let rows = all.iter().map(|d| {
        [
            d.name.clone(),
            ui.texts.word(d.kind),
            d.driver.clone(),
            ui.texts.word(d.state),
            d.restarts.to_string(),
            yes(d.is_virtual),
            d.health.clone(),
        ]
    });
    ui.table(header, rows)
}

/// And the settlements that are not done: they owe no message of their own here, and hold up everything.
pub fn obligations(ui: &Ui, all: &[Obligation], settlements: &[Outcome]) -> String {
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

pub fn offline(ui: &Ui, a: &OfflineAnswer, currency: Currency) -> String {
    let mark = |passed: bool| ui.text(if passed { "yes" } else { "no" });
    let rows = a.checks.iter().map(|c| [mark(c.passed), ui.texts.check_row(c, currency)]);
    let table = ui.table(["cli-passed", "label-offline"], rows);
    format!(
        "{}  {}\n{table}{}\n",
        a.account,
        ui.texts.would_be(&a.judgement, currency),
        ui.text("cli-offline-card")
    )
}

pub fn papers(ui: &Ui, all: &[PaperJob]) -> String {
    if all.is_empty() {
        return ui.text("cli-papers-empty");
    }
    let header = [
        "cli-job",
        "label-kind",
        "label-status",
        "cli-tries",
        "label-request",
        "label-amount",
        "cli-problem",
    ];
    let rows = all.iter().map(|j| {
        [
            j.id.to_string(),
            ui.texts.word(j.kind),
            ui.texts.word(j.state),
            j.attempts.to_string(),
            paper_of(j),
            j.outcome().map_or_else(String::new, |o| amount(ui, o)),
            shown(j.problem.as_ref()),
        ]
    });
    ui.table(header, rows)
}

/// Whose paper it is: a request, or what an app calls it.
fn paper_of(job: &PaperJob) -> String {
    job.outcome().map_or_else(|| job.owner().unwrap_or_default().into(), |o| o.key.to_string())
}

pub fn totals(ui: &Ui, all: &[BatchTotals]) -> String {
    let header = [
        "label-account",
        "label-batch",
        "cli-signed-in",
        "cli-currency",
        "cli-debits",
        "cli-debit-sum",
        "cli-credits",
        "cli-credit-sum",
        "cli-open-obligations",
    ];
    let rows = all.iter().map(|t| {
        [
            t.account.to_string(),
            shown(t.batch),
            ui.yes_no(t.signed_in),
            t.currency.to_string(),
            t.debit_count.to_string(),
            t.debit.clone(),
            t.credit_count.to_string(),
            t.credit.clone(),
            t.open_obligations.to_string(),
        ]
    });
    ui.table(header, rows)
}

pub fn info(ui: &Ui, i: &TerminalInfo) -> String {
    let accounts = i.accounts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let rows = [
        ("cli-shop", i.shop.clone()),
        ("cli-accounts", accounts),
        ("cli-test-terminal", ui.yes_no(i.test)),
        ("cli-language", i.language.clone()),
        ("cli-service-phone", i.service_phone.clone()),
        ("cli-running", i.running.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("cli-screen", ui.texts.screen(&i.screen, &ui.screen_context(i.test, &i.shop)).join(" | ")),
        ("cli-updates", inhibits(ui, &i.inhibit_reasons)),
        ("cli-version", format!("{} (API {})", i.version, i.api)),
    ];
    pairs(rows.into_iter().map(|(id, v)| (ui.text(id), v)))
}

/// Whether it may be updated and restarted, and why not.
pub fn inhibits(ui: &Ui, reasons: &[InhibitReason]) -> String {
    if reasons.is_empty() {
        return ui.text("cli-may-update");
    }
    let words = reasons.iter().map(|r| ui.texts.word(*r)).collect::<Vec<_>>().join(", ");
    ui.say("cli-inhibited", &[("reasons", &words)])
}

/// One line.
pub fn notice(ui: &Ui, n: &Notice, info: &TerminalInfo) -> String {
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
    };
    block(&text)
}

pub fn filter(ui: &Ui, l: ListArgs) -> Result<Filter, Fault> {
    if l.last4.as_deref().is_some_and(|d| d.len() != 4 || !d.bytes().all(|b| b.is_ascii_digit())) {
        return Err(Fault::invalid("last4", "4 digits"));
    }
    let since = l.since.map(|t| time("since", &t, ui.utc_offset, false)).transpose()?;
    let until = l.until.map(|t| time("until", &t, ui.utc_offset, true)).transpose()?;
    Ok(Filter {
        app: l.app,
        kind: l.kind,
        status: l.status,
        account: l.account,
        since,
        until,
        last4: l.last4,
        rrn: l.rrn,
        stan: l.stan,
        before: l.before,
        limit: l.limit,
    })
}

/// A date, or a date and time, at that offset. `last`: the last millisecond of what the text names.
fn time(field: &str, text: &str, offset_minutes: i32, last: bool) -> Result<Time, Fault> {
    let text = text.replace('T', " ");
    let (full, span) = match text.len() {
        10 => (format!("{text} 00:00:00"), Duration::DAY),
        16 => (format!("{text}:00"), Duration::MINUTE),
        _ => (text, Duration::SECOND),
    };
    let at = PrimitiveDateTime::parse(&full, form!("[year]-[month]-[day] [hour]:[minute]:[second]"));
    let at = at.map_err(|_| Fault::invalid(field, "YYYY-MM-DD or YYYY-MM-DD HH:MM[:SS]"))?;
    let from = at.assume_utc().unix_timestamp() * 1000 - i64::from(offset_minutes) * 60_000;
    Ok(Time(if last { from + span.whole_milliseconds() as i64 - 1 } else { from }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use payterm_schema::config::Language;
    use payterm_texts::Texts;

    #[test]
    fn an_empty_list_is_one_line() {
        for (language, words) in [
            (Language::En, ["Nothing is owed", "No paper waits", "No batch was settled yet"]),
            (Language::ZhCn, ["无待处理事项", "无待打印单据", "尚无已结算批次"]),
        ] {
            let ui = Ui { json: false, quiet: false, texts: Texts::new(language), utc_offset: 480 };
            assert_eq!([obligations(&ui, &[], &[]), papers(&ui, &[]), batches(&ui, &[])], words);
        }
    }

    #[test]
    fn a_date_means_the_whole_day_of_the_place() {
        let t = |text, last| time("since", text, 480, last).map(|t| t.0);
        assert_eq!(t("2026-03-05", false), Ok(1_772_640_000_000));
        assert_eq!(t("2026-03-05", true), Ok(1_772_640_000_000 + 86_400_000 - 1));
        assert_eq!(t("2026-03-05 14:30", false), Ok(1_772_692_200_000));
        assert_eq!(t("2026-03-05T14:30:01", true), Ok(1_772_692_201_999));
        for bad in ["", "2026-02-30", "2026-3-5", "2026-03-05 25:00", "yesterday"] {
            assert!(matches!(t(bad, false), Err(Fault::Invalid { .. })), "{bad}");
        }
    }
}
