//! Rows and pages for people.
use crate::{
    args::ListArgs,
    ui::{Ui, block, pairs, table},
};
use payterm_schema::{
    Device, Fault, Notice, Outcome, Time,
    paper::PaperJob,
    record::Obligation,
    terminal::{BatchTotals, Filter, TerminalInfo, Transaction},
};
use time::{Duration, PrimitiveDateTime, macros::format_description as form};

pub fn outcome(ui: &Ui, o: &Outcome) -> String {
    pairs(ui.texts.outcome_lines(o, ui.utc_offset))
}

/// Reason and advice as the terminal put them; where it did not, in the user's language.
pub fn with_texts(ui: &Ui, o: &mut Outcome) {
    if o.reason.as_ref().is_some_and(|r| r.text.is_empty()) {
        ui.texts.fill(o);
    }
}

pub fn transaction(ui: &Ui, t: &Transaction) -> String {
    let yes_no = if t.can_cancel { ui.text("yes") } else { ui.pick("否", "no").into() };
    let more = [(ui.pick("阶段", "Phase").to_owned(), ui.texts.word(t.phase)), (ui.pick("可取消", "Can be cancelled").to_owned(), yes_no)];
    pairs(ui.texts.outcome_lines(&t.outcome, ui.utc_offset).into_iter().chain(more))
}

fn amount(ui: &Ui, o: &Outcome) -> String {
    o.sums.amount_money().map(|m| ui.texts.amount_text(m)).unwrap_or_default()
}
fn shown(value: Option<impl ToString>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

pub fn list(ui: &Ui, all: &[Outcome]) -> String {
    let label = |id: &str| ui.text(&format!("label-{id}"));
    let header = [
        label("txn"),
        label("started"),
        label("request"),
        label("kind"),
        label("status"),
        label("amount"),
        label("card"),
        label("stan"),
        label("rrn"),
        label("reason"),
    ];
    let rows = all.iter().map(|o| {
        let reason = o.reason.as_ref().map(|r| r.text.clone());
        let status = ui.texts.word(o.status);
        let status = if o.voided { format!("{status}, {}", label("voided")) } else { status };
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
            shown(reason),
        ]
    });
    table(header.each_ref().map(String::as_str), rows)
}

pub fn devices(ui: &Ui, all: &[Device]) -> String {
    let header = [
        ui.pick("名称", "Name"),
        ui.pick("种类", "Kind"),
        ui.pick("驱动", "Driver"),
        ui.pick("状态", "State"),
        ui.pick("重启次数", "Restarts"),
        ui.pick("虚拟", "Virtual"),
        ui.pick("说明", "Health"),
    ];
    let yes = |on: bool| if on { ui.text("yes") } else { String::new() };
    let rows = all.iter().map(|d| {
        [d.name.clone(), ui.texts.word(d.kind), d.driver.clone(), ui.texts.word(d.state), d.restarts.to_string(), yes(d.is_virtual), d.health.clone()]
    });
    table(header, rows)
}

pub fn obligations(ui: &Ui, all: &[Obligation]) -> String {
    let (txn, stan, kind, sum, account, status) =
        (ui.text("label-txn"), ui.text("label-stan"), ui.text("label-kind"), ui.text("label-amount"), ui.text("label-account"), ui.text("label-status"));
    let header = [
        &txn,
        &account,
        &stan,
        &kind,
        &sum,
        &status,
        ui.pick("冲正原因", "F39"),
        ui.pick("已试次数", "Tries"),
        ui.pick("上次应答码", "Last answer"),
        ui.pick("起始", "Since"),
        ui.pick("下次", "Next try"),
    ];
    let rows = all.iter().map(|o| {
        [
            o.txn.to_string(),
            o.account.to_string(),
            o.plan.stan.to_string(),
            ui.texts.word(o.plan.kind),
            o.plan.amount.map(|m| ui.texts.amount_text(m)).unwrap_or_default(),
            ui.texts.word(o.state),
            o.reason.code().into(),
            o.tries.to_string(),
            shown(o.last_code.as_ref()),
            ui.time(o.since),
            ui.time(o.next_try),
        ]
    });
    table(header, rows)
}

