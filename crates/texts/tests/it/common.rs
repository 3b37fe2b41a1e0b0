//! Outcomes to show.
use payterm_schema::{
    AccountId, Authority, Batch, Class, Currency, Kind, Outcome, RequestKey, Stan, Status, Time,
    config::Language,
    host::{EntryMode, Wallet},
    onboarding::{Onboarding, OnboardingSlip, Stage},
    outcome::{OriginalShown, Place, Reason, Sums},
    page::Printable,
    paper::{PaperContent, PaperJob, PaperKind},
    totals::{AccountTotals, Scope, Total, TotalsReport},
};
use payterm_texts::SlipContext;

/// 2026-03-05 14:30:00 in China.
pub const AT: Time = Time(1_772_692_200_000);

pub fn key(id: &str) -> RequestKey {
    RequestKey::new("till", id).expect("a good id")
}

/// A swiped sale with a PIN, approved.
pub fn sale() -> Outcome {
    Outcome {
        status: Status::Approved,
        authority: Some(Authority::Host),
        sums: Sums { fee: Some(741), balance: None, ..Sums::new(Currency::CNY, Some(123_450)) },
        ended: Some(Time(AT.0 + 21_000)),
        place: Place {
            shop: "\u{8001}\u{738b}\u{9762}\u{9986}".into(),
            address: "Nanjing Road 100".into(),
            city: "\u{4e0a}\u{6d77}".into(),
        },
        account: AccountId::new("main").ok(),
        mid: Some("898310058120001".into()),
        tid: Some("20260001".into()),
        operator: "01".into(),
        entry: Some(EntryMode::Swipe),
        masked_pan: Some("622848******1234".into()),
        stan: Stan::new(118),
        batch: Batch::new(7),
        rrn: Some("606414000118".into()),
        auth_code: Some("082164".into()),
        host_date: Some("0305".into()),
        host_time: Some("143018".into()),
        scheme: Some("CUP".into()),
        issuer: Some("01030000".into()),
        acquirer: Some("48023100".into()),
        pin: true,
        note: Some("table 4".into()),
        ..Outcome::running(key("order-17"), 42, Kind::Sale, Sums::new(Currency::CNY, None), AT)
    }
}

pub fn signed_sale() -> Outcome {
    Outcome {
        pin: false,
        host_texts: vec!["\u{53d1}\u{5361}\u{884c}\u{79ef}\u{5206} 12".into()],
        test: true,
        ..sale()
    }
}

pub fn code_sale() -> Outcome {
    Outcome {
        entry: Some(EntryMode::Code),
        wallet: Some(Wallet::Wechat),
        masked_pan: Some("13************7788".into()),
        pin: false,
        auth_code: None,
        issuer: None,
        scheme: None,
        note: None,
        journal: None,
        ..sale()
    }
}

pub fn void() -> Outcome {
    let original = OriginalShown {
        of: None,
        txn: Some(42),
        key: Some(key("order-17")),
        stan: Some(Stan::FIRST),
        batch: Some(Batch::FIRST),
        rrn: Some("606414000118".into()),
        auth_code: Some("082164".into()),
        date: Some("0305".into()),
    };
    Outcome {
        kind: Kind::Void,
        original: Some(original),
        stan: Stan::new(119),
        auth_code: None,
        sums: Sums { fee: None, ..sale().sums },
        ..sale()
    }
}

pub fn unknown() -> Outcome {
    Outcome {
        status: Status::Unknown,
        authority: None,
        reason: Some(Reason::new("no-reply", Class::E)),
        answer_by: Some(Time(AT.0 + 600_000)),
        ended: None,
        rrn: None,
        auth_code: None,
        host_date: None,
        host_time: None,
        sums: Sums { fee: None, ..sale().sums },
        ..sale()
    }
}

pub fn declined() -> Outcome {
    Outcome {
        status: Status::Declined,
        authority: None,
        auth_code: None,
        reason: Some(Reason::new("host-51", Class::C)),
        ..sale()
    }
}

pub fn balance() -> Outcome {
    Outcome {
        kind: Kind::Balance,
        sums: Sums { fee: None, balance: Some(-1_234_567), ..Sums::new(Currency::CNY, None) },
        note: None,
        ..sale()
    }
}

pub fn job(kind: PaperKind, outcome: Outcome) -> PaperJob {
    PaperJob::new(1, kind, 0, PaperContent::Outcome(outcome.into()))
}

pub fn context(language: Language) -> SlipContext {
    SlipContext {
        language,
        zone: payterm_schema::zone::Zone::default(),
        not_before: payterm_schema::Time(0),
        host_offset_minutes: 480,
        service_phone: "95516".into(),
        qr: "payterm:{mid}:{tid}:{batch}:{stan}:{rrn}".into(),
        invoice_qr: String::new(),
        duplicate: false,
        acquirer_name: String::new(),
    }
}

pub fn refund() -> Outcome {
    Outcome { kind: Kind::Refund, sums: Sums { amount: Some(5000), ..void().sums }, ..void() }
}

/// 20.00 on top of the sale.
pub fn tip() -> Outcome {
    Outcome {
        kind: Kind::TipAdjust,
        sums: Sums { amount: Some(125_450), tip: Some(2000), ..sale().sums },
        original: void().original,
        pin: false,
        ..sale()
    }
}

pub fn no_cvm() -> Outcome {
    Outcome {
        pin: false,
        no_cvm: Some(100_000),
        sums: Sums { amount: Some(1800), ..sale().sums },
        entry: Some(EntryMode::Contactless),
        ..sale()
    }
}

