//! Every page on every display size.
use crate::common::*;
use payterm_schema::{
    Kind, Money, Outcome, Screen, Status, Time,
    config::Language,
    host::EntryMode,
    notice::{Owed, Rest, TROUBLES},
    onboarding::Stage,
    operator::{OperatorId, Purpose, TerminalLock},
    selftest::{Finding, Part},
};
use payterm_texts::{Audience, ScreenContext, Texts};
use proptest::prelude::*;
use std::collections::BTreeSet;

const LANGUAGES: [Language; 2] = [Language::ZhCn, Language::En];

fn on(columns: usize, lines: usize, test: bool) -> ScreenContext {
    ScreenContext {
        audience: Audience::Cashier,
        now: AT,
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
        voucher: None,
        asked_by: None,
        digits,
        problem: problem.map(Into::into),
    }
}
fn approval(kind: Kind, digits: u8, problem: Option<&str>) -> Screen {
    Screen::Password {
        operator: OperatorId::supervisor(),
        purpose: Purpose::Approve,
        kind: Some(kind),
        amount: large(),
        voucher: payterm_schema::Stan::new(118),
        asked_by: Some("01".into()),
        digits,
        problem: problem.map(Into::into),
    }
}
fn in_ms(ms: i64) -> Option<Time> {
    Some(Time(AT.0 + ms))
}
/// As much as a card pays at once.
fn large() -> Option<Money> {
    Money::new(123_456_789, payterm_schema::Currency::CNY).ok()
}
fn rest(troubles: &[&str]) -> Rest {
    Rest {
        operator: Some(OperatorId::first_cashier()),
        offline: vec![],
        troubles: troubles.iter().map(|t| (*t).into()).collect(),
    }
}
fn locked(challenge: Option<&str>, problem: Option<&str>, wrong: u32) -> Screen {
    let lock = TerminalLock {
        since: AT,
        by: OperatorId::supervisor(),
        challenge: challenge.map(Into::into),
        wrong,
        not_before: Time(AT.0 + 29_001),
    };
    Screen::Locked { lock, digits: 3, problem: problem.map(Into::into) }
}

fn pages() -> Vec<Screen> {
    let all =
        vec![EntryMode::Swipe, EntryMode::Chip, EntryMode::Contactless, EntryMode::Code, EntryMode::Manual];
    let mut pages = vec![
        Screen::idle(),
        Screen::Idle(rest(&TROUBLES)),
        Screen::LogOn(Rest {
            offline: vec![payterm_schema::AccountId::new("cup").unwrap()],
            ..rest(&["printer"])
        }),
        Screen::ConfirmPartial { asked: large().unwrap(), approved: large().unwrap() },
        Screen::ChooseApplication {
            amount: amount(),
            names: (1..=7).map(|n| format!("QUASI CREDIT 000{n}")).collect(),
            first: 3,
        },
        Screen::ChooseApplication { amount: None, names: vec!["QUASI CREDIT 0001".into()], first: 0 },
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
            left: None,
        },
        Screen::Pin {
            kind: payterm_schema::Kind::Sale,
            amount: None,
            masked_pan: "622848******1234".into(),
            digits: 255,
            wrong: true,
            left: None,
        },
        Screen::wait("sending", amount(), AT),
        Screen::wait("no-such-wait", None, AT),
        Screen::LogOn(Rest::default()),
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
    pages.extend(TROUBLES.map(|what| Screen::Idle(rest(&[what]))));
    pages.extend(TROUBLES.map(|what| Screen::LogOn(rest(&[what]))));
    let troubles = ids("trouble-").into_iter().map(|what| Screen::Trouble { what });
    pages.extend(troubles);
    pages.extend(ids("wait-").into_iter().flat_map(|what| {
        [None, large()].map(|amount| Screen::wait(what.clone(), amount, Time(AT.0 + 1_199_000)))
    }));
    pages.extend(ids("problem-").into_iter().flat_map(|problem| {
        let (number, typed) = (Some(problem.clone()), if problem.len() % 2 == 0 { 0 } else { 255 });
        let modes = [EntryMode::Swipe, EntryMode::Chip, EntryMode::Contactless, EntryMode::Manual];
        [
            Screen::OperatorNumber { typed: "01".into(), problem: number.clone() },
            password(Purpose::NewAgain, typed, Some(&problem)),
            approval(Kind::PreAuthCancel, typed, Some(&problem)),
            locked(Some("13572468"), Some(&problem), 3),
            Screen::Present {
                kind: Kind::Sale,
                amount: large(),
                modes: all.clone(),
                problem: number.clone(),
            },
            Screen::Present {
                kind: Kind::PreAuthCancel,
                amount: large(),
                modes: modes.into(),
                problem: number,
            },
        ]
    }));
    for kind in Kind::ALL {
        let of = |status, reason| Outcome {
            kind,
            status,
            reason,
            sums: payterm_schema::outcome::Sums { amount: Some(123_456_789), ..sale().sums },
            ..sale()
        };
        let refused = Some(payterm_schema::outcome::Reason::new("host-51", payterm_schema::Class::C));
        let lost = Some(payterm_schema::outcome::Reason::new("no-reply", payterm_schema::Class::E));
        pages.extend([
            Screen::Confirm { kind, amount: large() },
            Screen::Confirm { kind, amount: None },
            Screen::Pin {
                kind,
                amount: large(),
                masked_pan: "622848******1234".into(),
                digits: 12,
                wrong: true,
                left: None,
            },
            approval(kind, 6, None),
            result(of(Status::Approved, None)),
            result(of(Status::Declined, refused)),
            result(of(Status::Failed, lost.clone())),
            result(Outcome { answer_by: in_ms(120_000), ..of(Status::Unknown, lost.clone()) }),
            result(Outcome { answer_by: in_ms(5_999_000), ..of(Status::Unknown, lost.clone()) }),
            result(of(Status::Unknown, lost)),
        ]);
    }
    pages
}

