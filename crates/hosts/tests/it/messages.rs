//! The rules of building, reading and matching, and the vectors of host-protocol §4 and §5.
use crate::support::*;
use payterm_hosts::iso8583::{IsoError, Message, Part, Rule};
use payterm_hosts::*;
use payterm_primitives::{Algorithm, DesKey, Key};
use payterm_schema::account::Batch;
use payterm_schema::host::*;
use payterm_schema::kind::Kind;
use payterm_schema::outcome::Class;
use payterm_schema::secret::MacAlgorithm;
use payterm_schema::secret::SecretBytes;
use payterm_schema::{Currency, Mac, Money};

fn union() -> Profile {
    Profile::builtin("unionpay").unwrap()
}
fn sale(p: &Profile, mac: &dyn Mac) -> Built {
    let (plan, secrets) = swiped();
    build(p, &station(false), MessageKind::Request, &plan, &secrets, "S1", mac).unwrap()
}
/// A reply with changes made to it, read by the terminal.
fn reply(
    p: &Profile,
    request: &Built,
    answer: &HostAnswer,
    mac: Option<&dyn Mac>,
    change: impl Fn(&mut Message),
) -> Result<Reply, ReadError> {
    let d = decode(p, request.bytes.reveal()).unwrap();
    let mut m = reply_message(p, &d.message, answer, None).unwrap();
    change(&mut m);
    let frame = encode(p, &d.envelope.reply(p, 0), &mut m, mac).unwrap();
    read(p, frame.reveal(), &TestMac::new(MAK)).map_err(|e| e.why)
}

#[test]
fn mac_vectors() {
    let mut input = hex::decode("0200302004C020C09811").unwrap();
    input.extend(0..=0x3B);
    for (key, want) in [(MAK, "E3D5BB2E"), (PIK, "7A152A49")] {
        let mac = TestMac::new(key).mac(MacAlgorithm::UnionpayEcb, &input).unwrap();
        assert_eq!(mac.reveal(), want.as_bytes());
        let vault = Key::new(Algorithm::Des, &hex::decode(key).unwrap()).unwrap();
        assert_eq!(
            payterm_primitives::mac(MacAlgorithm::UnionpayEcb, &vault, &input).unwrap().reveal(),
            want.as_bytes()
        );
    }
}

/// §4: the public sign-in vector goes through a whole frame and opens under the TMK.
#[test]
fn working_keys_vector() {
    let p = union();
    let ask = build(
        &p,
        &station(false),
        MessageKind::Request,
        &plan(Kind::SignIn, None),
        &CardSecrets::default(),
        "S1",
        &NoKey,
    )
    .unwrap();
    let d = decode(&p, ask.bytes.reveal()).unwrap();
    let mut m =
        reply_message(&p, &d.message, &answer("00"), Some(&SecretBytes::new(hex::decode(KEYS).unwrap())))
            .unwrap();
    let frame = encode(&p, &d.envelope, &mut m, None).unwrap();
    let keys = read(&p, frame.reveal(), &NoKey).unwrap().keys.unwrap();
    let tmk = DesKey::new(&hex::decode(TMK).unwrap()).unwrap();
    let set = payterm_primitives::parse_f62(&tmk, keys.reveal()).unwrap();
    assert_eq!(
        (hex::encode_upper(set.pik.reveal()), hex::encode_upper(set.mak.reveal())),
        (PIK.into(), MAK.into())
    );
}

/// §5.1: from the MTI to before F64, length prefixes included, bit 64 set; no length, TPDU or header.
#[test]
fn mac_covers_the_message_before_f64() {
    let p = union();
    let built = sale(&p, &TestMac::new(MAK));
    let d = decode(&p, built.bytes.reveal()).unwrap();
    let frame = built.bytes.reveal();
    assert_eq!(d.mac_input().unwrap(), &frame[2 + 5 + 6..frame.len() - 8]);
    assert_eq!(d.mac_input().unwrap()[9] & 1, 1, "bit 64");
    let mac = TestMac::new(MAK).mac(MacAlgorithm::UnionpayEcb, d.mac_input().unwrap()).unwrap();
    assert_eq!(d.message.get(64).unwrap(), mac.reveal());
    assert!(mac.reveal().iter().all(u8::is_ascii_hexdigit));
}

#[test]
fn the_header_says_test_and_the_tpdu_the_host() {
    let p = union();
    let (plan, secrets) = swiped();
    for (test, header) in [(false, "603100000000"), (true, "603110000000")] {
        let built =
            build(&p, &station(test), MessageKind::Request, &plan, &secrets, "S1", &TestMac::new(MAK))
                .unwrap();
        let d = decode(&p, built.bytes.reveal()).unwrap();
        assert_eq!(d.envelope.header.unwrap(), header.as_bytes());
        assert_eq!(d.envelope.tpdu.unwrap(), [0x60, 0, 3, 0, 0]);
    }
}

