//! Golden papers, and what must be on each of them. `PAYTERM_BLESS=1` writes the golden files anew.
use crate::common::*;
use payterm_schema::{
    Batch, Kind, Outcome, Stan, Status,
    config::{Language, PlainLine},
    host::EntryMode,
    offline::OfflineAuthority,
    onboarding::Stage,
    outcome::{Forwarding, Reason, Sums},
    paper::{PaperContent, PaperJob, PaperKind},
    settlement::{Halves, Settlement, StuckLine, UnpaidLine, Verdict},
    totals::{Scope, Total},
};
use payterm_texts::{Line, Paper, SlipContext, Templates, columns_of, slip};
use std::path::PathBuf;

const LANGUAGES: [Language; 2] = [Language::ZhCn, Language::En];

/// Domestic cards do not balance, something is Stuck, one was refused and another written off.
fn settled() -> Outcome {
    let rows = [
        ("CUP", Kind::Sale, 3, 123_450),
        ("CUP", Kind::Void, 1, 2_000),
        ("VIS", Kind::Sale, 1, 700),
        ("wechat", Kind::Sale, 2, 5_000),
    ];
    let row = |(scheme, kind, count, minor): (&str, Kind, u64, u64)| Total {
        scheme: scheme.into(),
        kind,
        operator: "01".into(),
        count,
        minor,
    };
    let rows: Vec<Total> = rows.map(row).into();
    let stuck = StuckLine {
        txn: 9,
        kind: Kind::VoiceSale,
        batch: Batch::new(6).expect("batch"),
        stan: Stan::new(77).expect("stan"),
        minor: Some(800),
    };
    let refused = Outcome { forwarding: Some(Forwarding::Refused("51".into())), ..sale() };
    let given_up = Some(Forwarding::WrittenOff { by: "00".into(), why: "two weeks old".into() });
    let given_up = Outcome {
        kind: Kind::TipAdjust,
        sums: Sums { tip: Some(300), ..sale().sums },
        forwarding: given_up,
        ..sale()
    };
    let settlement = Settlement {
        unpaid: [refused, given_up].iter().filter_map(UnpaidLine::of).collect(),
        unpaid_more: 3,
        domestic_verdict: Some(Verdict::NotBalanced),
        foreign_verdict: Some(Verdict::Balanced),
        uploaded: 6,
        stuck: vec![stuck],
        ..Settlement::new(Halves::of(&rows), &rows, Some(sale().started))
    };
    Outcome {
        kind: Kind::Settlement,
        settlement: Some(Box::new(settlement)),
        sums: Sums::new(payterm_schema::Currency::CNY, None),
        ..sale()
    }
}