pub fn own(kind: PaperKind, content: PaperContent) -> PaperJob {
    PaperJob::new(1, kind, 0, content)
}
pub fn composed(json: &str) -> PaperContent {
    Printable::parse(json).expect("a good paper").into()
}

pub fn report(scope: Scope) -> TotalsReport {
    let mut rows = Vec::new();
    for (scheme, kind, operator, minor) in [
        ("CUP", Kind::Sale, "01", 123_450),
        ("CUP", Kind::Sale, "02", 100),
        ("VIS", Kind::Refund, "01", 5000),
        ("wechat", Kind::Sale, "01", 1800),
        ("*", Kind::Sale, "*", 7),
    ] {
        Total::add(&mut rows, scheme, kind, operator, minor);
    }
    let account = |id: &str, rows| AccountTotals {
        account: AccountId::new(id).expect("a good id"),
        currency: Currency::CNY,
        mid: "898310058120001".into(),
        tid: "20260001".into(),
        batch: Batch::new(7),
        since: Some(AT),
        rows,
        debit_count: 4,
        debit_minor: 125_357,
        credit_count: 1,
        credit_minor: 5000,
    };
    let until = Time(AT.0 + 3_600_000);
    TotalsReport {
        scope,
        shop: "老王面馆".into(),
        operator: "01".into(),
        until,
        accounts: vec![account("main", rows), account("second", Vec::new())],
        test: true,
    }
}

/// Every kind of line.
pub const PAGE: &str = concat!(
    r##"{"page":{"lines":[{"type":"text","text":"老王面馆","align":"center","size":"double","##,
    r##""bold":true},{"type":"rule"},"##,
    r##"{"type":"columns","cells":[{"text":"牛肉面(大碗,不要香菜)","width":6},"##,
    r##"{"text":"2","align":"right","width":2},{"text":"36.00","align":"right","width":4}]},"##,
    r##"{"type":"columns","bold":true,"cells":[{"text":"Total"},"##,
    r##"{"text":"36.00","align":"right"}]},"##,
    r##"{"type":"barcode","symbology":"code128","content":"ORDER-{17}"},"##,
    r##"{"type":"barcode","symbology":"code128","content":"20260305143018"},"##,
    r##"{"type":"barcode","symbology":"ean13","content":"4006381333931"},"##,
    r##"{"type":"qr","content":"https://shop.example/t/4"},"##,
    r##"{"type":"image","png":"iVBORw0KGgoAAAANSUhEUgAAABQAAAAIAQAAAADR5uJAAAAAE0lEQVR42mMIDeVnWLW"##,
    r##"KnwEHDQCFVAhxnz1G9QAAAABJRU5ErkJggg=="},{"type":"feed","lines":2}]}}"##,
);
pub const INVOICE: &str = concat!(
    r##"{"invoice":{"title":"上海某某科技有限公司","tax_number":"91310000MA1FL1ABCD","currency":"CNY","##,
    r##""lines":[{"name":"牛肉面","quantity":"2","amount":"30.00"},"##,
    r##"{"name":"茶","amount":"4.50"}],"tax":"1.95","total":"34.50","payment":"order-17","##,
    r##""note":"table 4"}}"##,
);
/// Images of 400 and 577 dots.
pub const WIDE: [&str; 2] = [
    "iVBORw0KGgoAAAANSUhEUgAAAZAAAAAIAQAAAAD/hpT7AAAADklEQVR42mNgGAWDEQAAAZgAAZTx3ZkAAAAASUVORK5CYII=",
    "iVBORw0KGgoAAAANSUhEUgAAAkEAAAAIAQAAAADWtxaNAAAAD0lEQVR42mNgGAWjgHoAAAJQAAGfu4sOAAAAAElFTkSuQmCC",
];

/// Onboarding with every field, and a name that tries to command the printer.
pub fn onboarding(stage: Stage) -> PaperJob {
    let json = r#"{"id":"0123456789abcdef0123456789abcdef","revision":2,"stage":"draft","since":1772692200000,
        "draft":{"name":"老王面馆\u001b@","legal_name":"上海老王餐饮有限公司","licence":"91310000MA1FL0AA0X",
            "address":"人民路 1 号","city":"上海",
            "category":"5411","contact":"王小明","phone":"021-5555","email":"wang@example.cn",
                "products":["card","scan"]},
        "accepted":{"hash":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "at":1772692200000,"by":"owner",
            "offer":{"id":"demo-2026","products":["card","scan"],"currency":"CNY","settlement":"T+1",
                "text":"",
                "fees":[{"product":"card","scheme":"CUP","basis_points":60,
                        "min":"0.01 CNY","max":"80.00 CNY"},
                    {"product":"scan","wallet":"alipay","basis_points":38}]},
            "terms":{"text":"","signature":""}},
        "parameters":{"accounts":[{"id":"cup2","profile":"unionpay","mid":"TESTMERCHANT001",
            "tid":"TEST0002","currency":"CNY",
            "address":"127.0.0.1:1","settlement":"T+1"}]}}"#;
    let mut onboarding: Onboarding = serde_json::from_str(json).expect("onboarding");
    onboarding.stage = stage;
    onboarding.reason = (stage == Stage::Rejected).then(|| "licence not readable".into());
    PaperJob::new(
        1,
        PaperKind::OnboardingSlip,
        0,
        PaperContent::Onboarding(Box::new(OnboardingSlip { onboarding, test: true })),
    )
}