#[test]
fn a_reply_matches_only_its_request() {
    let p = union();
    let mac = TestMac::new(MAK);
    let request = sale(&p, &mac);
    let ok = |code: &str| HostAnswer { amount: Some(123_456), ..answer(code) };
    let check = |a: &HostAnswer, change: &dyn Fn(&mut Message)| {
        reply(&p, &request, a, Some(&mac), change).unwrap().matches(&p, &request.expect)
    };
    assert_eq!(check(&ok("00"), &|_| ()), Ok(()));
    for (n, value) in [(3, "200000"), (11, "000124"), (41, "00009999"), (42, "999999999999999")] {
        assert_eq!(check(&ok("00"), &|m| m.set(n, value).unwrap()), Err(Mismatch::Field(n)));
        assert_eq!(check(&ok("00"), &|m| m.unset(n)), Err(Mismatch::Field(n)));
    }
    assert_eq!(check(&ok("00"), &|m| m.set(4, "000000123455").unwrap()), Err(Mismatch::Amount));
    assert_eq!(check(&ok("00"), &|m| m.unset(4)), Err(Mismatch::Amount));
    assert_eq!(check(&ok("51"), &|m| m.set(4, "000000000001").unwrap()), Err(Mismatch::Amount));
    assert_eq!(check(&ok("10"), &|m| m.set(4, "000000123455").unwrap()), Ok(()), "partial approval");
    assert_eq!(check(&ok("10"), &|m| m.set(4, "000000000000").unwrap()), Err(Mismatch::Amount));
    assert_eq!(check(&ok("10"), &|m| m.set(4, "000000123457").unwrap()), Err(Mismatch::Amount));
    assert_eq!(check(&HostAnswer { batch: Batch::new(8), ..ok("00") }, &|_| ()), Err(Mismatch::Batch));
    assert_eq!(check(&ok("00"), &|m| m.unset(60)), Ok(()), "60.2 where present");
}

/// §3: 0210 and 0211 answer a 0200, nothing else does.
#[test]
fn the_repeat_digit_is_cleared() {
    let p = union();
    let mac = TestMac::new(MAK);
    let request = sale(&p, &mac);
    let d = decode(&p, request.bytes.reveal()).unwrap();
    for (mti, want) in [("0210", true), ("0211", true), ("0200", false), ("0230", false), ("0410", false)] {
        let echoed =
            reply_message(&p, &d.message, &HostAnswer { amount: Some(123_456), ..answer("00") }, None)
                .unwrap();
        let mut m = Message::new(mti).unwrap();
        for n in echoed.fields() {
            m.set(n, echoed.get(n).unwrap()).unwrap();
        }
        let frame = encode(&p, &d.envelope, &mut m, Some(&mac)).unwrap();
        assert_eq!(
            read(&p, frame.reveal(), &mac).unwrap().matches(&p, &request.expect).is_ok(),
            want,
            "{mti}"
        );
    }
}

#[test]
fn each_mac_verdict() {
    let p = union();
    let mac = TestMac::new(MAK);
    let request = sale(&p, &mac);
    let a = answer("00");
    let verdict = |mac: Option<&dyn Mac>, f64: Option<&[u8; 8]>| {
        let r = reply(&p, &request, &a, mac, |m| {
            if let Some(v) = f64 {
                m.set(64, v).unwrap()
            }
        });
        r.unwrap().answer.mac
    };
    assert_eq!(verdict(Some(&mac), None), MacVerdict::Good);
    assert_eq!(verdict(Some(&TestMac::new(PIK)), None), MacVerdict::Wrong);
    assert_eq!(verdict(None, Some(b"00000000")), MacVerdict::Wrong);
    assert_eq!(verdict(None, None), MacVerdict::Absent);
    // A MAC that nobody can check is not good.
    let d = decode(&p, request.bytes.reveal()).unwrap();
    assert_eq!(d.verify(&p, &NoKey).unwrap(), MacVerdict::Wrong);
    assert!(matches!(reply(&p, &request, &a, None, |m| m.unset(39)), Err(ReadError::NoCode)));
}

