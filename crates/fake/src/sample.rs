//! Samples of what a terminal tells, with texts that a face must clean or quote.
use payterm_schema::{
    AccountId, Authority, Batch, Class, Currency, Device, DeviceKind, DeviceState, Fault, HostAnswer, Kind,
    Money, Outcome, Record, Request, RequestKey, RequestRecord, Screen, SelfTest, Stan, Status, Time,
    config::ExpiredKeys,
    emv_lists::{EmvLists, EmvSource, ListedAid, ListedKey, ListedTap, Origin, RevokedCertificate, Validity},
    host::{EntryMode, FieldView, FrameTrace, KeysVerdict, MacVerdict, Plan, ReversalReason},
    onboarding::{OfferShown, Problem},
    operator::{OperatorId, OperatorInfo, Operators, TerminalLock},
    outcome::{OriginalShown, Place, Reason, Sums},
    record::{Duty, Obligation, ObligationState},
    selftest::{Finding, Part},
    terminal::{BatchTotals, ExplainedEntry, Explanation},
    totals::{AccountTotals, Scope, Total, TotalsReport},
};
use std::sync::Arc;

/// Time of the samples: 2026-03-05 14:30:00 in China.
pub const AT: Time = Time(1_772_692_200_000);

pub fn key(app: &str, id: &str) -> RequestKey {
    RequestKey::new(app, id).unwrap()
}
pub fn account() -> AccountId {
    AccountId::new("unionpay").unwrap()
}

/// A sale of CNY 12.34.
pub fn request(id: &str) -> Request {
    Request {
        id: id.into(),
        kind: Kind::Sale,
        amount: Money::new(1234, Currency::CNY).ok(),
        auth_code: None,
        account: None,
        original: None,
        modes: Vec::new(),
        confirm: false,
        cancel_on_caller_lost: true,
        note: None,
    }
}

/// Outcome of a card payment with nearly every field filled; the texts are those of a terminal that speaks
/// Chinese, and of a shop that tries to colour the cashier's terminal.
pub fn outcome(key: RequestKey, txn: u64, status: Status, kind: Kind) -> Outcome {
    let reason = match status {
        Status::Declined => Some(Reason {
            text: "余额不足".into(),
            next: "请换一种付款方式 <&>".into(),
            ..Reason::new("host-51", Class::B)
        }),
        Status::Unknown => Some(Reason::new("no-reply", Class::E)),
        Status::Cancelled => Some(Reason::new("cancelled-by-customer", Class::B)),
        Status::Failed => Some(Reason::new("line-down", Class::E)),
        Status::Running | Status::Approved => None,
    };
    let sums = Sums { fee: Some(1), balance: Some(-5), ..Sums::new(Currency::CNY, Some(1234)) };
    let original = OriginalShown {
        of: None,
        txn: Some(1),
        key: Some(key.clone()),
        stan: Some(Stan::FIRST),
        batch: Some(Batch::FIRST),
        rrn: None,
        auth_code: None,
        date: None,
    };
    Outcome {
        status,
        authority: (status == Status::Approved).then_some(Authority::Host),
        reason,
        ended: status.is_final().then_some(Time(AT.0 + 21_000)),
        answer_by: (status == Status::Unknown).then_some(Time(AT.0 + 600_000)),
        place: Place {
            shop: "老王面馆\u{1b}[31m".into(), address: "1 Road".into(), city: "上海".into()
        },
        account: Some(account()),
        mid: Some("898310058120001".into()),
        tid: Some("20260001".into()),
        operator: "01".into(),
        entry: Some(EntryMode::Swipe),
        masked_pan: Some("622848******1234".into()),
        stan: Stan::new(118),
        batch: Batch::new(7),
        rrn: Some("606414000118".into()),
        auth_code: Some("A1B2C3".into()),
        host_date: Some("0305".into()),
        host_time: Some("143020".into()),
        host_texts: vec!["one".into(), "two".into()],
        pin: true,
        original: Some(original),
        note: Some("order 17".into()),
        journal: Some("8:ab".into()),
        test: true,
        ..Outcome::running(key, txn, kind, sums, AT)
    }
}

pub fn plan() -> Plan {
    Plan {
        kind: Kind::Sale,
        stan: Stan::new(118).unwrap(),
        batch: Batch::new(7).unwrap(),
        amount: Money::new(1234, Currency::CNY).ok(),
        mode: Some(EntryMode::Swipe),
        pin: true,
        track: true,
        fallback: false,
        wallet: None,
        expiry: None,
        card_sequence: Some(1),
        original: None,
        operator: "01".into(),
        at: AT,
        offset: Default::default(),
        auth_code: None,
        tip: None,
        scheme: None,
        settlement: None,
        offline_authority: None,
        icc: None,
        download: None,
    }
}

