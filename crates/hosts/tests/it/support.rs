//! A MAC and a PIN block of the tests' own, on the `des` crate, and the cases of the golden frames.
use cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use payterm_schema::account::{Batch, Stan};
use payterm_schema::download::{EmvAid, EmvAnswer, EmvAsk, EmvKey, EmvList, EmvName, EmvRow};
use payterm_schema::host::{
    CardSecrets, EntryMode, HostAnswer, KeysVerdict, MacVerdict, MessageKind, OriginalRef, Plan,
    ReversalReason, Wallet,
};
use payterm_schema::icc::{Icc, Tag};
use payterm_schema::kind::AmountRule;
use payterm_schema::offline::OfflineAuthority;
use payterm_schema::secret::{MacAlgorithm, MacError, MacValue, Pan, PaymentCode, PinBlock, Tracks};
use payterm_schema::settlement::{BatchPart, Half, Halves, UploadRecord};
use payterm_schema::{Currency, Kind, Mac, Money, Time};

pub const PAN: &str = "6222021234567890128";
pub const TRACK2: &str = "6222021234567890128=30122011234567890";
pub const TYPED: &str = "6228480402564890018";
pub const PIN: &str = "123456";
pub const CODE: &str = "134567890123456789";
pub const PIK: &str = "807A23AD32B36D457AE91FDF927570EA";
pub const MAK: &str = "5BB5C72CD00B7338";
pub const MAK16: &str = "2315208C9110AD402315208C9110AD41";
pub const TMK: &str = "CA5D92598DCA48CE8A4C76361A9269E9";
/// Public vector of host-protocol §4.
pub const KEYS: &str = "6701EAD6A9AD51E51AA406E2C27FCFA98D0A74B8B651F9E9BACE9AE10000000000000000AB7153CA";

fn bytes<const N: usize>(key: &[u8]) -> [u8; N] {
    key.try_into().unwrap()
}
pub fn encrypt(key: &[u8], block: [u8; 8]) -> [u8; 8] {
    let mut b = block.into();
    if key.len() == 8 {
        des::Des::new(&bytes::<8>(key).into()).encrypt_block(&mut b);
    } else {
        des::TdesEde2::new(&bytes::<16>(key).into()).encrypt_block(&mut b);
    }
    b.into()
}
fn decrypt8(key: &[u8], block: [u8; 8]) -> [u8; 8] {
    let mut b = block.into();
    des::Des::new(&bytes::<8>(key).into()).decrypt_block(&mut b);
    b.into()
}
fn xor(a: [u8; 8], b: [u8; 8]) -> [u8; 8] {
    std::array::from_fn(|i| a[i] ^ b[i])
}

pub struct TestMac(pub Vec<u8>);
impl TestMac {
    pub fn new(key: &str) -> Self {
        Self(hex::decode(key).unwrap())
    }
}
impl Mac for TestMac {
    fn mac(&self, algorithm: MacAlgorithm, data: &[u8]) -> Result<MacValue, MacError> {
        let mut padded = data.to_vec();
        padded.resize(data.len().div_ceil(8) * 8, 0);
        let blocks = padded.as_chunks::<8>().0;
        let value: [u8; 8] = match algorithm {
            MacAlgorithm::UnionpayEcb => {
                let r = hex::encode_upper(blocks.iter().fold([0; 8], |r, b| xor(r, *b)));
                let half = |i: usize| bytes::<8>(&r.as_bytes()[i..i + 8]);
                let out = encrypt(&self.0, xor(encrypt(&self.0, half(0)), half(8)));
                bytes(hex::encode_upper(&out[..4]).as_bytes())
            }
            MacAlgorithm::X9_9 => blocks.iter().fold([0; 8], |r, b| encrypt(&self.0[..8], xor(r, *b))),
            MacAlgorithm::X9_19 => {
                let r = blocks.iter().fold([0; 8], |r, b| encrypt(&self.0[..8], xor(r, *b)));
                encrypt(&self.0[..8], decrypt8(&self.0[8..], r))
            }
        };
        Ok(MacValue::new(&value))
    }
    fn verify(&self, algorithm: MacAlgorithm, data: &[u8], mac: &[u8]) -> Result<bool, MacError> {
        Ok(self.mac(algorithm, data)?.reveal() == mac)
    }
}
pub struct NoKey;
impl Mac for NoKey {
    fn mac(&self, _: MacAlgorithm, _: &[u8]) -> Result<MacValue, MacError> {
        Err(MacError::NoKey)
    }
    fn verify(&self, _: MacAlgorithm, _: &[u8], _: &[u8]) -> Result<bool, MacError> {
        Err(MacError::NoKey)
    }
}

