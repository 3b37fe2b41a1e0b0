//! What of a reply decides and what only informs (host-protocol §3 "A reply is read strictly where it
//! decides").
use crate::support::*;
use payterm_hosts::iso8583::Message;
use payterm_hosts::*;
use payterm_schema::host::*;
use payterm_schema::kind::Kind;

const UNIONPAY: &str = include_str!("../../profiles/unionpay.toml");

/// A host that takes more liberties than the profile.
fn loose() -> Profile {
    let rows = [
        ("4  = { name = \"amount\", class = \"n\"", "4  = { name = \"amount\", class = \"b\""),
        ("12 = { name = \"time\", class = \"n\", max = 6", "12 = { name = \"time\", class = \"b\", max = 3"),
        ("37 = { name = \"RRN\", class = \"an\"", "37 = { name = \"RRN\", class = \"b\""),
        ("38 = { name = \"authorisation code\", class = \"an\"", "38 = { name = \"x\", class = \"b\""),
        ("39 = { name = \"response code\", class = \"an\"", "39 = { name = \"x\", class = \"b\""),
        ("41 = { name = \"tid\", class = \"ans\"", "41 = { name = \"tid\", class = \"b\""),
        ("class = \"an\", prefix = \"ll\", max = 25", "class = \"b\", prefix = \"ll\", max = 99"),
        ("49 = { name = \"currency\", class = \"an\"", "49 = { name = \"x\", class = \"b\""),
        ("class = \"an\", prefix = \"lll\", max = 20", "class = \"b\", prefix = \"lll\", max = 99"),
        ("class = \"b\", prefix = \"lll\", max = 255", "class = \"b\", prefix = \"lll\", max = 999"),
        ("prefix = \"lll\", max = 19 }", "prefix = \"lll\", max = 99 }"),
        ("class = \"gbk\", prefix = \"lll\", max = 163", "class = \"b\", prefix = \"lll\", max = 999"),
        ("[entry] ", "46 = { name = \"x\", class = \"b\", prefix = \"lll\", max = 99 }\n[entry] "),
    ];
    let mut text = UNIONPAY.to_owned();
    for (ours, theirs) in rows {
        assert!(text.contains(ours), "{ours}");
        // F4 and F12 in bytes are half as long.
        text = text.replace(ours, theirs);
    }
    text = text.replace("class = \"b\", max = 12 }\n11", "class = \"b\", max = 6 }\n11");
    Profile::parse(&text).unwrap()
}

/// The reply of the loose host to a kind's request, with changes made to it, as the terminal reads it.
fn heard(kind: Kind, code: &str, change: impl Fn(&mut Message)) -> (Result<Reply, Box<Unusable>>, Expect) {
    let (p, mac) = (Profile::builtin("unionpay").unwrap(), TestMac::new(MAK));
    let (mut plan, secrets) = swiped();
    plan.kind = kind;
    plan.amount = plan.amount.filter(|_| kind == Kind::Sale);
    let built = build(&p, &station(false), MessageKind::Request, &plan, &secrets, "S1", &mac).unwrap();
    let d = decode(&p, built.bytes.reveal()).unwrap();
    let mut m = reply_message(&p, &d.message, &answer(code), None).unwrap();
    if let Some(amount) = m.get(4).map(|a| hex::decode(a).unwrap()) {
        m.set(4, amount).unwrap();
    }
    m.unset(12);
    change(&mut m);
    let loose = loose();
    let frame = encode(&loose, &d.envelope.reply(&loose, 0), &mut m, Some(&mac)).unwrap();
    (read(&p, frame.reveal(), &mac), built.expect)
}