/// A reversal that a person must decide on.
pub fn stuck(txn: u64) -> Obligation {
    Obligation {
        txn,
        account: account(),
        state: ObligationState::Stuck,
        plan: plan(),
        reason: ReversalReason::NoReply,
        duty: Duty::Reverse,
        asking: None,
        left: true,
        had_left: true,
        sealed: Some(1),
        tries: 3,
        next_try: AT,
        last_code: Some("96".into()),
        since: AT,
        card: None,
        held: None,
        deadline: None,
    }
}
/// An advice that a manager keeps back.
pub fn held(txn: u64) -> Obligation {
    Obligation { state: ObligationState::Due, duty: Duty::Repeat, held: Some("boss".into()), ..stuck(txn) }
}
/// An advice that is tried.
pub fn due(txn: u64) -> Obligation {
    Obligation { held: None, next_try: Time(AT.0 + 60_000), ..held(txn) }
}

pub fn present() -> Screen {
    Screen::Present {
        kind: Kind::Sale,
        amount: Money::new(1234, Currency::CNY).ok(),
        modes: vec![EntryMode::Swipe, EntryMode::Code],
        problem: None,
    }
}

pub fn device(state: DeviceState) -> Device {
    Device {
        name: "front-reader".into(),
        kind: DeviceKind::MagneticReader,
        driver: "virtual".into(),
        state,
        health: "ok".into(),
        restarts: 2,
        is_virtual: true,
        confirms: None,
    }
}

/// A printer without paper, a clock that is right.
pub fn self_test() -> SelfTest {
    let items =
        vec![Finding::failed("paper-out").of(Part::Printer, "printer"), Finding::works().of(Part::Clock, "")];
    SelfTest::new(AT, items)
}

/// Faults, one of each, and `Busy` with and without the request that runs.
pub fn faults() -> Vec<Fault> {
    let s = || "text \"quoted\" 中".to_owned();
    vec![
        Fault::Invalid { field: "amount".into(), rule: s() },
        Fault::Busy { running: Some("order-1".into()) },
        Fault::Busy { running: None },
        Fault::KeyReused { id: s() },
        Fault::NotFound { what: "transaction".into(), name: s() },
        Fault::NotAllowed { rule: s() },
        Fault::TooLate { rule: s() },
        Fault::NotActivated,
        Fault::WrongState { rule: s() },
        Fault::NoAccount { currency: "JPY".into() },
        Fault::Original { rule: s() },
        Fault::NotLoggedOn,
        Fault::TerminalLocked,
        Fault::OperatorLocked { operator: "01".into() },
        Fault::NotDone { rule: s() },
        Fault::Management { problem: Problem::Signature, cause: s() },
        Fault::StoreFailed { id: "a".into(), cause: s() },
        Fault::JournalRestored { id: "a".into() },
        Fault::RequestLost { id: "a".into() },
        Fault::JournalDamaged { cause: s() },
        Fault::DiskFull { free_mib: 1, needed_mib: 2 },
        Fault::Restarting { part: "store".into() },
        Fault::ShuttingDown,
        Fault::Unreachable { cause: s() },
    ]
}

/// Three records: a frame that may leave, its refusal, and one of a newer terminal.
pub fn explanation(o: Outcome) -> Explanation {
    let view = |field: &str, name: &str, value: &str| FieldView {
        field: field.into(),
        name: name.into(),
        value: value.into(),
    };
    let trace = FrameTrace {
        sent: [view("F2", "PAN", "622848******1234")].into(),
        received: vec![view("F39", "response code", "51")],
    };
    let allowed = Record::Request(RequestRecord::Allowed {
        txn: o.txn,
        account: account(),
        plan: Box::new(plan()),
        view: Arc::new(o.clone()),
        owes: true,
        card: None,
    });
    let answered = Record::Request(RequestRecord::Answered {
        txn: o.txn,
        account: account(),
        stan: plan().stan,
        answer: Box::new(refusal()),
        due: None,
        trace,
    });
    let newer = serde_json::json!({"of_a_newer_terminal": {"a": null, "f": 1.5, "x": [null]}});
    let records = [allowed, answered].map(|r| serde_json::to_value(r).unwrap()).into_iter().chain([newer]);
    let entries = records.zip(1..).map(|(record, seq)| ExplainedEntry { seq, at: AT, record }).collect();
    Explanation { outcome: o, entries, slips: vec!["商户存根\n CNY 12.34\n".into()] }
}

