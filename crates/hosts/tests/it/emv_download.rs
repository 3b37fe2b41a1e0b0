//! Downloads of CA keys and applications: what of a host's word is taken, and what is refused, by tag and
//! rule.
use crate::support::*;
use payterm_hosts::*;
use payterm_schema::download::{EmvAnswer, EmvAsk, EmvList, EmvName};
use payterm_schema::host::{CardSecrets, MessageKind};
use payterm_schema::kind::Kind;
use proptest::prelude::*;

fn asked(p: &Profile, ask: EmvAsk) -> Result<Built, BuildError> {
    let plan = payterm_schema::host::Plan { download: Some(ask), ..plan(Kind::Parameters, None) };
    let mac = TestMac::new(key(&p.name));
    build(p, &station(false), MessageKind::Request, &plan, &CardSecrets::default(), "S1", &mac)
}

/// What the terminal makes of this F62 in the answer to that message.
fn heard(p: &Profile, ask: &EmvAsk, f62: Option<&[u8]>) -> Result<Reply, String> {
    let mac = TestMac::new(key(&p.name));
    let built = asked(p, ask.clone()).unwrap();
    let d = decode(p, built.bytes.reveal()).unwrap();
    let mut m = reply_message(p, &d.message, &answer("00"), None).unwrap();
    if let Some(f62) = f62 {
        m.set(62, f62).unwrap();
    }
    let frame = encode(p, &d.envelope.reply(p, 0), &mut m, Some(&mac)).unwrap();
    let reply = read(p, frame.reveal(), &mac).map_err(|unusable| {
        assert!(unusable.names(&built.expect), "it is the answer to that message");
        unusable.why.to_string()
    })?;
    reply.matches(p, &built.expect).map_err(|e| e.to_string())?;
    Ok(reply)
}
fn unionpay() -> Profile {
    Profile::builtin("unionpay").unwrap()
}
fn fault(ask: &EmvAsk, f62: &[u8]) -> String {
    heard(&unionpay(), ask, Some(f62)).map(|r| format!("{:?}", r.answer.download)).unwrap_err()
}

/// Elements of an entry, by tag; without one where its value is empty.
type Elements = Vec<(u16, Vec<u8>)>;
fn elements(hex_text: &str) -> Elements {
    let all = payterm_schema::icc::elements(&hex::decode(hex_text).unwrap()).unwrap();
    all.into_iter().map(|(t, v)| (u16::from_str_radix(&t.to_string(), 16).unwrap(), v)).collect()
}
fn one(elements: &Elements) -> Vec<u8> {
    let mut out = vec![b'1'];
    for (tag, value) in elements {
        out.extend(tag.to_be_bytes());
        if value.len() > 0x7F {
            out.push(0x81);
        }
        out.push(value.len() as u8);
        out.extend(value);
    }
    out
}
fn with(elements: &Elements, tag: u16, value: &[u8]) -> Vec<u8> {
    let set = |(t, v): &(u16, Vec<u8>)| (*t, if *t == tag { value.to_vec() } else { v.clone() });
    one(&elements.iter().map(set).collect())
}
fn without(elements: &Elements, tag: u16) -> Vec<u8> {
    one(&elements.iter().filter(|(t, _)| *t != tag).cloned().collect())
}
fn again(elements: &Elements, tag: u16) -> Vec<u8> {
    let more = elements.iter().find(|(t, _)| *t == tag).cloned();
    one(&elements.iter().cloned().chain(more).collect())
}

const AID: &str = "9F0608A000000333010101DF010100DF120500000000009F08020030DF1105FC78FCF8F0DF13050010000000\
    9F1B0400000000DF150400001388DF160199DF170110DF14039F3704DF180101DF1906000000000000DF2006000010000000\
    DF2106000000100000";

fn key_ask() -> EmvAsk {
    EmvAsk::Entry { name: emv_key().name() }
}
fn aid_ask() -> EmvAsk {
    EmvAsk::Entry { name: emv_aid().name() }
}

