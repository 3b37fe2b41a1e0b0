//! Outcomes on which a shop's template is tried before it is used: with everything known, and with next to
//! nothing.
use crate::SlipContext;
use payterm_schema::{
    Authority, Batch, Class, Currency, Kind, Outcome, RequestKey, Stan, Status, Time,
    config::Language,
    host::{EntryMode, Wallet},
    outcome::{Chip, Cryptogram, OriginalShown, Place, Reason, Sums},
    paper::PaperKind,
    zone::Zone,
};

pub(crate) fn context() -> SlipContext {
    SlipContext {
        language: Language::En,
        zone: Zone::default(),
        not_before: Time(0),
        host_offset_minutes: 480,
        service_phone: "95516".into(),
        qr: "{rrn}".into(),
        invoice_qr: "{rrn}".into(),
        duplicate: true,
        acquirer_name: String::new(),
    }
}

fn bare(kind: Kind, status: Status) -> Outcome {
    let key = RequestKey { app: "till".into(), id: "order-17".into() };
    Outcome {
        status,
        operator: "01".into(),
        ..Outcome::running(key, 17, kind, Sums::new(Currency::CNY, None), Time(1_772_692_200_000))
    }
}

/// Everything that an outcome can know.
pub(crate) fn full(kind: Kind, status: Status) -> Outcome {
    let text = |t: &str| Some(t.to_owned());
    let bare = bare(kind, status);
    let key = bare.key.clone();
    Outcome {
        authority: Some(Authority::Host),
        reason: Some(Reason::new("host-51", Class::C)),
        sums: Sums {
            fee: Some(12_345),
            balance: Some(-1),
            tip: Some(1),
            asked: Some(999_999_999_999),
            ..Sums::new(Currency::CNY, Some(999_999_999_999))
        },
        ended: Some(bare.started),
        answer_by: Some(bare.started),
        place: Place {
            shop: "\u{6d4b}\u{8bd5}\u{5546}\u{6237}".into(),
            address: "Nanjing Road 100".into(),
            city: "\u{4e0a}\u{6d77}".into(),
        },
        mid: text("898310058120001"),
        tid: text("20260001"),
        entry: Some(EntryMode::Swipe),
        wallet: Some(Wallet::Wechat),
        masked_pan: text("622848******1234"),
        stan: Stan::new(118),
        batch: Batch::new(7),
        rrn: text("606414000118"),
        auth_code: text("082164"),
        host_date: text("0305"),
        host_time: text("143018"),
        scheme: text("CUP"),
        issuer: text("01030000"),
        acquirer: text("48023100"),
        host_texts: vec!["\u{53d1}\u{5361}\u{884c}\u{4fe1}\u{606f}".into(); 4],
        pin: true,
        chip: Some(Box::new(Chip {
            aid: "A000000333010101".into(),
            label: "PBOC DEBIT".into(),
            sequence: Some(1),
            cryptogram: text("4862275A618BB738"),
            cryptogram_kind: Some(Cryptogram::Tc),
            atc: Some(28),
            tvr: text("0000008000"),
            tsi: text("E800"),
            sign: true,
            pin: false,
        })),
        original: Some(OriginalShown {
            of: None,
            txn: Some(1),
            key: Some(key),
            stan: Some(Stan::FIRST),
            batch: Some(Batch::FIRST),
            rrn: text("606414000001"),
            auth_code: text("082161"),
            date: text("0305"),
        }),
        voided: true,
        note: text("table 4"),
        no_cvm: Some(100_000),
        test: true,
        ..bare
    }
}

/// Every kind with every status on every paper.
pub(crate) fn all() -> Vec<(PaperKind, Outcome)> {
    let papers = [
        PaperKind::MerchantCopy,
        PaperKind::CustomerCopy,
        PaperKind::UnknownSlip,
        PaperKind::StuckSlip,
        PaperKind::BalanceSlip,
    ];
    let statuses = [Status::Approved, Status::Declined, Status::Unknown];
    let all = papers
        .into_iter()
        .flat_map(|p| Kind::ALL.into_iter().flat_map(move |k| statuses.into_iter().map(move |s| (p, k, s))));
    all.flat_map(|(p, k, s)| [(p, full(k, s)), (p, bare(k, s))]).collect()
}