fn refusal() -> HostAnswer {
    HostAnswer {
        code: "51".into(),
        mac: MacVerdict::Good,
        keys: KeysVerdict::None,
        amount: None,
        time: None,
        date: None,
        settlement_date: None,
        acquirer: None,
        rrn: None,
        auth_code: None,
        issuer_id: None,
        acquirer_id: None,
        balance: None,
        batch: None,
        scheme: None,
        texts: Vec::new(),
        fee: None,
        parameters: Vec::new(),
        settlement: None,
        icc: None,
        download: None,
        requirement: 0,
    }
}

pub fn report(scope: Scope) -> TotalsReport {
    let row = Total { scheme: "CUP".into(), kind: Kind::Sale, operator: "01".into(), count: 2, minor: 1234 };
    let account = AccountTotals {
        account: account(),
        currency: Currency::CNY,
        mid: "898310058120001".into(),
        tid: "20260001".into(),
        batch: Batch::new(7),
        since: Some(AT),
        rows: vec![row],
        debit_count: 2,
        debit_minor: 1234,
        credit_count: 0,
        credit_minor: 0,
    };
    let (shop, operator) = ("shop".into(), "01".into());
    TotalsReport { scope, shop, operator, until: AT, accounts: vec![account], test: false }
}

pub fn totals() -> BatchTotals {
    BatchTotals {
        account: account(),
        currency: Currency::CNY,
        batch: Batch::new(7),
        signed_in: true,
        debit_count: 1,
        debit_minor: 1234,
        credit_count: 0,
        credit_minor: 0,
        settling: false,
        open_obligations: 1,
        debit: "12.34".into(),
        credit: "0.00".into(),
    }
}

/// Operators of a locked terminal: one cashier, on duty.
pub fn operators() -> Operators {
    let id = OperatorId::first_cashier();
    let one = OperatorInfo {
        role: id.role(),
        operator: id.clone(),
        on_duty: true,
        locked: false,
        must_change: true,
        wrong: 1,
    };
    let lock = TerminalLock {
        since: AT,
        by: OperatorId::supervisor(),
        challenge: Some("13572468".into()),
        wrong: 1,
        not_before: Time(AT.0 + 30_000),
    };
    Operators { required: true, on_duty: Some(id), locked: Some(lock), operators: vec![one] }
}

pub fn offer() -> OfferShown {
    serde_json::from_value(serde_json::json!({
        "hash": "ab",
        "id": "o-1",
        "products": ["card", "scan"],
        "currency": "CNY",
        "settlement": "T+1",
        "text": "中 \"words\"\u{1b}[2J",
        "fees": [
            {"product": "card", "scheme": "CUP", "basis_points": 60, "min": "0.01 CNY", "max": "80.00 CNY"},
            {"product": "scan", "basis_points": 38}
        ]
    }))
    .unwrap()
}

/// Lists of a file and a download, with a key that has ended, and one that the host has replaced.
pub fn emv_lists() -> EmvLists {
    let file = Origin::File("/etc/payterm/emv-parameters.toml".into());
    let host = Origin::Host(account());
    let key = |index: &str, last_day: &str, validity, origin: &Origin, replaced| ListedKey {
        rid: "A000000333".into(),
        index: index.into(),
        bits: 1152,
        checksum: "0102030405060708090A0B0C0D0E0F1011121314".into(),
        last_day: Some(last_day.into()),
        validity,
        origin: origin.clone(),
        replaced,
    };
    EmvLists {
        sources: vec![
            EmvSource { origin: file.clone(), version: 3, sha256: "ab".repeat(32) },
            EmvSource { origin: host.clone(), version: 1, sha256: "cd".repeat(32) },
        ],
        unused: None,
        expired_keys: ExpiredKeys::Use,
        aids: vec![ListedAid {
            aid: "A000000333010101".into(),
            partial: true,
            version: "0030".into(),
            floor: 20_000,
            threshold: 0,
            target_percent: 0,
            most_percent: 99,
            denial: "0000000000".into(),
            online: "FC00000000".into(),
            default: "FC00000000".into(),
            online_pin: true,
            tap: Some(ListedTap { floor: 0, limit: 5_000_000, no_cvm: 100_000 }),
            origin: file.clone(),
            replaced: Vec::new(),
        }],
        keys: vec![
            key("02", "20241231", Validity::Ended, &file, Vec::new()),
            key("03", "20260331", Validity::Ends, &host, vec![file.clone()]),
        ],
        revoked: vec![RevokedCertificate {
            rid: "A000000333".into(),
            index: "02".into(),
            serial: "000123".into(),
        }],
    }
}