fn papers() -> Vec<(&'static str, PaperJob, bool)> {
    vec![
        ("sale-merchant", job(PaperKind::MerchantCopy, sale()), false),
        ("sale-customer", job(PaperKind::CustomerCopy, sale()), false),
        ("sale-signed-merchant", job(PaperKind::MerchantCopy, signed_sale()), false),
        ("code-customer-duplicate", job(PaperKind::CustomerCopy, code_sale()), true),
        ("code-merchant", job(PaperKind::MerchantCopy, code_sale()), false),
        ("void-merchant", job(PaperKind::MerchantCopy, void()), false),
        ("void-customer", job(PaperKind::CustomerCopy, void()), false),
        ("unknown", job(PaperKind::UnknownSlip, unknown()), false),
        ("stuck", job(PaperKind::StuckSlip, unknown()), false),
        (
            "offline-refused",
            job(
                PaperKind::StuckSlip,
                Outcome {
                    offline_authority: Some(OfflineAuthority::Merchant),
                    forwarding: Some(Forwarding::Refused("51".into())),
                    ..sale()
                },
            ),
            false,
        ),
        ("balance", job(PaperKind::BalanceSlip, balance()), false),
        ("refund-merchant", job(PaperKind::MerchantCopy, refund()), false),
        ("refund-customer", job(PaperKind::CustomerCopy, refund()), false),
        ("refund-unknown", job(PaperKind::UnknownSlip, Outcome { kind: Kind::Refund, ..unknown() }), false),
        ("refund-stuck", job(PaperKind::StuckSlip, Outcome { kind: Kind::Refund, ..unknown() }), false),
        (
            "pre-auth-merchant",
            job(PaperKind::MerchantCopy, Outcome { kind: Kind::PreAuth, ..signed_sale() }),
            false,
        ),
        (
            "pre-auth-cancel-customer",
            job(PaperKind::CustomerCopy, Outcome { kind: Kind::PreAuthCancel, ..refund() }),
            false,
        ),
        (
            "completion-merchant",
            job(
                PaperKind::MerchantCopy,
                Outcome { kind: Kind::Completion, original: refund().original, ..sale() },
            ),
            false,
        ),
        ("tip-merchant", job(PaperKind::MerchantCopy, tip()), false),
        ("tip-customer", job(PaperKind::CustomerCopy, tip()), false),
        (
            "voice-merchant",
            job(PaperKind::MerchantCopy, Outcome { kind: Kind::VoiceSale, ..signed_sale() }),
            false,
        ),
        ("no-cvm-merchant", job(PaperKind::MerchantCopy, no_cvm()), false),
        ("no-cvm-customer", job(PaperKind::CustomerCopy, no_cvm()), false),
        (
            "partial-customer",
            job(
                PaperKind::CustomerCopy,
                Outcome {
                    sums: payterm_schema::outcome::Sums { asked: Some(200_000), ..sale().sums },
                    ..sale()
                },
            ),
            false,
        ),
        ("totals", own(PaperKind::TotalsReport, PaperContent::Totals(Box::new(report(Scope::Batch)))), false),
        (
            "shift-duplicate",
            own(PaperKind::ShiftReport, PaperContent::Totals(Box::new(report(Scope::Shift)))),
            true,
        ),
        ("settlement", job(PaperKind::SettlementReport, settled()), false),
        ("page", own(PaperKind::Page, composed(PAGE)), false),
        ("page-duplicate", own(PaperKind::Page, composed(PAGE)), true),
        ("invoice", own(PaperKind::InvoiceSlip, composed(INVOICE)), false),
        ("onboarding", onboarding(Stage::Activated), false),
    ]
}