/// Another acquirer's algorithm and form of F64 are two words in its profile.
#[test]
fn each_mac_algorithm_and_form() {
    let text = include_str!("../../profiles/unionpay.toml");
    for algorithm in ["unionpay_ecb", "x9_9", "x9_19"] {
        for form in ["whole", "hex"] {
            let text = text.replace("algorithm = \"unionpay_ecb\"", &format!("algorithm = \"{algorithm}\""));
            let p = Profile::parse(&text.replace("form = \"whole\"", &format!("form = \"{form}\""))).unwrap();
            let mac = TestMac::new(MAK16);
            let built = sale(&p, &mac);
            let d = decode(&p, built.bytes.reveal()).unwrap();
            assert_eq!(d.verify(&p, &mac).unwrap(), MacVerdict::Good, "{algorithm} {form}");
            let whole = mac.mac(p.mac.algorithm, d.mac_input().unwrap()).unwrap();
            let want = if form == "hex" {
                hex::encode_upper(&whole.reveal()[..4]).into_bytes()
            } else {
                whole.reveal().to_vec()
            };
            assert_eq!(d.message.get(64).unwrap(), want);
            assert_eq!(d.verify(&p, &TestMac::new(PIK)).unwrap(), MacVerdict::Wrong, "{algorithm} {form}");
            let mut bad = built.bytes.reveal().to_vec();
            *bad.last_mut().unwrap() ^= 1;
            assert_eq!(
                decode(&p, &bad).unwrap().verify(&p, &mac).unwrap(),
                MacVerdict::Wrong,
                "{algorithm} {form}"
            );
        }
    }
}

#[test]
fn every_changed_byte_is_noticed() {
    let p = union();
    let mac = TestMac::new(MAK);
    let built = sale(&p, &mac);
    let frame = built.bytes.reveal();
    for at in 13..frame.len() {
        for flip in [1, 0x10, 0x80] {
            let mut bad = frame.to_vec();
            bad[at] ^= flip;
            if let Ok(d) = decode(&p, &bad) {
                assert_ne!(d.verify(&p, &mac).unwrap(), MacVerdict::Good, "byte {at}");
            }
        }
    }
}

/// §6, the fields of each reversal, word for word.
#[test]
fn a_reversal_keeps_what_the_protocol_says() {
    let p = union();
    let want = [
        ("sale-swipe-pin", vec![2, 3, 4, 11, 22, 25, 39, 41, 42, 49, 60, 64]),
        ("sale-typed", vec![2, 3, 4, 11, 14, 22, 25, 39, 41, 42, 49, 60, 64]),
        ("sale-code", vec![3, 4, 11, 22, 25, 39, 41, 42, 49, 60, 64]),
        ("void", vec![2, 3, 4, 11, 22, 25, 38, 39, 41, 42, 49, 60, 61, 64]),
    ];
    for (name, fields) in want {
        let case = cases().into_iter().find(|c| c.name.strip_prefix("reversal-") == Some(name)).unwrap();
        let mut plan = case.plan;
        plan.amount = Some(Money::new(123_456, Currency::CNY).unwrap());
        let built =
            build(&p, &station(false), case.message_kind, &plan, &case.secrets, "S1", &TestMac::new(MAK))
                .unwrap();
        let d = decode(&p, built.bytes.reveal()).unwrap();
        assert_eq!(d.message.fields().collect::<Vec<_>>(), fields, "{name}");
        assert_eq!(d.message.mti(), "0400");
    }
    // From memory, F2 comes from the track; F38 when the request was answered.
    let (mut plan, secrets) = swiped();
    plan.auth_code = Some("X9Y8Z7".into());
    let message_kind = MessageKind::Reversal(ReversalReason::Other);
    let built = build(&p, &station(false), message_kind, &plan, &secrets, "S1", &TestMac::new(MAK)).unwrap();
    let m = decode(&p, built.bytes.reveal()).unwrap().message;
    assert_eq!(
        (m.text(2), m.text(22), m.text(38), m.text(39)),
        (Some(PAN), Some("021"), Some("X9Y8Z7"), Some("06"))
    );
    assert!(!m.has(35));
}

