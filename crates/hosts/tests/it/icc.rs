//! The chip's data of a request and the issuer's of an answer (F55).
use crate::support::{MAK, TYPED, TestMac, answer, plan, station};
use payterm_hosts::{Profile, Reply, RequestView, build, decode, encode, read, reply_message};
use payterm_schema::{
    Kind,
    host::{CardSecrets, EntryMode, HostAnswer, MessageKind, Plan, ReversalReason},
    icc::{Icc, Tag},
    secret::Pan,
};

/// `unionpay` with its text changed.
fn profile(change: &[(&str, &str)]) -> Result<Profile, String> {
    let mut text = include_str!("../../profiles/unionpay.toml").to_owned();
    for (from, to) in change {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    Profile::parse(&text).map_err(|e| e.to_string())
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn chip() -> Icc {
    Icc::parse(
        &hex::decode("9F3602001B9F2608A1B2C3D4E5F60718950500000080009F27018082025C009F1E0431323334").unwrap(),
    )
    .unwrap()
}

fn sale(icc: Option<Icc>) -> (Plan, CardSecrets) {
    let plan = Plan {
        expiry: Some("3012".into()),
        card_sequence: Some(1),
        icc,
        ..plan(Kind::Sale, EntryMode::Chip)
    };
    (plan, CardSecrets { pan: Pan::parse(TYPED).ok(), ..CardSecrets::default() })
}

/// F55 of the frame, and what the acquirer reads of it.
fn f55(profile: &Profile, message_kind: MessageKind, icc: Option<Icc>) -> (Option<String>, Option<Icc>) {
    let (plan, secrets) = sale(icc);
    let built =
        build(profile, &station(false), message_kind, &plan, &secrets, "S1", &TestMac::new(MAK)).unwrap();
    let d = decode(profile, built.bytes.reveal()).unwrap();
    let view = RequestView::read(profile, &d.message).unwrap();
    (d.message.get(55).map(hex::encode_upper), view.icc())
}

#[test]
fn a_request_and_its_reversal_take_their_own_elements_in_the_order_of_the_list() {
    let p = profile(&[]).unwrap();
    let (sent, read) = f55(&p, MessageKind::Request, Some(chip()));
    assert_eq!(
        sent.as_deref(),
        Some("9F2608A1B2C3D4E5F607189F2701809F3602001B9505000000800082025C009F1E0431323334")
    );
    assert_eq!(read.unwrap().values(tag("9F36")).collect::<Vec<_>>(), [[0x00, 0x1B]]);
    let (sent, _) = f55(&p, MessageKind::Reversal(ReversalReason::NoReply), Some(chip()));
    assert_eq!(sent.as_deref(), Some("950500000080009F1E04313233349F3602001B"));
    for message_kind in [MessageKind::Request, MessageKind::Reversal(ReversalReason::Other)] {
        assert_eq!(f55(&p, message_kind, None), (None, None));
        let other = Icc::parse(&[0x9F, 0x21, 3, 0x12, 0, 0]).unwrap();
        assert_eq!(f55(&p, message_kind, Some(other)), (None, None), "nothing of the list is there");
    }
}

#[test]
fn the_trace_shows_the_elements() {
    let (plan, secrets) = sale(Some(chip()));
    let p = profile(&[]).unwrap();
    let built =
        build(&p, &station(false), MessageKind::Request, &plan, &secrets, "S1", &TestMac::new(MAK)).unwrap();
    let line = built.trace(&p).into_iter().find(|l| &*l.field == "F55").unwrap();
    assert_eq!(line.value, "9F26=A1B2C3D4E5F60718 9F27=80 9F36=001B 95=0000008000 82=5C00 9F1E=31323334");
}

fn reply(p: &Profile, icc: &[u8]) -> Reply {
    let (plan, secrets) = sale(Some(chip()));
    let mac = TestMac::new(MAK);
    let built = build(p, &station(false), MessageKind::Request, &plan, &secrets, "S1", &mac).unwrap();
    let d = decode(p, built.bytes.reveal()).unwrap();
    let ok = HostAnswer { amount: Some(123_456), ..answer("00") };
    let mut m = reply_message(p, &d.message, &ok, None).unwrap();
    m.set(55, icc).unwrap();
    read(p, encode(p, &d.envelope, &mut m, Some(&mac)).unwrap().reveal(), &mac).unwrap()
}

#[test]
fn the_issuers_elements_come_with_the_answer_and_what_is_malformed_is_left_out() {
    let p = profile(&[]).unwrap();
    let given =
        hex::decode("910811223344556677887209860784160000020000710F9F1804000000018606841E00000100").unwrap();
    let icc = reply(&p, &given).answer.icc.unwrap();
    assert_eq!(icc.values(tag("91")).count(), 1);
    assert_eq!((icc.values(tag("71")).count(), icc.values(tag("72")).count()), (1, 1));
    let again = HostAnswer { icc: Some(icc.clone()), ..answer("00") };
    let json = serde_json::to_string(&again).unwrap();
    assert_eq!(serde_json::from_str::<HostAnswer>(&json).unwrap().icc, Some(icc));
    assert!(!serde_json::to_string(&answer("00")).unwrap().contains("icc"), "nothing where there is none");
    for bad in [&[0x91, 9, 1][..], &[0x91], &[0x5A, 1, 1], &[0x9F, 0x81, 0x81, 0x81]] {
        let reply = reply(&p, bad);
        assert_eq!((reply.answer.code.as_str(), reply.answer.icc), ("00", None), "{bad:02X?}");
    }
}

#[test]
fn a_profile_that_names_card_data_or_half_of_it_is_refused_with_its_key() {
    for card in Tag::CARD_DATA {
        let list = format!("icc = [\n    \"{card}\", \"9F26\", ");
        let e = profile(&[("icc = [\n    \"9F26\", ", &list)]).unwrap_err();
        assert!(e.starts_with(&format!("profile: message.sale.icc: tag {card}: card data")), "{e}");
        let list = format!("icc = [\"{card}\", \"95\", \"9F1E\"");
        let e = profile(&[("icc = [\"95\", \"9F1E\"", &list)]).unwrap_err();
        assert!(e.starts_with(&format!("profile: reversal.icc: tag {card}: card data")), "{e}");
    }
    let text = include_str!("../../profiles/unionpay.toml");
    let list = text.find("icc = [\n").map(|at| &text[at..at + text[at..].find("]\n").unwrap() + 2]).unwrap();
    for (from, to, want) in [
        ("55 = \"{icc}\", ", "", "message.sale.icc: no value is {icc}"),
        (list, "", "message.sale.icc: none given"),
        ("icc = [\"95\", \"9F1E\", \"9F10\", \"9F36\", \"DF31\"]\n", "", "reversal.icc: none given"),
        ("[reply]\nicc = 55", "[reply]\nicc = 56", "reply.icc: F56 is not in [fields]"),
        ("max = 255, mask = \"icc\"", "max = 255", "fields.55.mask"),
        ("icc = [\n    \"9F26\"", "icc = [\n    \"9F2\"", "an EMV tag in hex"),
        ("icc = [\n    \"9F26\"", "icc = [\n    \"70\"", "message.sale.icc: tag 70: a template"),
        ("icc = [\"9F33\"", "icc = [\"57\"", "script_result.icc: tag 57: card data"),
        ("\"82\", \"DF31\", ", "\"82\", ", "script_result.icc: without DF31 it tells nothing"),
        ("mti = \"0620\"", "mti = \"0200\"", "script_result.mti: message."),
        ("mti = \"0620\"", "mti = \"0400\"", "script_result.mti: four digits, not those of a reversal"),
        (
            "M55 M60 M61 M64\"\nvalues = { 60",
            "M60 M61 M64\"\nvalues = { 60",
            "script_result.icc: no value is {icc}",
        ),
        ("M55 M60 M61 M64\"\nvalues = { 60", "M55 M60 M61\"\nvalues = { 60", "script_result.fields: F64"),
        (
            "[ic_condition]                # 60.5\nnormal = \"0\"\nfallback = \"2\"\n",
            "",
            "ic_condition: none given",
        ),
        ("fallback = \"2\"", "fallback = \"20\"", "ic_condition: one digit each"),
    ] {
        let e = profile(&[(from, to)]).unwrap_err();
        assert!(e.contains(want), "{to}: {e}");
    }
}