#[test]
fn golden_papers() {
    let bless = std::env::var_os("PAYTERM_BLESS").is_some();
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut wrong = Vec::new();
    for (name, job, duplicate) in papers() {
        for language in LANGUAGES {
            let paper = slip(&job, &SlipContext { duplicate, ..context(language) }, &Default::default());
            for mm in [58, 80] {
                let text = paper.to_text(columns_of(mm)).into_bytes();
                for (ending, made) in
                    [("txt", text), ("escpos", paper.to_escpos(mm, &Default::default()).bytes)]
                {
                    let file = dir.join(format!("{name}.{}.{mm}.{ending}", language.tag()));
                    if bless {
                        std::fs::write(&file, &made).expect("golden file written");
                    } else if std::fs::read(&file).ok().as_deref() != Some(&made) {
                        wrong.push(file);
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "differ from the golden files (PAYTERM_BLESS=1 writes them anew): {wrong:?}");
}

/// A sale that was accepted offline owes no reversal: its paper says what became of the advice.
#[test]
fn the_paper_of_an_advice_says_what_happened() {
    let advised = |kind, forwarding| {
        let outcome = Outcome {
            kind,
            offline_authority: Some(OfflineAuthority::Merchant),
            forwarding: Some(forwarding),
            ..sale()
        };
        LANGUAGES.map(|language| {
            text(PaperKind::StuckSlip, outcome.clone(), language)
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        })
    };
    let written_off = || Forwarding::WrittenOff { by: "00".into(), why: "two weeks old".into() };
    for kind in [Kind::Sale, Kind::VoiceSale, Kind::CompletionAdvice] {
        for (forwarding, zh, en) in [
            (
                Forwarding::Refused("51".into()),
                &["收单机构已拒绝", "51", "1234.50 由商户承担"],
                ["REFUSED AFTERWARDS", "code 51", "bears RMB 1234.50"],
            ),
            (
                written_off(),
                &["已核销", "two weeks old", "1234.50 由商户承担"],
                ["COMPARE STATEMENT", "by 00: two weeks old", "bears RMB 1234.50"],
            ),
            (
                Forwarding::Pending,
                &["通知未确认", "不要重复收款", "未确认收到通知"],
                ["NOTIFICATION STUCK", "DO NOT CHARGE", "did not confirm that it was told"],
            ),
        ] {
            let [paper_zh, paper_en] = advised(kind, forwarding.clone());
            for (paper, parts) in [(paper_zh, zh), (paper_en, &en)] {
                let paper = paper.replace(' ', "");
                assert!(parts.iter().all(|p| paper.contains(&p.replace(' ', ""))), "{parts:?}: {paper}");
                assert!(!paper.contains("REVERSAL") && !paper.contains("冲正"), "{paper}");
                assert_eq!(
                    paper.contains("DONOTCHARGE") || paper.contains("不要重复收款"),
                    forwarding == Forwarding::Pending,
                    "{paper}"
                );
            }
        }
    }
}

fn text(kind: PaperKind, outcome: Outcome, language: Language) -> String {
    slip(&job(kind, outcome), &context(language), &Default::default()).to_text(48)
}

#[test]
fn the_onboarding_slip_has_what_was_applied_for_and_accepted() {
    for language in LANGUAGES {
        let paper = |stage| slip(&onboarding(stage), &context(language), &Default::default()).to_text(48);
        let activated = paper(Stage::Activated);
        for part in [
            "0123456789abcdef0123456789abcdef",
            "91310000MA1FL0AA0X",
            "5411",
            "T+1",
            "0.60 %",
            "80.00",
            "TESTMERCHANT001",
            "TEST0002",
            "95516",
            "TEST",
        ] {
            assert!(activated.contains(part), "{part}: {activated}");
        }
        assert!(!activated.contains('\u{1b}'), "{activated}");
        assert!(paper(Stage::Rejected).contains("licence not readable"));
    }
}

#[test]
fn a_slip_has_every_field() {
    let paper = text(PaperKind::MerchantCopy, sale(), Language::ZhCn);
    for part in [
        "商户存根",
        "商户名称",
        "老王面馆",
        "商户编号",
        "898310058120001",
        "终端编号",
        "20260001",
        "操作员号",
        "收单机构",
        "48023100",
        "发卡机构",
        "农业银行",
        "**/**",
        "(MERCHANT NO.)",
        "卡号",
        "622848******1234 /S",
        "交易类型",
        "消费",
        "批次号",
        "000007",
        "凭证号",
        "000118",
        "授权码",
        "082164",
        "参考号",
        "606414000118",
        "日期时间",
        "2026-03-05 14:30:18",
        "RMB 1234.50",
        "手续费",
        "RMB 7.41",
        "备注",
        "table 4",
        "本人确认以上交易",
        "已输入密码",
    ] {
        assert!(paper.contains(part), "{part} is not on:\n{paper}");
    }
    let lines =
        slip(&job(PaperKind::MerchantCopy, sale()), &context(Language::En), &Default::default()).lines;
    assert!(lines.contains(&Line::Qr("payterm:898310058120001:20260001:000007:000118:606414000118".into())));
    assert_eq!(lines.last(), Some(&Line::Cut));
}

#[test]
fn what_only_one_copy_has() {
    let (merchant, customer) = (PaperKind::MerchantCopy, PaperKind::CustomerCopy);
    let has = |kind, outcome: Outcome, part: &str| text(kind, outcome, Language::ZhCn).contains(part);
    for part in ["手续费", "本人确认", "商户存根"] {
        assert!(has(merchant, sale(), part) && !has(customer, sale(), part), "{part}");
    }
    assert!(
        !has(merchant, sale(), "持卡人签名")
            && has(merchant, signed_sale(), "持卡人签名")
            && !has(merchant, signed_sale(), "已输入密码")
    );
    assert!(!has(customer, signed_sale(), "持卡人签名"));
    assert!(
        has(customer, code_sale(), "微信支付")
            && has(customer, code_sale(), "13************7788")
            && !has(merchant, code_sale(), "持卡人签名")
    );
    let agreed = |outcome: Outcome| {
        ["本卡账户", "付款码支付", "确认撤销"].map(|part| has(merchant, outcome.clone(), part))
    };
    assert_eq!(
        [agreed(sale()), agreed(code_sale()), agreed(void())],
        [[true, false, false], [false, true, false], [false, false, true]]
    );
    let code_void = Outcome { kind: Kind::Void, original: void().original, ..code_sale() };
    assert_eq!(agreed(code_void), [false, false, true]);
    let withdrawn = || Outcome { forwarding: Some(Forwarding::Withdrawn), stan: None, batch: None, ..void() };
    assert!(has(merchant, withdrawn(), "未扣款") && !has(merchant, withdrawn(), "原付款方式"));
    for part in ["从未发往收单机构", "原凭证号", "消费撤销"] {
        assert!(has(merchant, withdrawn(), part) && has(customer, withdrawn(), part), "{part}");
    }
    for part in ["原凭证号", "000001", "原参考号", "原授权码", "消费撤销"] {
        assert!(has(merchant, void(), part) && has(customer, void(), part), "{part}");
    }
}

#[test]
fn the_heads_that_warn() {
    for language in LANGUAGES {
        let all = |outcome: Outcome| {
            [PaperKind::MerchantCopy, PaperKind::CustomerCopy].map(|k| text(k, outcome.clone(), language))
        };
        for paper in all(sale()) {
            assert!(
                !paper.contains("TEST") && !paper.contains("DUPLICATE") && !paper.contains("VOIDED"),
                "{paper}"
            );
        }
        let kinds = [
            PaperKind::MerchantCopy,
            PaperKind::CustomerCopy,
            PaperKind::UnknownSlip,
            PaperKind::StuckSlip,
            PaperKind::BalanceSlip,
        ];
        for kind in kinds {
            let outcome =
                Outcome { test: true, ..if kind == PaperKind::UnknownSlip { unknown() } else { sale() } };
            let paper = slip(
                &job(kind, outcome),
                &SlipContext { duplicate: true, ..context(language) },
                &Default::default(),
            )
            .to_text(32);
            for part in ["测试", "TEST", "重打印", "DUPLICATE"] {
                assert!(paper.contains(part), "{part} is not on:\n{paper}");
            }
        }
        for paper in all(Outcome { voided: true, ..sale() }) {
            assert!(paper.contains("VOIDED"), "{paper}");
        }
        let (not_approved, do_not_take) = match language {
            Language::ZhCn => ("交易未成功", "不要重复收款"),
            Language::En => ("NOT APPROVED", "DO NOT CHARGE AGAIN"),
        };
        for paper in all(declined()) {
            assert!(
                paper.contains(not_approved)
                    && !["本人确认", "谢谢惠顾", "Thank you"].iter().any(|p| paper.contains(p)),
                "{paper}"
            );
        }
        for paper in all(unknown()).into_iter().chain([text(PaperKind::StuckSlip, unknown(), language)]) {
            assert!(paper.contains(do_not_take) && paper.contains("95516"), "{paper}");
        }
        assert!(
            text(PaperKind::UnknownSlip, unknown(), language).contains("14:40"),
            "answer_by in local time"
        );
    }
}

#[test]
fn amounts_have_their_currency() {
    let usd = Outcome { sums: Sums { currency: "USD".parse().expect("ISO"), ..sale().sums }, ..sale() };
    assert!(text(PaperKind::CustomerCopy, usd, Language::ZhCn).contains("USD 1234.50"));
    assert!(text(PaperKind::BalanceSlip, balance(), Language::ZhCn).contains("RMB -12345.67"));
}

#[test]
fn the_host_names_day_and_time_but_no_year() {
    let on = |host_date: &str, host_time: &str, ended: i64| {
        let outcome = Outcome {
            host_date: Some(host_date.into()),
            host_time: Some(host_time.into()),
            ended: Some(payterm_schema::Time(ended)),
            ..sale()
        };
        text(PaperKind::CustomerCopy, outcome, Language::En)
    };
    let silvester = 1_798_732_799_000; // 2026-12-31 23:59:59 in China
    assert!(on("0101", "000001", silvester).contains("2027-01-01 00:00:01"));
    assert!(on("1231", "235959", silvester + 2000).contains("2026-12-31 23:59:59"));
    for (date, time) in [
        ("1332", "000000"),
        ("0229", "250000"),
        ("0305", "14301"),
        ("", ""),
        ("03\u{ff10}5", "143018"),
        ("+305", "143018"),
    ] {
        assert!(on(date, time, silvester).contains("2026-12-31 23:59:59"), "{date} {time}");
    }
}

#[test]
fn the_host_s_time_is_shown_in_the_terminal_s_zone() {
    // F13 and F12 of a Chinese host, at a till in New York, the day before.
    let outcome = Outcome {
        host_date: Some("0305".into()),
        host_time: Some("083018".into()),
        ended: Some(payterm_schema::Time(1_772_670_618_000)),
        ..sale()
    };
    let ctx = SlipContext { zone: "America/New_York".parse().unwrap(), ..context(Language::En) };
    let paper = slip(&job(PaperKind::CustomerCopy, outcome), &ctx, &Default::default()).to_text(32);
    assert!(paper.contains("2026-03-04 19:30:18"), "{paper}");
}

/// On every paper of an outcome, also by a shop's own template and where no template serves.
#[test]
fn a_plain_line_is_said_at_the_head_of_each_slip() {
    let bare = Templates::default();
    let own = Templates::load(&[("payment.jinja".into(), b"rule\n".to_vec())]).0;
    let broken = Templates::load(&[("payment.jinja".into(), b"{{ no.such }}\n".to_vec())]).0;
    let papers = [
        (PaperKind::MerchantCopy, sale()),
        (PaperKind::CustomerCopy, sale()),
        (PaperKind::UnknownSlip, unknown()),
        (PaperKind::StuckSlip, unknown()),
        (PaperKind::SettlementReport, settled()),
    ];
    for (language, words) in [(Language::En, "PRIVATE LINE, NOT ENCRYPTED"), (Language::ZhCn, "专线明文传输")]
    {
        for ((kind, outcome), templates) in papers.iter().flat_map(|p| [&bare, &own, &broken].map(|t| (p, t)))
        {
            let paper = |line| {
                let outcome = Outcome { line, ..outcome.clone() };
                slip(&job(*kind, outcome), &context(language), templates).to_text(48)
            };
            let said = paper(Some(PlainLine::Private));
            let head = said.lines().position(|l| l.contains(words));
            assert!(head.is_some_and(|n| n < 3), "{said}");
            assert!(!paper(None).contains(words));
        }
    }
}

/// Nor with the host's day, which has no year.
#[test]
fn a_time_of_a_clock_that_was_never_set_is_not_printed() {
    let outcome = Outcome {
        host_date: Some("0101".into()),
        host_time: Some("083018".into()),
        ended: Some(payterm_schema::Time(60_000)),
        ..sale()
    };
    let ctx = SlipContext { not_before: payterm_schema::Time(86_400_000), ..context(Language::En) };
    let paper = slip(&job(PaperKind::CustomerCopy, outcome), &ctx, &Default::default()).to_text(48);
    assert!(paper.contains("clock not set") && !paper.contains("1970"), "{paper}");
}

#[test]
fn every_card_entry_has_its_letter() {
    for (entry, letter) in [
        (EntryMode::Swipe, "/S"),
        (EntryMode::Chip, "/I"),
        (EntryMode::Contactless, "/C"),
        (EntryMode::Manual, "/M"),
    ] {
        assert!(
            text(PaperKind::CustomerCopy, Outcome { entry: Some(entry), ..sale() }, Language::En)
                .contains(&format!("622848******1234 {letter}"))
        );
    }
}

#[test]
fn no_line_is_wider_than_the_paper() {
    for (name, job, _) in papers() {
        for (language, columns) in LANGUAGES.into_iter().flat_map(|l| [(l, 32), (l, 48)]) {
            let paper = slip(&job, &context(language), &Default::default()).to_text(columns);
            for line in paper.lines().filter(|l| !l.contains(['\u{2588}', '\u{2580}', '\u{2584}'])) {
                let width: usize = line.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
                assert!(width <= columns, "{name}: {line}");
            }
        }
    }
}

#[test]
fn the_qr_template_is_filled_once() {
    let qr = |template: &str, outcome: Outcome| {
        let paper: Paper = slip(
            &job(PaperKind::CustomerCopy, outcome),
            &SlipContext { qr: template.into(), ..context(Language::En) },
            &Default::default(),
        );
        paper.lines.into_iter().find_map(|l| if let Line::Qr(content) = l { Some(content) } else { None })
    };
    assert_eq!(qr("{amount}|{stan}{x}{", sale()).as_deref(), Some("1234.50|000118{x}{"));
    assert_eq!(qr("{rrn}", Outcome { rrn: Some("{stan}".into()), ..sale() }).as_deref(), Some("{stan}"));
    assert_eq!(qr("", sale()), None);
    assert_eq!(
        qr("{auth}", Outcome { kind: Kind::Sale, status: Status::Approved, ..sale() }).as_deref(),
        Some("{auth}")
    );
}

#[test]
fn long_texts_are_wrapped_and_lose_nothing() {
    let shown = |text: &str, size| {
        let line = Line::Text { text: text.into(), align: payterm_texts::Align::Left, size, bold: false };
        Paper { lines: vec![line] }.to_text(16).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    use payterm_texts::Size::{Double, Normal};
    assert_eq!(shown("take the money again", Normal), ["take the money", "again"]);
    assert_eq!(shown("0123456789abcdefXYZ", Normal), ["0123456789abcdef", "XYZ"]);
    assert_eq!(shown("0123456789abcdef next", Normal), ["0123456789abcdef", "next"]);
    assert_eq!(shown("ab 0123456789abcdefXYZ", Normal), ["ab", "0123456789abcdef", "XYZ"]);
    assert_eq!(shown("一二三四五六七八九", Normal), ["一二三四五六七八", "九"]);
    assert_eq!(
        shown("一二三四五六七八\u{ff0c}九", Normal),
        ["一二三四五六七", "八\u{ff0c}九"],
        "no comma at the beginning"
    );
    assert_eq!(shown("a一二三四五六七八", Normal), ["a一二三四五六七", "八"]);
    assert_eq!(shown("RMB 123456.78", Double), ["RMB", "123456.7", "8"]);
    let row = |right: &str| {
        Paper { lines: vec![Line::Row { left: "Card".into(), right: right.into(), bold: false }] }.to_text(16)
    };
    assert_eq!(row("12345678901"), "Card 12345678901\n");
    assert_eq!(row("123456789012"), "Card\n    123456789012\n");
}

#[test]
fn the_fee_is_the_merchants_own_business() {
    for kind in Kind::ALL {
        for status in [Status::Approved, Status::Declined, Status::Unknown] {
            for paper in [PaperKind::CustomerCopy, PaperKind::UnknownSlip, PaperKind::BalanceSlip] {
                let text = text(paper, Outcome { kind, status, ..sale() }, Language::En);
                assert!(
                    !text.contains("7.41") && !text.contains("Fee"),
                    "{kind:?} {status:?} {paper:?}:\n{text}"
                );
            }
        }
    }
    assert!(text(PaperKind::MerchantCopy, sale(), Language::En).contains("RMB 7.41"));
}

#[test]
fn each_kind_says_what_it_is() {
    let has = |kind, outcome: Outcome, parts: &[&str]| {
        let paper = text(kind, outcome, Language::ZhCn);
        parts.iter().for_each(|p| assert!(paper.contains(p), "{p} is not on:\n{paper}"));
    };
    let merchant = PaperKind::MerchantCopy;
    has(merchant, refund(), &["退货单", "RMB -50.00", "原参考号", "606414000118", "退回"]);
    has(merchant, void(), &["撤销单", "RMB -1234.50"]);
    has(merchant, Outcome { kind: Kind::PreAuth, ..sale() }, &["预授权单", "尚未扣款"]);
    has(merchant, tip(), &["小费单", "小费", "RMB 20.00", "合计", "RMB 1254.50"]);
    has(merchant, no_cvm(), &["交易金额未超过1000元,免密免签"]);
    has(PaperKind::CustomerCopy, no_cvm(), &["交易金额未超过1000元,免密免签"]);
    assert!(!text(merchant, no_cvm(), Language::ZhCn).contains("签名"));
    for paper in [PaperKind::StuckSlip, PaperKind::UnknownSlip] {
        has(paper, Outcome { kind: Kind::Refund, ..unknown() }, &["请勿重复退货"]);
        assert!(
            !text(paper, Outcome { kind: Kind::Refund, ..unknown() }, Language::ZhCn)
                .contains("不要重复收款")
        );
    }
}

/// The first line says what it is and what the shop does, on the narrowest paper; nothing on it says what has
/// not happened.
#[test]
fn each_stuck_slip_says_what_it_is_and_what_to_do() {
    let (reversal, notification) = ("REVERSAL STUCK: ASK ACQUIRER", "NOTIFICATION STUCK: ASK ACQUIRER");
    let (refund, another) = ("REFUND NOT KNOWN: ASK ACQUIRER", "ANSWER OF ANOTHER: ASK ACQUIRER");
    let take = "DO NOT CHARGE AGAIN";
    let because = |code: &str| Some(Reason::new(code, payterm_schema::Class::D));
    let ended = Outcome { status: Status::Declined, reason: because("host-96"), ..unknown() };
    let other = |kind| Outcome { kind, reason: because("answer-of-another"), ..unknown() };
    let told = |forwarding| Outcome { forwarding: Some(forwarding), ..sale() };
    let written_off = Forwarding::WrittenOff { by: "00".into(), why: "old".into() };
    for (outcome, title, warning, help) in [
        (unknown(), reversal, take, "whether the transaction itself stands there, and not"),
        (ended, reversal, "MAY HAVE BEEN CHARGED", "if it does, have it cancelled"),
        (Outcome { kind: Kind::Void, ..unknown() }, reversal, "NOT KNOWN WHETHER", "itself stands there"),
        (Outcome { kind: Kind::Refund, ..unknown() }, refund, "DO NOT REFUND", "neither sent again nor"),
        (other(Kind::Sale), another, take, "it is not reversed"),
        (other(Kind::Refund), another, "DO NOT REFUND", "by amount and time"),
        (told(Forwarding::Pending), notification, take, "The transaction stands"),
        (sale(), notification, take, "The transaction stands"),
        (told(Forwarding::Refused("51".into())), "REFUSED AFTERWARDS: ASK ACQUIRER", "REFUSED BY", "Keep"),
        (told(written_off), "WRITTEN OFF: COMPARE STATEMENT", "NOTHING MORE", "the acquirer's statement"),
        (
            Outcome { kind: Kind::TipAdjust, reason: because("journal-restored"), ..unknown() },
            "RESULT NOT KNOWN: ASK ACQUIRER",
            take,
            "has this transaction is not known",
        ),
    ] {
        let outcome = Outcome { test: false, ..outcome };
        let paper = text(PaperKind::StuckSlip, outcome.clone(), Language::En);
        assert_eq!(paper.lines().next().unwrap_or_default().trim(), title, "{outcome:?}");
        assert!(title.len() <= columns_of(58), "{title}");
        let flat = paper.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(warning) && flat.contains(help), "{warning}, {help}: {paper}");
        assert_eq!(flat.contains("REVERSAL"), title == reversal, "{paper}");
        let chinese = text(PaperKind::StuckSlip, outcome, Language::ZhCn);
        let first = chinese.lines().next().unwrap_or_default().trim();
        assert!(2 * first.chars().count() <= columns_of(58), "{first}");
        assert!(first.ends_with("请联系收单机构") || first == "已核销,请核对对账单", "{first}");
    }
}

#[test]
fn the_invoice_code_is_the_customers() {
    let ctx = SlipContext { invoice_qr: "https://inv.example/{rrn}".into(), ..context(Language::ZhCn) };
    let codes = |kind, outcome: Outcome| {
        slip(&job(kind, outcome), &ctx, &Default::default())
            .lines
            .iter()
            .filter(|l| matches!(l, Line::Qr(_)))
            .count()
    };
    let counted = [
        (PaperKind::CustomerCopy, sale()),
        (PaperKind::MerchantCopy, sale()),
        (PaperKind::CustomerCopy, refund()),
        (PaperKind::CustomerCopy, declined()),
    ];
    assert_eq!(counted.map(|(kind, outcome)| codes(kind, outcome)), [2, 1, 1, 1]);
}

#[test]
fn the_self_test_slip_says_what_to_do() {
    use payterm_schema::selftest::{Finding, Part};
    let items = vec![
        Finding::works().of(Part::Clock, ""),
        Finding::failed("device-failed").with("why", "cable\n\u{1b}@").of(Part::Printer, "printer"),
        Finding::degraded("disk-low").with("free", 5).with("limit", 100).of(Part::Store, ""),
    ];
    let report = payterm_schema::SelfTest { test: true, ..payterm_schema::SelfTest::new(AT, items) };
    let content = payterm_schema::paper::PaperContent::SelfTest(Box::new(report));
    let job = payterm_schema::paper::PaperJob::new(1, PaperKind::SelfTestSlip, 0, content);
    for (language, parts) in [
        (
            Language::En,
            [
                "SELF-TEST",
                "does not work (cable  @)",
                "Check its power and cable",
                "5 MiB free",
                "95516",
                "TEST",
            ],
        ),
        (
            Language::ZhCn,
            ["自检单", "不可用(cable  @)", "请检查其电源和连线", "磁盘剩余 5 MiB", "95516", "测试"],
        ),
    ] {
        let text = slip(&job, &SlipContext { duplicate: false, ..context(language) }, &Default::default())
            .to_text(32);
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in parts {
            let part = part.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flat.replace(' ', "").contains(&part.replace(' ', "")), "{part}: {text}");
        }
        assert!(!text.contains('\u{1b}') && !text.contains("DUPLICATE"), "{text}");
        assert!(
            slip(&job, &SlipContext { duplicate: true, ..context(language) }, &Default::default())
                .to_text(32)
                .contains("DUPLICATE")
        );
    }
}