#[test]
fn what_a_plan_promises_and_the_secrets_lack_is_named() {
    let p = union();
    let mac = TestMac::new(MAK);
    let (good, secrets) = swiped();
    let go = |plan: &Plan, secrets: &CardSecrets| {
        build(&p, &station(false), MessageKind::Request, plan, secrets, "S1", &mac)
            .map(|_| ())
            .map_err(|e| e.to_string())
    };
    assert_eq!(go(&good, &secrets), Ok(()));
    let err =
        |plan: Plan, secrets: &CardSecrets, want: &str| assert_eq!(go(&plan, secrets), Err(want.to_owned()));
    err(
        good.clone(),
        &CardSecrets { pin_block: None, ..secrets.clone() },
        "F52: always sent, but the PIN block is not there",
    );
    err(
        good.clone(),
        &CardSecrets { tracks: None, ..secrets.clone() },
        "F35: always sent, but the track is not there",
    );
    err(
        plan(Kind::Sale, EntryMode::Manual),
        &CardSecrets::default(),
        "F2: always sent, but the PAN is not there",
    );
    err(
        plan(Kind::Sale, EntryMode::Code),
        &CardSecrets::default(),
        "F59: always sent, but the payment code is not there",
    );
    err(
        Plan { kind: Kind::Void, pin: false, ..good.clone() },
        &secrets,
        "F37: always sent, but the original's RRN is not there",
    );
    err(Plan { amount: None, ..good.clone() }, &secrets, "F4: always sent, but the amount is not there");
    err(Plan { operator: "1".into(), ..good.clone() }, &secrets, "operator: 2 digits");
    err(
        Plan { expiry: Some("3o12".into()), ..good.clone() },
        &secrets,
        "F14: a character or nibble is no digit",
    );
    err(Plan { tip: Some(1_000_000_000_000), ..good.clone() }, &secrets, "tip: below 10^12 minor units");
    err(Plan { scheme: Some("CU".into()), ..good.clone() }, &secrets, "scheme: 3 letters or digits");
    err(
        Plan { kind: Kind::TipAdjust, pin: false, ..good.clone() },
        &secrets,
        "F37: always sent, but the original's RRN is not there",
    );
    err(
        Plan { kind: Kind::VoiceSale, pin: false, ..good.clone() },
        &secrets,
        "F38: always sent, but the authorisation code is not there",
    );
    let dollars = Some(Money::new(1, "USD".parse().unwrap()).unwrap());
    err(
        Plan { amount: dollars, ..good.clone() },
        &secrets,
        "currency: the account takes CNY, the amount is in USD",
    );
    let demo = Profile::builtin("demo-x919").unwrap();
    let mut code = plan(Kind::Sale, EntryMode::Code);
    code.wallet = Some(Wallet::Unionpay);
    assert_eq!(
        build(&demo, &station(false), MessageKind::Request, &code, &secrets, "S1", &mac).map(|_| ()),
        Err(BuildError::Wallet)
    );
    let long = Station { mid: "1234567890123456".into(), ..station(false) };
    let e = build(&p, &long, MessageKind::Request, &good, &secrets, "S1", &mac)
        .map(|_| ())
        .map_err(|e| e.to_string());
    assert_eq!(e, Err("F42: length 16, but it is fixed at 15".into()));
    for kind in [Kind::SignIn, Kind::StatusUpload] {
        let e = build(&p, &station(false), MessageKind::Request, &plan(kind, None), &secrets, "", &mac)
            .map(|_| ());
        assert_eq!(e, Err(BuildError::Serial));
    }
}

/// NUL, TAB and line ends in the texts of a reply are spaces; its MAC is over the bytes as they came.
#[test]
fn control_characters_in_a_text_spoil_nothing() {
    let (p, mac) = (union(), TestMac::new(MAK));
    let ask = sale(&p, &mac);
    let d = decode(&p, ask.bytes.reveal()).unwrap();
    let text = |t: &str| Some(t.to_owned());
    let good = HostAnswer {
        issuer_id: text("01030000XXX"),
        scheme: text("CUP"),
        texts: vec!["LEFTXRIGHT".into()],
        ..answer("00")
    };
    let mut m = reply_message(&p, &d.message, &good, None).unwrap();
    let frame = encode(&p, &d.envelope.reply(&p, 0), &mut m, Some(&mac)).unwrap();
    for bytes in [b"\0\0\0\0", b"\t\r\n\x7f"] {
        let mut frame = frame.reveal().to_vec();
        for (old, new) in [(&b"XXX"[..], &bytes[..3]), (b"X", &bytes[3..])] {
            let at = frame.windows(old.len()).rposition(|w| w == old).unwrap();
            frame[at..at + old.len()].copy_from_slice(new);
        }
        let end = frame.len() - 8;
        let made = mac.mac(MacAlgorithm::UnionpayEcb, &frame[13..end]).unwrap();
        frame[end..].copy_from_slice(made.reveal());
        let got = read(&p, &frame, &mac).unwrap();
        assert_eq!(got.answer.mac, MacVerdict::Good);
        assert!(got.matches(&p, &ask.expect).is_ok());
        assert_eq!((got.answer.issuer_id, got.answer.scheme), (text("01030000"), text("CUP")));
        assert_eq!(got.answer.texts, ["LEFT RIGHT"]);
    }
    // What decides is as strict as before.
    let mut frame = frame.reveal().to_vec();
    let at = frame.windows(6).position(|w| w == b"008888").unwrap();
    frame[at] = 0;
    assert!(read(&p, &frame, &mac).is_err());
}