/// What stands behind this prefix in the English texts.
fn ids(prefix: &str) -> BTreeSet<String> {
    let files = ["screens", "journal", "onboarding"].map(|f| format!("locales/en/{f}.ftl"));
    let read = |f: String| std::fs::read_to_string(format!("{}/{f}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let texts: String = files.map(read).concat();
    let ids = texts.lines().filter_map(|l| l.split_once(" = ")?.0.strip_prefix(prefix).map(str::to_owned));
    // Parts of the page, not reasons to wait.
    let parts = ["please", "seconds", "unknown", "no-answer", "owed", "deadline"];
    ids.filter(|id| prefix != "wait-" || !parts.contains(&id.as_str())).collect()
}
fn bare(text: &str) -> String {
    text.split_whitespace().collect()
}

/// Amount of the payment that a page is about.
fn amount_of(page: &Screen) -> Option<Money> {
    if let Screen::Confirm { amount, .. }
    | Screen::Present { amount, .. }
    | Screen::Pin { amount, .. }
    | Screen::Wait { amount, .. }
    | Screen::Password { amount, .. } = page
    {
        *amount
    } else if let Screen::ConfirmPartial { approved, .. } = page {
        Some(*approved)
    } else if let Screen::Result { outcome } = page {
        outcome.sums.amount_money()
    } else {
        None
    }
}

/// Nor does the amount, whatever a page says of it.
#[test]
fn nothing_that_matters_falls_off_a_small_display() {
    let (mut seen, mut small, mut fallen) = (0, 0, Vec::new());
    for (language, page) in LANGUAGES.iter().flat_map(|l| pages().into_iter().map(move |p| (*l, p))) {
        for (columns, lines) in [(20, 4), (32, 6), (40, 8)] {
            for audience in [Audience::Customer, Audience::Cashier] {
                for test in [false, true] {
                    let ctx = ScreenContext { audience, ..on(columns, lines, test) };
                    let texts = Texts::new(language);
                    let mut lost = texts.lost(&page, &ctx);
                    let shown = show(language, &page, &ctx);
                    let amount = amount_of(&page).map(|a| texts.amount_text(a));
                    lost.extend(amount.filter(|a| !bare(&shown).contains(&bare(a))));
                    if !lost.is_empty() {
                        fallen.push(format!("{columns}x{lines} {page:?}\n{shown}\nlost: {lost:?}\n"));
                    }
                    seen += 1;
                }
            }
        }
        small += Texts::new(language).lost(&page, &on(16, 2, true)).len();
    }
    assert!(fallen.is_empty(), "{}", fallen.concat());
    assert!(seen > 2_000 && small > 50, "the test sees what falls off: {seen} {small}");
}

/// A line that is not whole says so.
#[test]
fn what_is_cut_ends_in_an_ellipsis() {
    let long = Outcome {
        reason: Some(payterm_schema::outcome::Reason::new("host-68", payterm_schema::Class::C)),
        ..declined()
    };
    let lines = Texts::new(Language::En).screen(&result(long), &on(20, 4, false));
    assert_eq!(lines, ["CNY 1234.50", "Declined", "The banks' system", "failed or was too..."]);
}

/// Codes of the profile's table that are no success.
fn refusals() -> Vec<String> {
    let profile = concat!(env!("CARGO_MANIFEST_DIR"), "/../hosts/profiles/unionpay.toml");
    let table: toml::Table = std::fs::read_to_string(profile).unwrap().parse().unwrap();
    let codes = table["codes"].as_table().unwrap().keys().flat_map(|k| k.split_whitespace());
    let good = ["00", "10", "11", "A2", "A4", "A5", "A6"];
    codes.filter(|c| !good.contains(c)).map(str::to_owned).chain(["Z9".to_owned()]).collect()
}

#[test]
fn the_banks_reason_is_on_no_customers_screen() {
    let codes = refusals();
    assert!(codes.len() > 50, "{codes:?}");
    for language in LANGUAGES {
        let texts = Texts::new(language);
        for (code, kind) in codes.iter().flat_map(|c| Kind::ALL.map(|k| (c, k))) {
            if !kind.row().authorisation {
                continue;
            }
            for (status, wallet) in [
                (Status::Declined, false),
                (Status::Declined, true),
                (Status::Unknown, false),
                (Status::Failed, false),
            ] {
                let reason =
                    payterm_schema::outcome::Reason::new(format!("host-{code}"), payterm_schema::Class::C);
                let of = if wallet { code_sale() } else { declined() };
                let mut outcome = Outcome { kind, status, reason: Some(reason), ..of };
                // The digits of the card are no code.
                (outcome.masked_pan, outcome.sums.amount, outcome.answer_by) = (None, Some(777), None);
                texts.fill(&mut outcome);
                let filled = outcome.reason.clone().unwrap();
                let page = result(outcome);
                for (columns, lines) in [(20, 2), (20, 4), (32, 6), (40, 8)] {
                    let ctx = ScreenContext {
                        audience: Audience::Customer,
                        service_phone: String::new(),
                        ..on(columns, lines, false)
                    };
                    let shown = show(language, &page, &ctx).replace("R0001-42", "");
                    for of_the_bank in [&filled.text, &filled.next, &format!("({code})")] {
                        assert!(
                            !bare(&shown).contains(&bare(of_the_bank)),
                            "{code} {kind:?} {status:?}: {shown}"
                        );
                    }
                }
                if status == Status::Declined {
                    let shown = bare(&show(language, &page, &on(40, 8, false)));
                    assert!(shown.contains(&bare(&filled.text)), "the cashier's: {shown}");
                }
            }
        }
    }
    let customer = ScreenContext { audience: Audience::Customer, ..on(40, 8, false) };
    let lost_card = Outcome {
        reason: Some(payterm_schema::outcome::Reason::new("host-41", payterm_schema::Class::D)),
        ..declined()
    };
    assert_eq!(
        show(Language::En, &result(lost_card.clone()), &customer),
        "CNY 1234.50\nDeclined, please use another card or ask\nyour bank\nSupport 95516 ref. R0001-42"
    );
    assert!(show(Language::En, &result(lost_card), &on(40, 8, false)).contains("Lost card"));
    // An earlier payment's answer, which another customer waits for.
    let owed = Owed { tries: 2, last_code: Some("51".into()), next_try: AT, deadline: Some(AT) };
    let wait = Screen::Wait { amount: amount(), what: "reversing".into(), until: AT, owed: Some(owed) };
    assert!(!show(Language::En, &wait, &customer).contains("51"));
    assert!(show(Language::En, &wait, &on(40, 8, false)).contains("51"));
}

/// What a system says of itself, commands and files are on no screen.
#[test]
fn no_screen_shows_errors_of_the_system_commands_or_files() {
    let os = "No such file or directory (os error 2): /dev/ttyUSB0";
    let mut screens = pages();
    let found = Finding::failed("device-failed").with("why", os).of(Part::Printer, "printer");
    screens.push(Screen::SelfTest { report: Box::new(payterm_schema::SelfTest::new(AT, vec![found])) });
    for code in ["store-damaged", "generation-absent"] {
        let found = Finding::failed(code).with("why", os).of(Part::Store, "");
        screens.push(Screen::SelfTest { report: Box::new(payterm_schema::SelfTest::new(AT, vec![found])) });
    }
    let reasons =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/locales/en/reasons.ftl")).unwrap();
    let codes: Vec<&str> =
        reasons.lines().filter_map(|l| l.split_once(" = ")?.0.strip_prefix("reason-")).collect();
    assert!(codes.len() > 80);
    for (code, kind) in codes.iter().flat_map(|c| Kind::ALL.map(|k| (*c, k))) {
        let mut reason = payterm_schema::outcome::Reason::new(code, payterm_schema::Class::D);
        reason.detail = Some(os.into());
        for status in [Status::Unknown, Status::Declined, Status::Failed, Status::Cancelled] {
            screens.push(result(Outcome { kind, status, reason: Some(reason.clone()), ..unknown() }));
        }
        screens.push(Screen::Trouble { what: code.into() });
    }
    for (language, audience) in
        LANGUAGES.iter().flat_map(|l| [(*l, Audience::Customer), (*l, Audience::Cashier)])
    {
        let ctx = ScreenContext { audience, ..on(60, 8, false) };
        for screen in &screens {
            let shown = bare(&show(language, screen, &ctx));
            for canary in ["oserror", "/dev/", "paytermctl", "systemctl", ".md", ".toml", "generation_file"] {
                assert!(!shown.contains(canary), "{screen:?}: {shown}");
            }
        }
    }
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
                    if height.clamp(2, 8) >= 5 || language == Language::En { "TEST" } else { "测试" };
                assert!(test[0].contains(word), "{test:?}");
                // An echo is a test of its own.
                let said = bare(&plain.concat()).replace("回响测试", "");
                assert!(!said.contains("TEST") && !said.contains("测试"), "{plain:?}");
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
        let warned = show(en, &result(unknown()), &ctx).replace('\n', " ");
        assert!(warned.contains("Do not charge again"), "{warned}");
    }
    // A time that is left, and no time of day; the seconds of the last two minutes run.
    for (ms, said) in [
        (0, ["结果未知,稍后出结果", "Not known yet, result follows"]),
        (94_001, ["结果未知,95 秒内出结果", "Not known, result in 95 s"]),
        (120_001, ["结果未知,约 3 分钟内出结果", "Not known, result in about 3 min"]),
    ] {
        let page = result(Outcome { answer_by: in_ms(ms), ..unknown() });
        assert!(page.runs());
        for (language, said) in [zh, en].into_iter().zip(said) {
            let shown = show(language, &page, &big);
            assert!(shown.contains(said) && !shown.contains("14:"), "{shown}");
        }
    }
    assert!(!result(Outcome { answer_by: None, ..unknown() }).runs() && !result(declined()).runs());
    let pin = Screen::Pin {
        kind: payterm_schema::Kind::Sale,
        amount: amount(),
        masked_pan: "622848******1234".into(),
        digits: 3,
        wrong: false,
        left: None,
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
        left: None,
    };
    assert!(show(zh, &wrong, &big).contains("密码错误") && show(en, &wrong, &big).contains("Wrong PIN"));
    for (wrong, left, said) in [
        (false, Some(3), ["请输入密码", "Enter your PIN"]),
        (false, Some(1), ["最后一次输入密码", "PIN: last try"]),
        (true, Some(2), ["密码错误,还剩2次", "Wrong PIN, 2 left"]),
        (true, Some(1), ["密码错误,最后一次", "Wrong PIN, last try"]),
    ] {
        let (kind, masked_pan) = (payterm_schema::Kind::Sale, String::new());
        let page = Screen::Pin { kind, amount: amount(), masked_pan, digits: 0, wrong, left };
        for (texts, said) in [(zh, said[0]), (en, said[1])] {
            assert!(show(texts, &page, &on(20, 4, false)).contains(said), "{said}");
        }
    }
    let present = Screen::Present {
        kind: payterm_schema::Kind::Sale,
        amount: amount(),
        modes: vec![EntryMode::Swipe, EntryMode::Chip, EntryMode::Code],
        problem: Some("card-unreadable".into()),
    };
    assert_eq!(
        show(zh, &present, &big),
        "1234.50 元\n未读出,请再试一次\n1 刷卡、插卡\n2 出示付款码\n微信、支付宝、云闪付"
    );
    assert_eq!(
        show(en, &present, &big),
        "CNY 1234.50\nCard not read, again\n1 Swipe, insert\n2 Show payment code\nWeChat Pay, Alipay, \
         UnionPay"
    );
    let refund = Screen::Present {
        kind: payterm_schema::Kind::Refund,
        amount: amount(),
        modes: vec![EntryMode::Swipe],
        problem: None,
    };
    assert!(
        show(zh, &refund, &big).contains("1234.50 元 退货")
            && show(en, &refund, &big).contains("CNY 1234.50 Refund"),
        "whoever gives a card must see for what"
    );
    let lost = |kind| Outcome { kind, ..unknown() };
    assert!(
        show(en, &result(lost(payterm_schema::Kind::Refund)), &big)
            .replace('\n', " ")
            .contains("Do not refund again")
    );
    assert!(!show(en, &result(lost(payterm_schema::Kind::Void)), &big).contains("Do not charge again"));
    let card = Screen::Present {
        kind: payterm_schema::Kind::Sale,
        amount: amount(),
        modes: vec![EntryMode::Swipe],
        problem: None,
    };
    assert!(!show(en, &card, &big).contains("2 Show"), "no choice where there is none");
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
    let page = Screen::Wait { amount: amount(), what: "reversing".into(), until: AT, owed: Some(owed) };
    let page = show(en, &page, &big);
    assert!(
        ["Tries 2", "last answer none", "again in 9 s", "in 60 s"].iter().all(|part| page.contains(part)),
        "{page}"
    );
    let sending = Screen::wait("sending", amount(), Time(AT.0 + 4001));
    assert_eq!(show(en, &sending, &on(20, 4, false)), "CNY 1234.50\nAsking the bank\nPlease wait, 5 s");
    assert_eq!(show(zh, &sending, &on(20, 4, false)), "1234.50 元\n正在联系银行\n请稍候,5 秒");
    let idle = show(en, &Screen::Idle(rest(&["paper-out", "slips-waiting"])), &big);
    assert_eq!(
        idle,
        "Printer out of paper\n03-05 14:30 Online\nOperator 01\nSlips waiting to print\n老王面馆\nWelcome"
    );
    assert_eq!(
        show(en, &approval(Kind::Void, 3, None), &on(20, 4, false)),
        "CNY 1234567.89\nVoid No. 000118 op.\n01\nOperator 00 ***",
        "who allows it sees what"
    );
    let wallet = show(en, &result(code_sale()), &big);
    assert!(wallet.contains("WeChat Pay 13************7788") && !wallet.contains("Card"), "{wallet}");
    let no_refund = result(Outcome { kind: Kind::Refund, ..declined() });
    assert!(
        show(en, &no_refund, &big).contains("Not refunded")
            && show(zh, &no_refund, &big).contains("退货未成功")
    );
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
    assert!(show(zh, &Screen::idle(), &big).contains("老王面馆"));
    // Stars and no digit; on two lines what went wrong and the stars.
    assert_eq!(show(en, &password(Purpose::LogOn, 4, None), &on(20, 2, false)), "Log on\nOperator 01 ****");
    assert_eq!(
        show(zh, &password(Purpose::LogOn, 2, Some("last-try")), &on(40, 2, false)),
        "操作员 01 **\n错误,还剩一次机会"
    );
    let lock = show(en, &locked(Some("13572468"), Some("code-wrong"), 1), &big);
    assert!(
        lock.contains("13572468")
            && lock.contains("95516")
            && lock.contains("Code ***")
            && lock.contains("Next try in 30 s"),
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
        let wait = Screen::wait(hostile.clone(), None, Time(i64::MAX));
        for page in [result(outcome), Screen::idle(), wait, Screen::Trouble { what: hostile.clone() }] {
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
        let screen = Screen::Password {
            operator,
            purpose,
            kind: None,
            amount: None,
            voucher: None,
            asked_by: None,
            digits: 0,
            problem: None,
        };
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