/// ISO 9564-1 format 0.
pub fn pin_block(pin: &str, pan: &str) -> PinBlock {
    let p = bytes::<8>(&hex::decode(format!("{:02}{pin:F<14}", pin.len())).unwrap());
    let a = bytes::<8>(&hex::decode(format!("0000{}", &pan[pan.len() - 13..pan.len() - 1])).unwrap());
    PinBlock::iso0(encrypt(&hex::decode(PIK).unwrap(), xor(p, a)))
}

pub fn station(test: bool) -> payterm_hosts::Station {
    payterm_hosts::Station {
        mid: "104110045110012".into(),
        tid: "00008888".into(),
        currency: Currency::CNY,
        nii: Default::default(),
        test,
    }
}
pub fn key(profile: &str) -> &'static str {
    if profile == "unionpay" { MAK } else { MAK16 }
}

pub fn plan(kind: Kind, mode: impl Into<Option<EntryMode>>) -> Plan {
    let mode = mode.into();
    Plan {
        kind,
        stan: Stan::new(123).unwrap(),
        batch: Batch::new(7).unwrap(),
        amount: (kind.row().amount != AmountRule::None).then(|| Money::new(123_456, Currency::CNY).unwrap()),
        mode,
        pin: false,
        track: false,
        wallet: (mode == Some(EntryMode::Code)).then_some(Wallet::Wechat),
        expiry: None,
        fallback: false,
        card_sequence: None,
        original: None,
        operator: "01".into(),
        at: Time(1_795_446_000_000),
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

/// A request of each kind, with the secrets that its request and its reversal have.
pub struct Case {
    pub name: &'static str,
    pub message_kind: MessageKind,
    pub plan: Plan,
    pub secrets: CardSecrets,
    pub pan: Option<&'static str>,
    pub pin: Option<&'static str>,
}

pub fn swiped() -> (Plan, CardSecrets) {
    let plan = Plan { pin: true, track: true, ..plan(Kind::Sale, EntryMode::Swipe) };
    let mut tracks = Tracks::default();
    tracks.track2 = Some(TRACK2.into());
    (
        plan,
        CardSecrets { tracks: Some(tracks), pin_block: Some(pin_block(PIN, PAN)), ..CardSecrets::default() },
    )
}

pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    let mut all_legs = Vec::new();
    let mut add = |name, reversal, plan: Plan, secrets: CardSecrets, pan: Option<&'static str>, pin| {
        let message_kind = MessageKind::Request;
        let sealed = CardSecrets { pan: pan.map(|p| Pan::parse(p).unwrap()), ..CardSecrets::default() };
        all.push(Case { name, message_kind, plan: plan.clone(), secrets, pan, pin });
        if let Some((name, reason)) = reversal {
            all.push(Case {
                name,
                message_kind: MessageKind::Reversal(reason),
                plan,
                secrets: sealed,
                pan,
                pin: None,
            });
        }
    };
    let (sale, secrets) = swiped();
    let no_pin = CardSecrets { pin_block: None, ..secrets.clone() };
    add(
        "sale-swipe-pin",
        Some(("reversal-sale-swipe-pin", ReversalReason::NoReply)),
        sale.clone(),
        secrets.clone(),
        Some(PAN),
        Some(PIN),
    );
    add(
        "sale-swipe",
        Some(("reversal-sale-swipe", ReversalReason::BadMac)),
        Plan { pin: false, ..sale.clone() },
        no_pin.clone(),
        Some(PAN),
        None,
    );
    let typed = CardSecrets {
        pan: Some(Pan::parse(TYPED).unwrap()),
        pin_block: Some(pin_block(PIN, TYPED)),
        ..CardSecrets::default()
    };
    let plan_typed = Plan { pin: true, expiry: Some("3012".into()), ..plan(Kind::Sale, EntryMode::Manual) };
    add(
        "sale-typed",
        Some(("reversal-sale-typed", ReversalReason::TerminalFault)),
        plan_typed,
        typed,
        Some(TYPED),
        Some(PIN),
    );
    let fallback = Plan { pin: false, fallback: true, ..sale.clone() };
    add("sale-fallback", None, fallback, no_pin.clone(), Some(PAN), None);
    chips(&mut add);
    let code = CardSecrets { code: Some(PaymentCode::parse(CODE).unwrap()), ..CardSecrets::default() };
    let code_plan = plan(Kind::Sale, EntryMode::Code);
    add(
        "sale-code",
        Some(("reversal-sale-code", ReversalReason::NoReply)),
        code_plan.clone(),
        code,
        None,
        None,
    );
    let original = OriginalRef {
        batch: Batch::new(7),
        stan: Stan::new(99),
        date: Some("1123".into()),
        rrn: Some("231123000099".into()),
        auth_code: Some("A1B2C3".into()),
    };
    let void =
        Plan { kind: Kind::Void, pin: false, track: false, original: Some(original.clone()), ..sale.clone() };
    let sealed = CardSecrets { pan: Some(Pan::parse(PAN).unwrap()), ..CardSecrets::default() };
    add(
        "void",
        Some(("reversal-void", ReversalReason::NoReply)),
        void.clone(),
        sealed.clone(),
        Some(PAN),
        None,
    );
    let void_code = Plan {
        kind: Kind::Void,
        original: Some(OriginalRef { auth_code: None, ..original.clone() }),
        ..code_plan
    };
    add(
        "void-code",
        Some(("reversal-void-code", ReversalReason::Other)),
        void_code,
        CardSecrets::default(),
        None,
        None,
    );
    let balance = Plan { kind: Kind::Balance, amount: None, ..sale.clone() };
    add("balance", None, balance, secrets.clone(), Some(PAN), Some(PIN));

    // The authorisations: swiped, with a PIN where the kind has one; `of` names the original.
    let no_reply = |name| Some((name, ReversalReason::NoReply));
    let of = |kind, pin| Plan { kind, pin, original: Some(original.clone()), ..sale.clone() };
    add(
        "pre-auth",
        no_reply("reversal-pre-auth"),
        Plan { kind: Kind::PreAuth, ..sale.clone() },
        secrets.clone(),
        Some(PAN),
        Some(PIN),
    );
    add(
        "pre-auth-cancel",
        no_reply("reversal-pre-auth-cancel"),
        of(Kind::PreAuthCancel, true),
        secrets.clone(),
        Some(PAN),
        Some(PIN),
    );
    add(
        "completion",
        no_reply("reversal-completion"),
        of(Kind::Completion, true),
        secrets.clone(),
        Some(PAN),
        Some(PIN),
    );
    let foreign = OriginalRef { batch: None, stan: None, rrn: None, ..original.clone() };
    let of_elsewhere = Plan { original: Some(foreign), ..of(Kind::Completion, true) };
    add(
        "completion-elsewhere",
        no_reply("reversal-completion-elsewhere"),
        of_elsewhere,
        secrets.clone(),
        Some(PAN),
        Some(PIN),
    );
    let cancel = Plan { track: false, ..of(Kind::CompletionCancel, false) };
    add("completion-cancel", no_reply("reversal-completion-cancel"), cancel, sealed.clone(), Some(PAN), None);
    let refund = Plan { scheme: Some("CUP".into()), ..of(Kind::Refund, false) };
    add("refund", None, refund.clone(), no_pin.clone(), Some(PAN), None);
    let refund_code = Plan {
        mode: Some(EntryMode::Code),
        track: false,
        scheme: Some("000".into()),
        wallet: Some(Wallet::Wechat),
        ..refund
    };
    add("refund-code", None, refund_code, CardSecrets::default(), None, None);
    for (name, again, plan, secrets) in [
        // Sent again from disk, where no track is kept: F2 and F14 from the first time on.
        (
            "completion-advice",
            "repeat-completion-advice",
            Plan { track: false, expiry: Some("3012".into()), ..of(Kind::CompletionAdvice, false) },
            &sealed,
        ),
        (
            "tip-adjust",
            "repeat-tip-adjust",
            Plan { track: false, tip: Some(12_345), ..of(Kind::TipAdjust, false) },
            &sealed,
        ),
        (
            "voice-sale",
            "repeat-voice-sale",
            Plan { kind: Kind::VoiceSale, pin: false, auth_code: Some("V4C0D3".into()), ..sale.clone() },
            &no_pin,
        ),
    ] {
        add(name, None, plan.clone(), secrets.clone(), Some(PAN), None);
        all_legs.push(Case {
            name: again,
            message_kind: MessageKind::Repeat,
            plan,
            secrets: secrets.clone(),
            pan: Some(PAN),
            pin: None,
        });
    }
    let part = |part| Plan { settlement: Some(Box::new(part)), ..plan(Kind::Settlement, None) };
    let half = |minor| Half { debit_minor: minor, debit_count: 3, credit_minor: 100, credit_count: 1 };
    let halves = Halves { domestic: half(123_456), foreign: half(7_000) };
    add("settlement", None, part(BatchPart::Totals(halves)), CardSecrets::default(), None, None);
    let record = |n: u32, sealed: Option<u64>| UploadRecord {
        txn: n.into(),
        stan: Stan::new(n).unwrap(),
        foreign: n.is_multiple_of(2),
        minor: 100 * u64::from(n),
        sealed,
    };
    let list = vec![record(5, Some(5)), record(6, None)];
    let pans = CardSecrets { pans: vec![Some(Pan::parse(PAN).unwrap()), None], ..CardSecrets::default() };
    add("upload", None, part(BatchPart::List(list)), pans.clone(), None, None);
    for (name, kind) in [
        ("upload-refund", Kind::Refund),
        ("upload-voice-sale", Kind::VoiceSale),
        ("upload-offline-sale", Kind::Sale),
        ("upload-tip-adjust", Kind::TipAdjust),
        ("upload-completion-advice", Kind::CompletionAdvice),
    ] {
        let one = Plan {
            amount: Some(Money::new(123_456, Currency::CNY).unwrap()),
            mode: Some(EntryMode::Swipe),
            original: Some(original.clone()),
            scheme: Some("CUP".into()),
            ..part(BatchPart::One { kind, record: record(99, Some(99)) })
        };
        add(name, None, one, pans.clone(), Some(PAN), None);
    }
    for (name, balanced, unauthenticated) in [
        ("upload-certificate-balanced", true, false),
        ("upload-certificate", false, false),
        ("upload-unauthenticated-balanced", true, true),
        ("upload-unauthenticated", false, true),
    ] {
        let record = UploadRecord { foreign: unauthenticated, ..record(98, Some(98)) };
        let one = Plan {
            amount: Some(Money::new(123_456, Currency::CNY).unwrap()),
            mode: Some(EntryMode::Chip),
            pin: true,
            card_sequence: Some(1),
            icc: Icc::parse(&hex::decode(ENDED).unwrap()).ok(),
            original: Some(original.clone()),
            ..part(BatchPart::Certificate { record, balanced, unauthenticated })
        };
        add(name, None, one, pans.clone(), Some(PAN), None);
    }
    add(
        "upload-end",
        None,
        part(BatchPart::End { records: 12, balanced: false }),
        CardSecrets::default(),
        None,
        None,
    );
    add(
        "upload-end-balanced",
        None,
        part(BatchPart::End { records: 0, balanced: true }),
        CardSecrets::default(),
        None,
        None,
    );
    let query = Plan { amount: None, original: Some(original), ..plan(Kind::Sale, EntryMode::Code) };
    let icc = Icc::parse(&hex::decode(ENDED).unwrap()).ok();
    // The host had approved, the card refused.
    let refused = Plan {
        pin: true,
        auth_code: Some("X9Y8Z7".into()),
        icc: icc.clone(),
        ..plan(Kind::Sale, EntryMode::Chip)
    };
    all_legs.push(Case {
        name: "reversal-sale-chip-refused",
        message_kind: MessageKind::Reversal(ReversalReason::Other),
        plan: Plan { card_sequence: Some(1), ..refused.clone() },
        secrets: CardSecrets { pan: Pan::parse(TYPED).ok(), ..CardSecrets::default() },
        pan: Some(TYPED),
        pin: None,
    });
    let named = query.original.clone();
    for (name, message_kind) in
        [("card-sale", MessageKind::Request), ("repeat-card-sale", MessageKind::Repeat)]
    {
        let approved = Plan { offline_authority: Some(OfflineAuthority::Card), ..refused.clone() };
        all_legs.push(Case {
            name,
            message_kind,
            plan: Plan { pin: false, auth_code: None, card_sequence: Some(1), ..approved },
            secrets: CardSecrets { pan: Pan::parse(TYPED).ok(), ..CardSecrets::default() },
            pan: Some(TYPED),
            pin: None,
        });
    }
    all_legs.push(Case {
        name: "script-result",
        message_kind: MessageKind::ScriptResult,
        plan: Plan { card_sequence: Some(1), original: named, icc, ..plan(Kind::Sale, EntryMode::Chip) },
        secrets: CardSecrets { pan: Pan::parse(TYPED).ok(), ..CardSecrets::default() },
        pan: Some(TYPED),
        pin: None,
    });
    all_legs.push(Case {
        name: "query",
        message_kind: MessageKind::Query,
        plan: query,
        secrets: CardSecrets::default(),
        pan: None,
        pin: None,
    });
    add("parameters", None, plan(Kind::Parameters, None), CardSecrets::default(), None, None);
    for (name, ask) in emv_asks() {
        let download = Plan { download: Some(ask), ..plan(Kind::Parameters, None) };
        add(name, None, download, CardSecrets::default(), None, None);
    }
    add("status-upload", None, plan(Kind::StatusUpload, None), CardSecrets::default(), None, None);
    add("sign-in", None, plan(Kind::SignIn, None), CardSecrets::default(), None, None);
    add("sign-off", None, plan(Kind::SignOff, None), CardSecrets::default(), None, None);
    add("echo", None, plan(Kind::Echo, None), CardSecrets::default(), None, None);
    all.extend(all_legs);
    all
}