#[test]
fn what_informs_is_left_out_and_named() {
    let rows: [(u8, &[u8], &str); 8] = [
        (12, b"\x99\x99\x99", "no time of day"),
        (37, b"12345678\x00012", "no letter"),
        (38, b"12-456", "no letter"),
        (44, b"your issuer says: insufficient sense of humour", "over the maximum of 25"),
        (46, b"nobody lists it", "not in the profile"),
        (54, &[b'0'; 40], "over the maximum of 20"),
        (55, &[0x91; 300], "over the maximum of 255"),
        (63, &[b' '; 195], "over the maximum of 163"),
    ];
    for (n, value, rule) in rows {
        let (reply, expect) = heard(Kind::Sale, "00", |m| m.set(n, value).unwrap());
        let reply = reply.unwrap_or_else(|e| panic!("F{n}: {}", e.why));
        let p = Profile::builtin("unionpay").unwrap();
        assert_eq!(reply.matches(&p, &expect), Ok(()), "F{n}");
        assert_eq!(reply.unusable(&expect), None, "F{n}");
        let a = &reply.answer;
        assert_eq!((a.code.as_str(), a.mac), ("00", MacVerdict::Good), "F{n}");
        let absent = match n {
            12 => a.time.is_none(),
            37 => a.rrn.is_none(),
            38 => a.auth_code.is_none(),
            44 => a.issuer_id.is_none() && a.acquirer_id.is_none(),
            54 => a.balance.is_none(),
            55 => a.icc.is_none(),
            63 => a.scheme.is_none() && a.texts.is_empty(),
            _ => true,
        };
        assert!(absent, "F{n}");
        let row = reply.trace.iter().find(|r| *r.field == format!("F{n}")).expect("in its place");
        assert!(row.value.contains(rule), "F{n}: {}", row.value);
        assert!(n == 12 || row.value.contains(&format!("{} bytes", value.len())), "F{n}: {}", row.value);
        let order: Vec<u8> =
            reply.trace.iter().filter_map(|r| r.field.strip_prefix('F')?.parse().ok()).collect();
        assert!(order.is_sorted(), "{order:?}");
    }
}

#[test]
fn what_decides_is_strict() {
    let rows: [(u8, &[u8], &str); 6] = [
        (4, b"\0\0\0\0\x12\x3A", "F4: a character or nibble is no digit"),
        (39, b"0\0", "F39: a character is no letter"),
        (41, b"TERM\0 01", "F41: a character is not printable"),
        (49, b"\0\0\0", "F49: a character is no letter"),
        (60, b"22000001000501000000000000", "F60: length 26 is over the maximum of 19"),
        (39, b"", "F39: a reply without a response code"),
    ];
    for (n, value, why) in rows {
        let (reply, expect) =
            heard(Kind::Sale, "00", |m| if value.is_empty() { m.unset(n) } else { m.set(n, value).unwrap() });
        let e = reply.expect_err("it decides");
        assert!(e.why.to_string().starts_with(why), "{}", e.why);
        assert!(e.names(&expect), "F{n}: whose reply it is can be read");
        // All fields before and after are there, and the bytes of the bad one.
        for field in ["F11", "F42", "F64"] {
            assert!(e.trace.iter().any(|r| *r.field == *field), "F{n}: {field}");
        }
    }
    // Another currency is another message.
    let (reply, expect) = heard(Kind::Sale, "00", |m| m.set(49, "840").unwrap());
    let p = Profile::builtin("unionpay").unwrap();
    assert_eq!(reply.unwrap().matches(&p, &expect), Err(Mismatch::Currency));
}

/// A field that decides by its kind.
#[test]
fn a_balance_needs_its_field() {
    let two = |m: &mut Message| m.set(54, [b'0'; 40]).unwrap();
    let (reply, expect) = heard(Kind::Balance, "00", two);
    let fault = reply.unwrap().unusable(&expect).map(|e| e.to_string());
    assert_eq!(fault.as_deref(), Some("F54: length 40 is over the maximum of 20"));
}

#[test]
fn what_could_not_be_read_is_masked() {
    let p = Profile::builtin("unionpay").unwrap();
    // A card number in a field that is shown, in both codings; tracks and numbers in their own fields.
    let (reply, _) = heard(Kind::Sale, "00", |m| m.set(44, format!("card {PAN} is no issuer")).unwrap());
    let row = |trace: &[FieldView], n: &str| trace.iter().find(|r| *r.field == *n).unwrap().value.clone();
    let shown = row(&reply.unwrap().trace, "F44");
    assert!(shown.contains(&PAN[..6]) && !shown.contains(&PAN[..7]), "{shown}");
    // F2 of 20 digits, then nothing: the end of the message is not known.
    let bad = hex::decode("001f60000000016031000000000210400000000000000020").unwrap();
    let bad = [&bad[..], &hex::decode("62225788").unwrap()].concat();
    let mut frame = bad.clone();
    frame[1] = u8::try_from(bad.len() - 2).unwrap();
    let d = take_apart(&p, &frame).unwrap();
    assert!(d.fault().is_some());
    let shown = row(&trace_of(&p, &d), "F2");
    assert!(!shown.contains("6222"), "{shown}");
}