#[test]
fn the_published_form_of_a_key_is_read_with_its_checksum() {
    let all = elements(CA_KEY.trim());
    let reply = heard(&unionpay(), &key_ask(), Some(&one(&all))).unwrap();
    assert_eq!(reply.answer.download, Some(EmvAnswer::Key(emv_key())), "DF06 and DF07 are left out");
    // Each byte that the checksum covers.
    for tag in [0x9F06, 0x9F22, 0xDF02] {
        let mut value = all.iter().find(|(t, _)| *t == tag).unwrap().1.clone();
        value[0] ^= 0x40;
        let told = fault(&key_ask(), &with(&all, tag, &value));
        assert_eq!(told, "F62: tag DF03: not the SHA-1 of RID, index, modulus and exponent", "{tag:X}");
    }
    let told = fault(&key_ask(), &with(&all, 0xDF04, &[1, 0, 1]));
    assert_eq!(told, "F62: tag DF03: not the SHA-1 of RID, index, modulus and exponent");
}

#[test]
fn each_fault_of_a_key_names_tag_and_rule() {
    let all = elements(CA_KEY.trim());
    let even = |mut n: Vec<u8>| {
        *n.last_mut().unwrap() &= 0xFE;
        n
    };
    let short = [&[0x80; 62][..], &[1]].concat();
    let mut rows = vec![
        (with(&all, 0xDF03, &[0; 20]), "tag DF03: the checksum is zeros"),
        (with(&all, 0xDF03, &[1; 19]), "tag DF03: 20 bytes"),
        (with(&all, 0xDF04, &[5]), "tag DF04: 03 or 010001"),
        (with(&all, 0xDF04, &[0, 3]), "tag DF04: 03 or 010001"),
        (with(&all, 0xDF02, &short), "tag DF02: 64 to 248 bytes"),
        (with(&all, 0xDF02, &[0xFF; 249]), "tag DF02: 64 to 248 bytes"),
        (with(&all, 0xDF02, &[0x7F; 128]), "tag DF02: a modulus is odd, and its first bit is 1"),
        (with(&all, 0xDF02, &even(emv_key().modulus)), "tag DF02: a modulus is odd, and its first bit is 1"),
        (with(&all, 0x9F06, &[0xA0; 6]), "tag 9F06: 5 bytes"),
        (with(&all, 0x9F22, &[1, 2]), "tag 9F22: 1 bytes"),
        (with(&all, 0xDF05, b"20300231"), "tag DF05: a date in the profile's form"),
        (with(&all, 0xDF05, &[0x20, 0x30, 0x12, 0x31]), "tag DF05: a date in the profile's form"),
        (vec![], "its first character is none of those that a list (0, 1, 2) or an entry (0, 1) has"),
        (b"2".to_vec(), "its first character is none of those that a list (0, 1, 2) or an entry (0, 1) has"),
        (b"0\x9F".to_vec(), "it says that there is none, and goes on"),
    ];
    for tag in [0x9F06, 0x9F22, 0xDF05, 0xDF02, 0xDF04, 0xDF03] {
        rows.push((without(&all, tag), "missing"));
        rows.push((again(&all, tag), "twice"));
    }
    for (f62, rule) in rows {
        let told = fault(&key_ask(), &f62);
        assert!(told.starts_with("F62: ") && told.ends_with(rule), "{told} is not {rule}");
    }
    // Cut anywhere it is no key: what is missing is named, or where the data end.
    let whole = one(&all);
    for cut in 1..whole.len() {
        assert!(!fault(&key_ask(), &whole[..cut]).is_empty(), "{cut}");
    }
}