/// Data that a card gave, of its request and of its end.
const ARQC: &str = "9F2608A1B2C3D4E5F607189F2701809F100807010103A00000009F370411223344\
    9F3602001B950500000080009A032612029C01009F02060000001234565F2A02015682027C009F1A020156\
    9F03060000000000009F3303E0F8C89F34034203009F3501229F1E083132333435363738\
    8407A00000033301019F090200309F410400000007";
const ENDED: &str = "9F260811223344556677889F2701409F100807010103600000009F370411223344\
    9F3602001B950500000080009A0326120282027C009F1A0201569F3303E0F8C89F1E083132333435363738DF31052000000071";

fn chips(
    add: &mut impl FnMut(
        &'static str,
        Option<(&'static str, ReversalReason)>,
        Plan,
        CardSecrets,
        Option<&'static str>,
        Option<&'static str>,
    ),
) {
    let icc = |text: &str| Some(Icc::parse(&hex::decode(text).unwrap()).unwrap());
    let chip = |kind, mode, pin, icc| Plan {
        pin,
        icc,
        expiry: Some("3012".into()),
        card_sequence: Some(1),
        ..plan(kind, mode)
    };
    let pan = CardSecrets { pan: Pan::parse(TYPED).ok(), ..CardSecrets::default() };
    let both = CardSecrets { pin_block: Some(pin_block(PIN, TYPED)), ..pan.clone() };
    let no_reply = |name| Some((name, ReversalReason::NoReply));
    let sale = chip(Kind::Sale, EntryMode::Chip, true, icc(ARQC));
    add("sale-chip-pin", no_reply("reversal-sale-chip-pin"), sale, both.clone(), Some(TYPED), Some(PIN));
    let tap = chip(Kind::Sale, EntryMode::Contactless, false, icc(ARQC));
    add("sale-contactless", no_reply("reversal-sale-contactless"), tap, pan.clone(), Some(TYPED), None);
    let held = chip(Kind::PreAuth, EntryMode::Chip, true, icc(ARQC));
    add("pre-auth-chip", no_reply("reversal-pre-auth-chip"), held, both.clone(), Some(TYPED), Some(PIN));
    let balance = Plan { amount: None, ..chip(Kind::Balance, EntryMode::Chip, true, icc(ARQC)) };
    add("balance-chip", None, balance, both, Some(TYPED), Some(PIN));
}

/// A key of UnionPay, index 01, as it is published in the form of a 370.
pub const CA_KEY: &str = include_str!("../../../engine/tests/it/chip/ca-key.hex");

pub fn emv_key() -> EmvKey {
    let tlv = hex::decode(CA_KEY.trim()).unwrap();
    let own = payterm_schema::icc::elements(&tlv).unwrap();
    let value = |tag: u32| own.iter().find(|(t, _)| Some(*t) == Tag::new(tag)).unwrap().1.clone();
    EmvKey {
        rid: value(0x9F06).try_into().unwrap(),
        index: value(0x9F22)[0],
        expiry: String::from_utf8(value(0xDF05)).unwrap(),
        modulus: value(0xDF02),
        exponent: value(0xDF04),
        checksum: value(0xDF03).try_into().unwrap(),
    }
}

pub fn emv_aid() -> EmvAid {
    EmvAid {
        aid: hex::decode("A000000333010101").unwrap(),
        partial: true,
        version: [0x00, 0x30],
        default: [0xFC, 0x78, 0xFC, 0xF8, 0xF0],
        online: [0xFC, 0x78, 0xFC, 0xF8, 0xF0],
        denial: [0x00, 0x10, 0, 0, 0],
        floor: 5_000,
        threshold: 2_000,
        most: 99,
        target: 10,
        ddol: vec![0x9F, 0x37, 0x04],
        online_pin: true,
        cash_limit: None,
        tap_floor: Some(0),
        tap_limit: Some(10_000_000),
        tap_no_cvm: Some(100_000),
    }
}

/// The messages of a download.
pub fn emv_asks() -> [(&'static str, EmvAsk); 6] {
    let list = |of, received| EmvAsk::List { of, received };
    [
        ("emv-key-list", list(EmvList::Keys, 0)),
        ("emv-key", EmvAsk::Entry { name: emv_key().name() }),
        ("emv-key-end", EmvAsk::End { of: EmvList::Keys }),
        ("emv-aid-list", list(EmvList::Aids, 16)),
        ("emv-aid", EmvAsk::Entry { name: emv_aid().name() }),
        ("emv-aid-end", EmvAsk::End { of: EmvList::Aids }),
    ]
}

/// What a host answers to one; none: its code is all.
pub fn emv_answer(ask: &EmvAsk) -> Option<EmvAnswer> {
    let (key, aid) = (emv_key(), emv_aid());
    Some(match ask {
        EmvAsk::List { of: EmvList::Keys, .. } => {
            let rows = vec![EmvRow { name: key.name(), expiry: Some(key.expiry) }];
            EmvAnswer::Page { more: true, rows }
        }
        EmvAsk::List { of: EmvList::Aids, .. } => {
            let other = EmvName::Aid { aid: hex::decode("A000000333010102").unwrap() };
            let rows = [aid.name(), other].map(|name| EmvRow { name, expiry: None });
            EmvAnswer::Page { more: false, rows: rows.into() }
        }
        EmvAsk::Entry { name: EmvName::Key { .. } } => EmvAnswer::Key(key),
        EmvAsk::Entry { name: EmvName::Aid { .. } } => EmvAnswer::Aid(aid),
        EmvAsk::End { .. } => return None,
    })
}

pub fn answer(code: &str) -> HostAnswer {
    HostAnswer {
        code: code.into(),
        mac: MacVerdict::Good,
        keys: KeysVerdict::None,
        amount: None,
        time: Some("142530".into()),
        date: Some("1123".into()),
        settlement_date: Some("1123".into()),
        acquirer: Some("48021000".into()),
        rrn: Some("231123000123".into()),
        auth_code: Some("X9Y8Z7".into()),
        issuer_id: Some("01020000".into()),
        acquirer_id: Some("48021000".into()),
        balance: None,
        batch: Batch::new(7),
        scheme: Some("CUP".into()),
        texts: vec!["工商银行".into(), "OK".into()],
        fee: None,
        parameters: Vec::new(),
        settlement: None,
        icc: None,
        download: None,
        requirement: 0,
    }
}