pub fn papers(ui: &Ui, all: &[PaperJob]) -> String {
    let (request, kind, status, sum) = (ui.text("label-request"), ui.text("label-kind"), ui.text("label-status"), ui.text("label-amount"));
    let header = [ui.pick("打印任务", "Job"), &kind, &status, ui.pick("已试次数", "Tries"), &request, &sum, ui.pick("问题", "Problem")];
    let rows = all.iter().map(|j| {
        [
            j.id.to_string(),
            ui.texts.word(j.kind),
            ui.texts.word(j.state),
            j.attempts.to_string(),
            j.outcome.key.to_string(),
            amount(ui, &j.outcome),
            shown(j.problem.as_ref()),
        ]
    });
    table(header, rows)
}

pub fn totals(ui: &Ui, all: &[BatchTotals]) -> String {
    let (account, batch) = (ui.text("label-account"), ui.text("label-batch"));
    let header = [
        &account,
        &batch,
        ui.pick("已签到", "Signed in"),
        ui.pick("币种", "Currency"),
        ui.pick("借记笔数", "Debits"),
        ui.pick("借记金额", "Debit sum"),
        ui.pick("贷记笔数", "Credits"),
        ui.pick("贷记金额", "Credit sum"),
        ui.pick("待冲正", "Open obligations"),
    ];
    let rows = all.iter().map(|t| {
        [
            t.account.to_string(),
            shown(t.batch),
            if t.signed_in { ui.text("yes") } else { ui.pick("否", "no").into() },
            t.currency.to_string(),
            t.debit_count.to_string(),
            t.debit.clone(),
            t.credit_count.to_string(),
            t.credit.clone(),
            t.open_obligations.to_string(),
        ]
    });
    table(header, rows)
}

pub fn info(ui: &Ui, i: &TerminalInfo) -> String {
    let accounts = i.accounts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let rows = [
        (ui.pick("商户", "Shop"), i.shop.clone()),
        (ui.pick("账户", "Accounts"), accounts),
        (ui.pick("测试终端", "Test terminal"), if i.test { ui.text("yes") } else { ui.pick("否", "no").into() }),
        (ui.pick("语言", "Language"), i.language.clone()),
        (ui.pick("服务电话", "Service phone"), i.service_phone.clone()),
        (ui.pick("进行中的请求", "Running"), i.running.as_ref().map(ToString::to_string).unwrap_or_default()),
        (ui.pick("屏幕", "Screen"), ui.texts.screen(&i.screen, &ui.screen_context(i.test, &i.shop)).join(" | ")),
        (ui.pick("版本", "Version"), format!("{} (API {})", i.version, i.api)),
    ];
    pairs(rows.into_iter().map(|(k, v)| (k.to_owned(), v)))
}

/// One line.
pub fn notice(ui: &Ui, n: &Notice, info: &TerminalInfo) -> String {
    let screen = |s| ui.texts.screen(s, &ui.screen_context(info.test, &info.shop)).join(" | ");
    let text = match n {
        Notice::Started { key, txn } => format!("{key} {} {txn}", ui.pick("开始，序号", "started, number")),
        Notice::Phase { key, phase, screen: s } => format!("{key} [{}] {}", ui.texts.word(*phase), screen(s)),
        Notice::Outcome { outcome: o } => {
            let mut o = o.clone();
            with_texts(ui, &mut o);
            let reason = o.reason.as_ref().map(|r| r.text.clone()).unwrap_or_default();
            format!("{} {} {} {reason}", o.key, ui.texts.word(o.status), amount(ui, &o))
        }
        Notice::Screen { screen: s } => screen(s),
        Notice::Device { device: d } => format!("{} {} {}", d.name, ui.texts.word(d.state), d.health),
        Notice::Obligation { obligation: o } => {
            format!("{} {} · {} {} · {}", ui.text("label-txn"), o.txn, ui.text("label-stan"), o.plan.stan, ui.texts.word(o.state))
        }
        Notice::Paper { job: j } => {
            let problem = j.problem.as_deref().unwrap_or_default();
            format!("{} {} {} {problem}", j.outcome.key, ui.texts.word(j.kind), ui.texts.word(j.state))
        }
        Notice::Requirement { account, digit } => format!("{account}: {} {digit}", ui.pick("主机处理要求", "processing requirement of the host")),
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