#[test]
fn each_fault_of_an_application_names_tag_and_rule() {
    let all = elements(AID);
    let reply = heard(&unionpay(), &aid_ask(), Some(&one(&all))).unwrap();
    let Some(EmvAnswer::Aid(aid)) = reply.answer.download else { panic!("no application") };
    assert_eq!((aid.partial, aid.threshold, aid.most, aid.target), (true, 5_000, 99, 10));
    assert_eq!((aid.online_pin, aid.tap_no_cvm, aid.cash_limit), (true, Some(100_000), None));
    // DF01 means what the profile says.
    let other = Profile::builtin("demo-x919").unwrap();
    let reply = heard(&other, &aid_ask(), Some(&one(&all))).unwrap();
    assert!(matches!(reply.answer.download, Some(EmvAnswer::Aid(a)) if !a.partial));
    let mut rows = vec![
        (with(&all, 0xDF21, &[0, 0, 0, 0x1A, 0, 0]), "tag DF21: digits (BCD)"),
        (with(&all, 0xDF19, &[0xFF; 6]), "tag DF19: digits (BCD)"),
        (with(&all, 0xDF20, &[0; 5]), "tag DF20: 6 bytes"),
        (with(&all, 0xDF16, &[0x9A]), "tag DF16: digits (BCD)"),
        (with(&all, 0xDF16, &[0x05]), "tag DF17: the target is above the greatest percentage"),
        (with(&all, 0xDF01, &[2]), "tag DF01: 0 or 1"),
        (with(&all, 0xDF18, &[0x80]), "tag DF18: 0 or 1"),
        (with(&all, 0x9F1B, &[0; 3]), "tag 9F1B: 4 bytes"),
        (with(&all, 0xDF11, &[0; 6]), "tag DF11: 5 bytes"),
        (with(&all, 0x9F06, &[0xA0; 17]), "tag 9F06: 5 to 16 bytes"),
        (with(&all, 0xDF14, &[0x9A, 3]), "with the unpredictable number (9F37) in it"),
        (with(&all, 0xDF14, &[0x9F, 0x37]), "with the unpredictable number (9F37) in it"),
        (with(&all, 0xDF14, &[0x9F, 0x37, 4, 0x9F]), "with the unpredictable number (9F37) in it"),
        ([one(&all), vec![0x9F, 0x09, 2, 0, 1]].concat(), "tag 9F09: twice"),
    ];
    let must = [0x9F06, 0xDF01, 0xDF11, 0xDF12, 0xDF13, 0x9F1B, 0xDF15, 0xDF16, 0xDF17, 0xDF14, 0xDF18];
    rows.extend(must.map(|tag| (without(&all, tag), "missing")));
    rows.extend(all.iter().map(|(tag, _)| (again(&all, *tag), "twice")));
    for (f62, rule) in rows {
        let told = fault(&aid_ask(), &f62);
        assert!(told.starts_with("F62: ") && told.ends_with(rule), "{told} is not {rule}");
    }
}

#[test]
fn a_list_is_read_whole_or_not_at_all() {
    let list = |of| EmvAsk::List { of, received: 0 };
    let page = |f62: &[u8]| match heard(&unionpay(), &list(EmvList::Aids), Some(f62)).unwrap().answer.download
    {
        Some(EmvAnswer::Page { more, rows }) => (more, rows.len()),
        other => panic!("{other:?}"),
    };
    assert_eq!(page(b"0"), (false, 0));
    assert_eq!(page(b"1\x9F\x06\x05AAAAA\x9F\x06\x05BBBBB"), (false, 2));
    assert_eq!(page(b"2\x9F\x06\x05AAAAA"), (true, 1));
    for (of, f62, rule) in [
        (EmvList::Aids, &b"2"[..], "it says that more follows, and names no entry"),
        (EmvList::Aids, b"1", "it says that more follows, and names no entry"),
        (EmvList::Aids, b"0\x9F\x06\x05AAAAA", "it says that there is none, and goes on"),
        (EmvList::Aids, b"3\x9F\x06\x05AAAAA", "none of those that a list (0, 1, 2) or an entry (0, 1) has"),
        (EmvList::Aids, b"1\xDF\x05\x01A\x9F\x06\x05AAAAA", "tag DF05: not the element that stands there"),
        (EmvList::Aids, b"1\x9F\x06\x04AAAA", "tag 9F06: 5 to 16 bytes"),
        (EmvList::Aids, b"1\x9F\x06\x05AAAAA\x9F\x06\x05AAAAA", "tag 9F06: the same entry twice"),
        (EmvList::Aids, b"1\x9F\x06\x05AAAA", "byte 0: the data ends inside an element"),
        (EmvList::Keys, b"1\x9F\x06\x05AAAAA", "tag 9F22: missing"),
        (EmvList::Keys, b"1\x9F\x06\x05AAAAA\x9F\x22\x01A\x9F\x22\x01A", "tag 9F22: twice"),
    ] {
        let told = fault(&list(of), f62);
        assert!(told.starts_with("F62: ") && told.ends_with(rule), "{told} is not {rule}");
    }
    let absent = heard(&unionpay(), &list(EmvList::Keys), None).unwrap_err();
    assert_eq!(absent, "F62: absent, but the answer to a list or an entry is in it");
    // The end's answer is its code.
    assert_eq!(heard(&unionpay(), &EmvAsk::End { of: EmvList::Keys }, None).unwrap().answer.download, None);
    // No list has a hundredth entry.
    let many = asked(&unionpay(), EmvAsk::List { of: EmvList::Keys, received: 100 }).unwrap_err();
    assert_eq!(many.to_string(), "download: at most 99 entries of a list");
}