#[test]
fn frame_lengths() {
    let (u, d) = (union(), Profile::builtin("demo-x919").unwrap());
    assert_eq!(frame_len(&u, &[0]), Ok(None));
    assert_eq!(frame_len(&u, &[0, 10]), Ok(Some(12)));
    assert_eq!((frame_len(&u, &[0, 0, 9]), is_keep_alive(&u, &[0, 0])), (Ok(Some(2)), true));
    assert_eq!(decode(&u, &[0, 0]).map(|_| ()), Err(FrameError::KeepAlive));
    assert_eq!(frame_len(&u, &[0, 9]), Err(FrameError::Length { found: 9, min: 10, max: 2048 }));
    assert_eq!(frame_len(&u, &[0xFF, 0xFF]), Err(FrameError::Length { found: 65535, min: 10, max: 2048 }));
    assert_eq!(frame_len(&d, b"010"), Ok(None));
    assert_eq!(frame_len(&d, b"0100xx"), Ok(Some(104)));
    assert_eq!(frame_len(&d, b"01a0"), Err(FrameError::LengthDigits));
    assert_eq!(decode(&u, &[0, 20, 1]).map(|_| ()), Err(FrameError::Size { said: 22, found: 3 }));
    assert_eq!(decode(&u, &[]).map(|_| ()), Err(FrameError::Size { said: 2, found: 0 }));
}

#[test]
fn keys_only_from_a_successful_sign_in_of_an_allowed_length() {
    let p = union();
    let mac = TestMac::new(MAK);
    let ask = build(
        &p,
        &station(false),
        MessageKind::Request,
        &plan(Kind::SignIn, None),
        &CardSecrets::default(),
        "S1",
        &NoKey,
    )
    .unwrap();
    let d = decode(&p, ask.bytes.reveal()).unwrap();
    assert_eq!(d.message.get(62).unwrap(), b"Sequence No02S1");
    let go = |code: &str, keys: usize| {
        let mut m =
            reply_message(&p, &d.message, &answer(code), Some(&SecretBytes::new(vec![7; keys]))).unwrap();
        let frame = encode(&p, &d.envelope, &mut m, Some(&mac)).unwrap();
        let r = read(&p, frame.reveal(), &NoKey).unwrap();
        (r.keys.map(|k| k.reveal().len()), r.answer.keys)
    };
    assert_eq!(go("00", 40), (Some(40), KeysVerdict::None));
    assert_eq!(go("97", 40), (None, KeysVerdict::None));
    assert!(matches!(go("00", 56), (None, KeysVerdict::Refused(why)) if why.contains("56")));
    // Double length was asked for (60.3 = 003), and F53 of each PIN says double length.
    let pin = decode(&p, sale(&p, &mac).bytes.reveal()).unwrap().message;
    assert_eq!(
        (d.message.text(60).unwrap().get(8..), pin.text(53).unwrap().get(..2)),
        (Some("003"), Some("26"))
    );
    assert!(matches!(go("00", 24), (None, KeysVerdict::Refused(_))), "single DES in its place");
}

