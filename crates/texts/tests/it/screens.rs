//! Every page on every display size.
use crate::common::*;
use payterm_schema::{
    Money, Outcome, Screen, Status, Time,
    config::Language,
    host::EntryMode,
    notice::Owed,
    onboarding::Stage,
    operator::{OperatorId, Purpose, TerminalLock},
    selftest::{Finding, Part},
};
use payterm_texts::{ScreenContext, Texts};
use proptest::prelude::*;

const LANGUAGES: [Language; 2] = [Language::ZhCn, Language::En];

fn on(columns: usize, lines: usize, test: bool) -> ScreenContext {
    ScreenContext {
        test,
        columns,
        lines,
        zone: payterm_schema::zone::Zone::default(),
        shop: "老王面馆".into(),
        service_phone: "95516".into(),
    }
}
fn show(language: Language, screen: &Screen, ctx: &ScreenContext) -> String {
    Texts::new(language).screen(screen, ctx).join("\n")
}
fn result(outcome: Outcome) -> Screen {
    Screen::Result { outcome: outcome.into() }
}
fn amount() -> Option<Money> {
    sale().sums.amount_money()
}

fn report() -> payterm_schema::SelfTest {
    let items = vec![
        Finding::degraded("disk-low").with("free", 5).with("limit", 100).of(Part::Store, ""),
        Finding::failed("paper-out").of(Part::Printer, "printer"),
        Finding::failed("no-such-code").of(Part::Scanner, "s"),
        Finding::works().of(Part::Clock, ""),
    ];
    payterm_schema::SelfTest::new(AT, items)
}

fn password(purpose: Purpose, digits: u8, problem: Option<&str>) -> Screen {
    Screen::Password {
        operator: OperatorId::first_cashier(),
        purpose,
        kind: None,
        amount: None,
        digits,
        problem: problem.map(Into::into),
    }
}
fn locked(challenge: Option<&str>, problem: Option<&str>, wrong: u32) -> Screen {
    let lock = TerminalLock {
        since: AT,
        by: OperatorId::supervisor(),
        challenge: challenge.map(Into::into),
        wrong,
        not_before: AT,
    };
    Screen::Locked { lock, digits: 3, problem: problem.map(Into::into) }
}

fn pages() -> Vec<Screen> {
    let all =
        vec![EntryMode::Swipe, EntryMode::Chip, EntryMode::Contactless, EntryMode::Code, EntryMode::Manual];
    let mut pages = vec![
        Screen::Idle,
        Screen::Confirm { kind: payterm_schema::Kind::Sale, amount: amount() },
        Screen::Confirm { kind: payterm_schema::Kind::Sale, amount: None },
        Screen::Present {
            kind: payterm_schema::Kind::Sale,
            amount: amount(),
            modes: all.clone(),
            problem: None,
        },
        Screen::Present {
            kind: payterm_schema::Kind::Sale,
            amount: None,
            modes: vec![EntryMode::Code],
            problem: Some("chip-not-supported".into()),
        },
        Screen::Present {
            kind: payterm_schema::Kind::Sale,
            amount: amount(),
            modes: vec![],
            problem: Some("no-such-problem".into()),
        },
        Screen::Pin {
            kind: payterm_schema::Kind::Sale,
            amount: amount(),
            masked_pan: "622848******1234".into(),
            digits: 3,
            wrong: false,
        },
        Screen::Pin {
            kind: payterm_schema::Kind::Sale,
            amount: None,
            masked_pan: "622848******1234".into(),
            digits: 255,
            wrong: true,
        },
        Screen::wait("sending", AT),
        Screen::wait("no-such-wait", AT),
        Screen::LogOn,
        Screen::OperatorNumber { typed: "0".into(), problem: Some("operator-unknown".into()) },
        password(Purpose::New, 255, Some("password-weak")),
        password(Purpose::Approve, 0, None),
        locked(None, Some("code-wrong"), 1),
        locked(Some("13572468"), None, 0),
        Screen::Trouble { what: "operator-locked".into() },
        Screen::Trouble { what: "store-failed".into() },
        Screen::Trouble { what: "no-such-trouble".into() },
        Screen::SelfTest {
            report: Box::new(payterm_schema::SelfTest::new(AT, vec![Finding::works().of(Part::Clock, "")])),
        },
        Screen::SelfTest { report: Box::new(report()) },
        Screen::Onboarding { stage: None, reason: None },
        result(balance()),
        result(void()),
        result(Outcome { answer_by: None, ..unknown() }),
    ];
    pages.extend(
        Stage::ALL.map(|stage| Screen::Onboarding {
            stage: Some(stage),
            reason: Some("licence not readable".into()),
        }),
    );
    for status in [
        Status::Running,
        Status::Approved,
        Status::Declined,
        Status::Cancelled,
        Status::Failed,
        Status::Unknown,
    ] {
        pages.push(result(Outcome { status, ..declined() }));
    }
    pages
}