#[test]
fn another_entry_than_the_one_asked_for_is_no_answer() {
    let name = EmvName::Key { rid: emv_key().rid, index: 2 };
    let told = heard(&unionpay(), &EmvAsk::Entry { name }, Some(&one(&elements(CA_KEY.trim())))).unwrap_err();
    assert_eq!(told, "F62: another entry than the one that was asked for");
}

#[test]
fn messages_for_downloads_come_together_with_their_form() {
    let text = include_str!("../../profiles/unionpay.toml");
    for (from, to, rule) in [
        ("[emv]", "[nothing]", "unknown field `nothing`"),
        ("partial = 0 ", "partial = 2 ", "profile: emv.partial: 0 or 1"),
        ("expiry = \"ascii\"", "expiry = \"roman\"", "unknown variant `roman`"),
        (
            "[message.emv_aid_end]",
            "[message.echo_code]",
            "profile: message.emv_aid_end: needed: the profile has [emv]",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        let told = Profile::parse(&text.replace(from, to)).unwrap_err().to_string();
        assert!(told.contains(rule), "{told} is not {rule}");
    }
    let (before, emv) = text.split_once("[emv] ").unwrap();
    let (_, behind) = emv.split_once("[reply]").unwrap();
    let told = Profile::parse(&format!("{before}[reply]{behind}")).unwrap_err().to_string();
    assert_eq!(told, "profile: emv: needed: the profile has messages for downloads");
    assert!(Profile::builtin("private-label").unwrap().emv.is_none(), "a profile may have none");
}

proptest! {
    /// Whatever a host says is taken or refused; what is taken comes back from its own encoding.
    #[test]
    fn any_content_is_taken_or_refused(
        which in 0..6usize,
        bytes in prop::collection::vec(any::<u8>(), 0..500),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        for name in ["unionpay", "demo-x919"] {
            let p = Profile::builtin(name).unwrap();
            let (_, ask) = emv_asks()[which].clone();
            let _ = heard(&p, &ask, Some(&bytes));
            let mut f62 = match ask {
                EmvAsk::Entry { name: EmvName::Key { .. } } => one(&elements(CA_KEY.trim())),
                EmvAsk::Entry { name: EmvName::Aid { .. } } => one(&elements(AID)),
                EmvAsk::List { .. } | EmvAsk::End { .. } => b"2\x9F\x06\x05AAAAA\x9F\x22\x01A".to_vec(),
            };
            for (at, with) in &flips {
                let at = at.index(f62.len());
                f62[at] = *with;
            }
            if !whole {
                f62.truncate(cut.index(f62.len()));
            }
            let Ok(reply) = heard(&p, &ask, Some(&f62)) else { continue };
            let mac = TestMac::new(key(name));
            let request = asked(&p, ask.clone()).unwrap();
            let d = decode(&p, request.bytes.reveal()).unwrap();
            let mut m = reply_message(&p, &d.message, &reply.answer, None).unwrap();
            let frame = encode(&p, &d.envelope.reply(&p, 0), &mut m, Some(&mac)).unwrap();
            prop_assert_eq!(read(&p, frame.reveal(), &mac).unwrap().answer.download, reply.answer.download);
        }
    }
}