#[test]
fn traces_and_debug_hide_secrets() {
    for name in ["unionpay", "demo-x919"] {
        let p = Profile::builtin(name).unwrap();
        for case in cases() {
            let built = build(
                &p,
                &station(true),
                case.message_kind,
                &case.plan,
                &case.secrets,
                "S1",
                &TestMac::new(key(name)),
            )
            .unwrap();
            let d = decode(&p, built.bytes.reveal()).unwrap();
            let view = RequestView::read(&p, &d.message).unwrap();
            let all = format!("{:?} {:?} {d:?} {view:?}", built.trace(&p), built);
            let block = case.secrets.pin_block.as_ref().map(|b| hex::encode_upper(b.reveal()));
            for canary in
                [PAN, TYPED, &PAN[6..15], &TYPED[6..15], TRACK2, &TRACK2[20..], CODE, &CODE[2..14], "3012"]
                    .into_iter()
                    .chain(block.as_deref())
            {
                assert!(!all.contains(canary), "{name} {}: {canary} in {all}", case.name);
                assert!(
                    !all.to_uppercase().contains(&hex::encode_upper(canary)),
                    "{name} {}: {canary} in hex",
                    case.name
                );
            }
        }
    }
    let p = union();
    let (plan, secrets) = swiped();
    let message_kind = MessageKind::Reversal(ReversalReason::NoReply);
    let built = build(&p, &station(true), message_kind, &plan, &secrets, "S1", &TestMac::new(MAK)).unwrap();
    let shown = |f: &str| built.trace(&p).iter().find(|v| *v.field == *f).map(|v| v.value.clone()).unwrap();
    assert_eq!(shown("F2"), "622202*********0128");
    assert_eq!(shown("F39"), "98");
    assert_eq!(shown("F64").len(), 8);
    let mut m = Message::new("0200").unwrap();
    for (pan, shown) in
        [("501234567890", "501*****7890"), ("371449635398431", "371449*****8431"), ("5012", "****")]
    {
        m.set(2, pan).unwrap();
        assert_eq!(trace(&p, &Envelope::default(), &m)[1].value, shown);
    }
    m.unset(2);
    m.set(55, hex::decode("9F26081122334455667788950500000000005A0862220212345678905F340101").unwrap())
        .unwrap();
    m.set(59, "A3018134567890123456789").unwrap();
    let lines = trace(&p, &Envelope::default(), &m);
    assert_eq!(lines[1].value, "9F26=1122334455667788 95=0000000000 5A=(8 hidden) 5F34=01");
    assert_eq!(lines[2].value, "13************6789");
}

#[test]
fn rules_of_the_unionpay_profile() {
    let rules = union().rules();
    let rule = |c: &str| rules.codes.get(c).copied().unwrap();
    assert_eq!(
        (rule("00").class, rule("55").retry, rule("77").retry, rule("94").retry),
        (Class::A, RetryRule::Pin, RetryRule::SignIn, RetryRule::Done)
    );
    for now in ["90", "91", "92"] {
        assert_eq!(rule(now).retry, RetryRule::Now);
    }
    for reverse in ["06", "68", "96", "98"] {
        assert!(rule(reverse).reverse, "{reverse}");
    }
    let success: Vec<_> =
        rules.codes.iter().filter(|(_, r)| r.class == Class::A).map(|(c, _)| c.as_str()).collect();
    assert_eq!(success, ["00", "10", "11", "A2", "A4", "A5", "A6"]);
    assert_eq!(rules.reversal_ends, ["00", "12", "25"]);
    let waits: Vec<_> = rules.wallet_undo_after.iter().map(|(w, wait)| (*w, wait.0)).collect();
    assert_eq!(waits, [(Wallet::Wechat, 15_000)], "the others take an undo at once");
    assert!(rules.sign_in && rules.mac_on_replies);
}

#[test]
fn rules_of_advices_queries_and_kinds() {
    let rules = union().rules();
    assert_eq!(
        (&rules.advice_ends, rules.query, u32::from(rules.completion_percent)),
        (&vec!["00".into(), "94".into()], true, 115)
    );
    assert!(!rules.duplicate_names_first, "whose numbers a 94 bears is not known");
    let text = include_str!("../../profiles/unionpay.toml");
    let names_first = text.replace("duplicate_names_first = false", "duplicate_names_first = true");
    assert!(Profile::parse(&names_first).unwrap().rules().duplicate_names_first);
    let query = |w| rules.wallet_query.get(&w).map(|q| (q.first.0, q.every.0, q.until.0));
    assert_eq!(query(Wallet::Wechat), Some((5_000, 5_000, 45_000)));
    assert_eq!(query(Wallet::Alipay), Some((5_000, 5_000, 60_000)));
    assert_eq!(rules.partial, ["10"]);
    assert_eq!(rules.kinds, Kind::ALL);
}

/// An advice again is the same message; only the MTI tells, where the profile says so. What is never reversed
/// builds no reversal.
#[test]
fn a_repeat_differs_in_the_mti_alone_and_some_kinds_are_never_reversed() {
    for (name, mti) in [("unionpay", "0220"), ("demo-x919", "0221")] {
        let p = Profile::builtin(name).unwrap();
        let mac = TestMac::new(key(name));
        for case in cases().into_iter().filter(|c| c.message_kind == MessageKind::Repeat) {
            let made =
                |message_kind| build(&p, &station(true), message_kind, &case.plan, &case.secrets, "S1", &mac);
            let (first, again) = (made(MessageKind::Request).unwrap(), made(MessageKind::Repeat).unwrap());
            let (a, b) =
                (decode(&p, first.bytes.reveal()).unwrap(), decode(&p, again.bytes.reveal()).unwrap());
            assert_eq!((a.message.mti(), b.message.mti()), ("0220", mti));
            for n in (2..64).filter(|n| *n != 64) {
                assert_eq!(a.message.get(n), b.message.get(n), "{name} {} F{n}", case.name);
            }
            assert_eq!(first.expect, again.expect, "the same reply answers both");
            assert_eq!(
                made(MessageKind::Reversal(ReversalReason::NoReply)).unwrap_err(),
                BuildError::Kind(case.plan.kind)
            );
        }
        let refund = cases().into_iter().find(|c| c.name == "refund").unwrap();
        let e = build(
            &p,
            &station(true),
            MessageKind::Reversal(ReversalReason::NoReply),
            &refund.plan,
            &refund.secrets,
            "S1",
            &mac,
        )
        .unwrap_err();
        assert_eq!(e, BuildError::Kind(Kind::Refund));
    }
}