#[test]
fn every_page_fits_every_display_and_says_test() {
    for language in LANGUAGES {
        for page in pages() {
            for (columns, height) in [(16, 2), (20, 2), (20, 4), (32, 6), (40, 8), (0, 0), (999, 999)] {
                let plain = Texts::new(language).screen(&page, &on(columns, height, false));
                let test = Texts::new(language).screen(&page, &on(columns, height, true));
                for lines in [&plain, &test] {
                    assert!((1..=height.clamp(2, 8)).contains(&lines.len()), "{page:?}: {lines:?}");
                    for line in lines {
                        let width: usize = line.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
                        assert!(!line.is_empty() && width <= columns.max(16), "{page:?}: {line}");
                        // An unknown finding's code is shown, so that customer service can be told it.
                        let raw = line.contains("no-such") && !matches!(page, Screen::SelfTest { .. });
                        assert!(!line.contains(['{', '$']) && !raw, "{page:?}: {line}");
                    }
                }
                let word =
                    if height.clamp(2, 8) >= 4 || language == Language::En { "TEST" } else { "测试" };
                assert!(test[0].contains(word), "{test:?}");
                assert!(!plain.iter().any(|l| l.contains("TEST") || l.contains("测试")), "{plain:?}");
            }
        }
    }
}

#[test]
fn the_words_that_matter_most() {
    let (zh, en) = (Language::ZhCn, Language::En);
    let big = on(40, 8, false);
    // Two lines of 20 are enough for the warning, on a test terminal too.
    for ctx in [on(20, 2, false), on(20, 2, true)] {
        assert!(show(zh, &result(unknown()), &ctx).contains("不要重复收款"));
        assert!(
            show(en, &result(unknown()), &ctx).replace('\n', " ").contains("Do not take the money again")
        );
    }
    assert!(
        show(zh, &result(unknown()), &big).contains("14:40")
            && show(en, &result(unknown()), &big).contains("result by 14:40")
    );
    let pin = Screen::Pin {
        kind: payterm_schema::Kind::Sale,
        amount: amount(),
        masked_pan: "622848******1234".into(),
        digits: 3,
        wrong: false,
    };
    assert!(
        show(zh, &pin, &on(20, 4, false)).contains("请遮挡键盘")
            && show(en, &pin, &on(20, 4, false)).contains("Cover the keypad")
    );
    assert!(show(en, &pin, &big).contains("PIN ***\n"));
    let wrong = Screen::Pin {
        kind: payterm_schema::Kind::Sale,
        amount: None,
        masked_pan: String::new(),
        digits: 0,
        wrong: true,
    };
    assert!(show(zh, &wrong, &big).contains("密码错误") && show(en, &wrong, &big).contains("Wrong PIN"));
    let present = Screen::Present {
        kind: payterm_schema::Kind::Sale,
        amount: amount(),
        modes: vec![EntryMode::Swipe, EntryMode::Chip, EntryMode::Code],
        problem: Some("swipe-again".into()),
    };
    assert_eq!(
        show(zh, &present, &big),
        "请再刷一次\n请刷卡、插卡或出示付款码\n1234.50 元\n1 银行卡:刷卡、插卡或挥卡\n2 扫码:微信、支付宝或云闪付付款码"
    );
    assert_eq!(
        show(en, &present, &big),
        "Please swipe again\nPlease swipe, insert or show your code\nCNY 1234.50\n1 Bank card: swipe, \
         insert or tap\n2 Code: WeChat, Alipay or UnionPay"
    );
    let refund = Screen::Present {
        kind: payterm_schema::Kind::Refund,
        amount: amount(),
        modes: vec![EntryMode::Swipe],
        problem: None,
    };
    assert!(
        show(zh, &refund, &big).contains("退货 1234.50 元")
            && show(en, &refund, &big).contains("Refund CNY 1234.50"),
        "whoever gives a card must see for what"
    );
    let lost = |kind| Outcome { kind, ..unknown() };
    assert!(
        show(en, &result(lost(payterm_schema::Kind::Refund)), &big)
            .replace('\n', " ")
            .contains("Do not refund again")
    );
    assert!(
        !show(en, &result(lost(payterm_schema::Kind::Void)), &big).contains("Do not take the money again")
    );
    let card = Screen::Present {
        kind: payterm_schema::Kind::Sale,
        amount: amount(),
        modes: vec![EntryMode::Swipe],
        problem: None,
    };
    assert!(!show(en, &card, &big).contains("2 Code"), "no choice where there is none");
    let confirm = Screen::Confirm { kind: payterm_schema::Kind::Sale, amount: amount() };
    assert!(
        show(zh, &confirm, &big).contains("壹仟贰佰叁拾肆元伍角整")
            && show(en, &confirm, &big)
                .replace('\n', " ")
                .contains("one thousand two hundred thirty-four point five zero CNY")
    );
    assert!(show(en, &result(declined()), &big).contains("Not enough money on the account (51)"));
    for failed in [declined(), Outcome { status: Status::Failed, ..declined() }, unknown()] {
        assert!(
            show(en, &result(failed), &on(40, 8, false)).contains("95516"),
            "service phone with every failure"
        );
    }
    assert!(show(en, &result(balance()), &big).contains("Balance CNY -12345.67"));
    let owed =
        Owed { tries: 2, last_code: None, next_try: Time(AT.0 + 9000), deadline: Some(Time(AT.0 + 60_000)) };
    let page = show(en, &Screen::Wait { what: "reversing".into(), until: AT, owed: Some(owed) }, &big);
    assert!(
        ["Tries 2", "last answer none", "14:30:09", "14:31:00"].iter().all(|part| page.contains(part)),
        "{page}"
    );
    assert!(show(en, &Screen::wait("reversing", Time(AT.0 + 5000)), &big).contains("14:30:05"));
    let tested = Screen::SelfTest { report: Box::new(report()) };
    let text = show(en, &tested, &big);
    assert!(
        text.starts_with("Self-test: failed\nprinter printer: out of paper\nPut in a new roll of paper\n"),
        "the worst first: {text}"
    );
    assert!(text.contains("5 MiB free") && !text.contains("clock"), "{text}");
    assert!(show(zh, &tested, &on(20, 4, false)).contains("请装入新纸卷"));
    assert!(
        show(en, &result(declined()), &big).contains("95516 ref. R0001-42"),
        "{}",
        show(en, &result(declined()), &big)
    );
    assert!(show(zh, &Screen::Idle, &big).contains("老王面馆"));
    // Stars and no digit; on two lines what went wrong and the stars.
    assert_eq!(show(en, &password(Purpose::LogOn, 4, None), &on(20, 2, false)), "Log on\nOperator 01 ****");
    assert_eq!(
        show(zh, &password(Purpose::LogOn, 2, Some("last-try")), &on(40, 2, false)),
        "密码错误,还剩一次机会\n操作员 01 **"
    );
    let lock = show(en, &locked(Some("13572468"), Some("code-wrong"), 1), &big);
    assert!(
        lock.contains("13572468")
            && lock.contains("95516")
            && lock.contains("Code ***")
            && lock.contains("14:30:00"),
        "{lock}"
    );
    assert!(
        show(zh, &locked(Some("13572468"), None, 0), &on(20, 2, false)).contains("13572468"),
        "the challenge stays on two lines"
    );
}

