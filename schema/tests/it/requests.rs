//! What a request may and must say, kind by kind; and that old requests keep their hash.
use payterm_schema::{
    Fault, Kind, Request,
    kind::{AmountRule, OriginalBy},
    request::{Original, RequestWire},
};

fn wire(kind: Kind) -> RequestWire {
    let row = kind.row();
    let amount = row.amount == AmountRule::Needed;
    let mut w = RequestWire {
        id: "a".into(),
        kind: kind.name().into(),
        amount: amount.then(|| "12.34".into()),
        currency: amount.then(|| "CNY".into()),
        auth_code: row.voice.then(|| "V4C0D3".into()),
        ..RequestWire::default()
    };
    if row.original != OriginalBy::None {
        w.original_id = Some("b".into());
    }
    w
}
fn fault(w: RequestWire) -> (String, String) {
    match Request::try_from(w) {
        Err(Fault::Invalid { field, rule }) => (field, rule),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_kind_has_a_request_that_survives_the_wire() {
    for kind in Kind::ALL {
        let request = Request::try_from(wire(kind)).unwrap();
        assert_eq!(request.kind, kind);
        let json = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&json).unwrap(), request, "{json}");
        assert_eq!(Kind::named(kind.name()), Some(kind));
    }
    assert_eq!(fault(RequestWire { kind: "settle".into(), ..wire(Kind::Sale) }).0, "kind");
}

#[test]
fn amounts_and_voice_codes_are_where_the_kind_has_them_and_nowhere_else() {
    let money = || (Some("1.00".to_owned()), Some("CNY".to_owned()));
    for kind in Kind::ALL {
        let (amount, currency) = money();
        let with = Request::try_from(RequestWire { amount, currency, ..wire(kind) });
        let without = Request::try_from(RequestWire { amount: None, currency: None, ..wire(kind) });
        let want = match kind.row().amount {
            AmountRule::None => (false, true),
            AmountRule::Needed => (true, false),
            AmountRule::Optional => (true, true),
        };
        assert_eq!((with.is_ok(), without.is_ok()), want, "{kind:?}");
        let coded = Request::try_from(RequestWire { auth_code: Some("A1B2C3".into()), ..wire(kind) });
        assert_eq!(coded.is_ok(), kind == Kind::VoiceSale, "{kind:?}");
    }
    assert_eq!(fault(RequestWire { auth_code: None, ..wire(Kind::VoiceSale) }).0, "auth_code");
    for bad in ["A1B2C", "A1B2C3D", "A1 2C3", "授权码"] {
        assert_eq!(
            fault(RequestWire { auth_code: Some(bad.into()), ..wire(Kind::VoiceSale) }).0,
            "auth_code",
            "{bad}"
        );
    }
    assert_eq!(
        fault(RequestWire {
            amount: Some("0.00".into()),
            currency: Some("CNY".into()),
            ..wire(Kind::Refund)
        }),
        ("amount".into(), "more than zero".into())
    );
}

/// Every combination of the ways to name an original, for every kind: what is taken is exactly what the sheet
/// says.
#[test]
fn originals_are_named_in_exactly_one_way_of_the_kind() {
    for kind in Kind::ALL {
        for bits in 0..32u8 {
            let has = |n: u8| bits & (1 << n) != 0;
            let w = RequestWire {
                original_id: has(0).then(|| "b".into()),
                original_rrn: has(1).then(|| "231123000099".into()),
                original_stan: has(2).then_some(7),
                original_auth_code: has(3).then(|| "A1B2C3".into()),
                original_date: has(4).then(|| "1123".into()),
                ..wire(kind)
            };
            let rrn = |date: Option<&str>| Original::Rrn {
                rrn: "231123000099".into(),
                date: date.map(str::to_owned),
            };
            let want = match (kind.row().original, bits) {
                (OriginalBy::None, 0) => Some(None),
                (OriginalBy::OpenBatch | OriginalBy::AnyBatch | OriginalBy::Authorisation, 0b00001) => {
                    Some(Some(Original::Id("b".into())))
                }
                (OriginalBy::OpenBatch, 0b00010) => Some(Some(rrn(None))),
                (OriginalBy::OpenBatch, 0b00100) => {
                    Some(Some(Original::Stan(payterm_schema::Stan::new(7).unwrap())))
                }
                (OriginalBy::AnyBatch, 0b10010) => Some(Some(rrn(Some("1123")))),
                (OriginalBy::Authorisation, 0b11000) => {
                    Some(Some(Original::AuthCode { code: "A1B2C3".into(), date: "1123".into() }))
                }
                (_, _) => None,
            };
            match (Request::try_from(w), want) {
                (Ok(request), Some(original)) => {
                    assert_eq!(request.original, original, "{kind:?} {bits:05b}")
                }
                (Err(Fault::Invalid { field, .. }), None) => {
                    assert!(field.starts_with("original_"), "{kind:?} {bits:05b} {field}")
                }
                (got, want) => panic!("{kind:?} {bits:05b}: {got:?}, not {want:?}"),
            }
        }
    }
}

#[test]
fn dates_and_codes_of_originals_have_their_form() {
    let of = |date: &str| RequestWire {
        original_id: None,
        original_rrn: Some("231123000099".into()),
        original_date: Some(date.into()),
        ..wire(Kind::Refund)
    };
    for good in ["0101", "0229", "0430", "1231"] {
        assert!(Request::try_from(of(good)).is_ok(), "{good}");
    }
    for bad in ["", "0000", "0100", "0132", "0230", "0431", "1301", "101", "01011", "+101", "0１01"] {
        assert_eq!(fault(of(bad)).0, "original_date", "{bad}");
    }
    let short = RequestWire { original_rrn: Some("2311".into()), ..of("0101") };
    assert_eq!(fault(short).0, "original_rrn");
    let code = |c: &str| RequestWire {
        original_id: None,
        original_auth_code: Some(c.into()),
        original_date: Some("0101".into()),
        ..wire(Kind::Completion)
    };
    assert_eq!(fault(code("A1B2C")).0, "original_auth_code");
}

/// The journal holds hashes of requests that came before there were these fields.
#[test]
fn old_requests_keep_their_hash() {
    let hash = |json: &str| serde_json::from_str::<Request>(json).unwrap().content_hash();
    let cases = [
        (
            r#"{"id":"order-1","kind":"sale","amount":"12.34","currency":"CNY"}"#,
            "8a156c9c0fc1c9a4846e98307538d0c111779c2d02c9ef2a5fbb4ee772376011",
        ),
        (
            r#"{"id":"v","kind":"void","original_rrn":"231123000099","confirm":true}"#,
            "7cd4542f4f974eddd880e62af2f3258d2296a5dd7a30dedd51048a4b75eacb8a",
        ),
        (
            r#"{"id":"v","kind":"void","original_stan":7,"note":"n"}"#,
            "7f7728fda7242a1c5cf124052ca4e9ba2010152e5547b1c5a0d9a0280baccf14",
        ),
    ];
    for (json, want) in cases {
        assert_eq!(hash(json), want, "{json}");
    }
}