/// F62 of a parameters reply: what has the form is taken, up to the limit; it is never taken for keys.
#[test]
fn parameters_that_are_malformed_are_left_out() {
    for name in ["unionpay", "demo-x919"] {
        let p = Profile::builtin(name).unwrap();
        let ask = build(
            &p,
            &station(false),
            MessageKind::Request,
            &plan(Kind::Parameters, None),
            &CardSecrets::default(),
            "S1",
            &NoKey,
        )
        .unwrap();
        let heard = |text: &[u8]| reply(&p, &ask, &answer("00"), None, |m| m.set(62, text).unwrap()).unwrap();
        let got = heard(b"fee_bp=60\n\n=1\nUPPER=1\nno pair\nesc=\x1b[2J\nlimit=500.00=x\n\xff=1\nempty=");
        let pairs: Vec<_> = got.answer.parameters.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("fee_bp", "60"), ("limit", "500.00=x"), ("empty", "")]);
        assert!(got.keys.is_none() && got.answer.keys == KeysVerdict::None);
        let many: String = (0..100).map(|i| format!("k{i}=\n")).collect();
        assert_eq!(heard(many.as_bytes()).answer.parameters.len(), HostAnswer::MAX_PARAMETERS);
        let sealed = heard(&hex::decode(KEYS).unwrap());
        assert!(sealed.keys.is_none(), "keys come with a sign-in only");
    }
}

#[test]
fn a_bad_profile_names_key_and_rule() {
    let text = include_str!("../../profiles/unionpay.toml");
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Profile::parse(&text.replacen(from, to, 1)).map(|_| ()).map_err(|e| e.to_string()).unwrap_err()
    };
    let rule = |from: &str, to: &str, want: &str| {
        let e = with(from, to);
        assert!(e.contains(want), "{e}");
    };
    rule("max = 19, mask", "max = 100, mask", "fields.F2: length 100 is over the maximum of 99");
    rule("length = \"binary2\"", "length = \"binary3\"", "binary3");
    rule("completion_percent = 115", "completion_percent = 99", "completion_percent: 100 to 200");
    rule("until_s = 45", "until_s = 4", "wallet.query: ");
    rule("every_s = 5", "every_s = 0", "wallet.query: ");
    rule("ends = [\"00\", \"94\"]", "ends = [\"00\", \"944\"]", "'944' is no response code");
    rule("parameters = 62", "parameters = 65", "reply: F65 is not in [fields]");
    rule("sign_in = true", "sign_in = true\nspare = 1", "spare");
    rule("C2 M3 M4 M11", "C2 M3 M7 M11", "message.sale.fields: F7 is not in [fields]");
    rule("C2 M3 M4 M11", "C2 M4 M3 M11", "message.sale.fields: F3 is out of order");
    rule("C2 M3 M4 M11", "C2 X3 M4 M11", "message.sale.fields: each field is M or C");
    rule("11 = \"{stan}\"", "11 = \"{stun}\"", "values.11: unknown variable '{stun}'");
    rule("11 = \"{stan}\"", "11 = \"{stan\"", "values.11: '{' without '}'");
    rule("11 = \"{stan}\"\n", "", "F11 is always sent, but no value is given for it");
    rule(
        "\"0100\", \"0110\", \"0200\", ",
        "\"0100\", ",
        "F64 must be there exactly when mac.mtis names the MTI",
    );
    rule("[message.sale]", "[message.sail]", "message.sail: no such kind");
    rule("\"09\" = { class = \"P\"", "\"09 00\" = { class = \"P\"", "codes.09 00: 00 is there twice");
    rule("\"75\" = ", "\"755\" = ", "codes.755: a response code is 2 letters or digits");
    rule("requirement_digit = 6", "requirement_digit = 13", "frame.requirement_digit: 1 to 12");
    rule("drop = [26,", "drop = [64, 26,", "must be kept exactly when mac.mtis names 0400");
    rule("pin = \"021\"", "pin = \"02x\"", "'02x' is not made of digits");
    rule("max = 2048", "max = 20480", "frame.max");
    rule("at = 2, length = 6", "at = 12, length = 9", "outside its 19 characters");
    // A forgotten mask would write card data into the journal.
    for (from, to, n) in [
        ("prefix = \"ll\", max = 37, mask = \"hide\"", "prefix = \"ll\", max = 37", 35),
        ("prefix = \"ll\", max = 37, mask = \"hide\"", "prefix = \"ll\", max = 37, mask = \"pan\"", 35),
        ("max = 19, mask = \"pan\"", "max = 19", 2),
        ("max = 255, mask = \"icc\"", "max = 255", 55),
        ("max = 8, mask = \"hide\"", "max = 8", 52),
        ("max = 4, mask = \"hide\"", "max = 4", 14),
        ("max = 600, mask = \"code\"", "max = 600", 59),
        ("max = 512, mask = \"hide\"", "max = 512", 62),
    ] {
        rule(from, to, &format!("fields.{n}.mask: "));
    }
    rule("same = [3, 11,", "same = [2, 3, 11,", "reply: F2 is masked");
    rule("scheme = { field = 63, at = 0", "scheme = { field = 35, at = 0", "reply: F35 is masked");
    // Without these an approval without a MAC would be believed.
    rule("\"0200\", \"0210\", ", "\"0200\", ", "mac.mtis: 0210 is not there");
    rule("\"0400\", \"0410\", ", "\"0400\", ", "mac.mtis: 0410 is not there");
    assert!(matches!(Profile::builtin("nobody"), Err(ProfileError::Unknown(_))));
}