proptest! {
    #[test]
    fn hostile_texts_stay_on_their_lines(
        text in ".{0,80}",
        control in "[\\x00-\\x1f\\u{202e}\\u{2028}\n]{1,5}",
        columns in 0usize..60,
        lines in 0usize..10,
    ) {
        let hostile = format!("{control}{text}{control}");
        let code = format!("host-{hostile}");
        let reason = payterm_schema::outcome::Reason::new(code, payterm_schema::Class::C);
        let outcome = Outcome {
            status: Status::Declined,
            masked_pan: Some(hostile.clone()),
            reason: Some(reason),
            ..sale()
        };
        let ctx = ScreenContext {
            shop: hostile.clone(),
            service_phone: hostile.clone(),
            ..on(columns, lines, true)
        };
        let wait = Screen::wait(hostile.clone(), Time(i64::MAX));
        for page in [result(outcome), Screen::Idle, wait, Screen::Trouble { what: hostile.clone() }] {
            let shown = Texts::new(Language::En).screen(&page, &ctx);
            prop_assert!(shown.len() <= lines.clamp(2, 8));
            for line in shown {
                let controls = |c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{2028}');
                prop_assert!(!line.chars().any(controls), "{:?}", line);
            }
        }
    }
}

/// Where a password is wanted the prompt says so; keys alone are named where another one is chosen.
#[test]
fn a_prompt_for_a_password_asks_for_it() {
    let asked = |operator, purpose| {
        let screen =
            Screen::Password { operator, purpose, kind: None, amount: None, digits: 0, problem: None };
        LANGUAGES
            .map(|l| Texts::new(l).screen(&screen, &on(40, 8, false)).last().cloned().unwrap_or_default())
    };
    for purpose in [Purpose::LogOn, Purpose::Change, Purpose::Manage, Purpose::Approve, Purpose::WriteOff] {
        assert_eq!(
            asked(OperatorId::supervisor(), purpose),
            ["请输入主管密码", "Type the supervisor's password"]
        );
        assert_eq!(asked(OperatorId::first_cashier(), purpose), ["请输入密码", "Type your password"]);
    }
    for purpose in [Purpose::New, Purpose::NewAgain] {
        assert_eq!(asked(OperatorId::supervisor(), purpose)[1], "Confirm to go on, Cancel to stop");
    }
}