#[test]
fn each_wire_rule_has_its_error() {
    let p = union();
    let bad = |hexed: &str| p.table.unpack(&hex::decode(hexed).unwrap()).map(|_| ()).unwrap_err();
    let at = |n: u8, rule: Rule| IsoError { part: Part::Field(n), rule };
    assert_eq!(bad("02"), IsoError { part: Part::Mti, rule: Rule::Truncated { need: 2, have: 1 } });
    assert_eq!(bad("0A00"), IsoError { part: Part::Mti, rule: Rule::NotDigit });
    assert_eq!(bad("02000000"), IsoError { part: Part::Bitmap, rule: Rule::Truncated { need: 8, have: 2 } });
    assert_eq!(bad("02008000000000000000"), IsoError { part: Part::Bitmap, rule: Rule::SecondBitmap });
    assert_eq!(bad("02000200000000000000"), at(7, Rule::Unknown));
    assert_eq!(bad("02002000000000000000" /* F3 */), at(3, Rule::Truncated { need: 3, have: 0 }));
    assert_eq!(bad("0200200000000000000012345A"), at(3, Rule::NotDigit));
    assert_eq!(
        bad("02002000000000000000123456FF"),
        IsoError { part: Part::Message, rule: Rule::Trailing(1) }
    );
    assert_eq!(bad("0200400000000000000020"), at(2, Rule::TooLong { max: 19, found: 20 }));
    assert_eq!(bad("020040000000000000001A"), at(2, Rule::LengthIndicator));
    assert_eq!(bad("02004000000000000000031235"), at(2, Rule::Padding));
    assert_eq!(bad("020000000000200000000312A0"), at(35, Rule::NotTrack));
    assert_eq!(bad("02000000000004000000414100"), at(38, Rule::Truncated { need: 6, have: 3 }));
    assert_eq!(bad("020000000000020000004107"), at(39, Rule::NotAlnum));
    assert_eq!(bad("02000000000000800000410707070707070707"), at(41, Rule::NotText));
    let mut m = Message::new("0200").unwrap();
    for n in [0, 1, 65] {
        assert_eq!(m.set(n, "x"), Err(at(n, Rule::FieldNumber)));
    }
    m.set(4, "12").unwrap();
    assert_eq!(p.table.pack(&m, &mut Vec::new()), Err(at(4, Rule::WrongLength { want: 12, found: 2 })));
    let mti = |rule| Some(IsoError { part: Part::Mti, rule });
    assert_eq!(Message::new("020").err(), mti(Rule::WrongLength { want: 4, found: 3 }));
    assert_eq!(Message::new("02x0").err(), mti(Rule::NotDigit));
    let long = m.set(55, vec![0; 40_000]);
    assert!(matches!(long, Err(IsoError { rule: Rule::TooLong { found: 40_000, .. }, .. })), "{long:?}");
}
