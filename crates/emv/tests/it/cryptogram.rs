//! Book 3 §6.5.5, GENERATE AC: what a card may answer.
use crate::card::{Card, Host, Setup, ok, tlv};
use payterm_emv::{
    step::{Fired, Note},
    terminal::Depth,
};

#[test]
fn a_card_may_give_less_than_it_is_asked_for_and_never_more() {
    let denied = || Setup::new().with(|s| s.aids[0].limits.denial = [0x80, 0, 0, 0, 0]);
    let lie = "Declined, the card lies: more than it was asked for";
    // Asked for a TC.
    let first = |setup: Setup, cid: &str| setup.run(Card::debit().gives(cid, "00")).told();
    assert_eq!(first(Setup::new(), "40"), "Approved(Card), all is done");
    assert_eq!(first(Setup::new(), "00"), "Declined, the card declines");
    assert_eq!(first(Setup::new(), "80"), "Declined, the card declines", "by way of the host");
    assert_eq!(first(Setup::new(), "C0"), lie);
    // An ARQC.
    assert_eq!(first(Setup::new().online(), "40"), lie);
    assert_eq!(first(Setup::new().online(), "C0"), lie);
    assert_eq!(first(Setup::new().online(), "00"), "Declined, the card declines");
    // An AAC.
    assert_eq!(first(denied(), "40"), lie);
    assert_eq!(first(denied(), "80"), lie);
    assert_eq!(first(denied(), "00"), "Declined, the card declines");
    // The second time.
    let second = |host: Host, cid: &str| {
        Setup::new().online().with(|s| s.host = host).run(Card::debit().gives("80", cid)).told()
    };
    let yes = || Host::Approved("00", String::new());
    let no = || Host::Refused("51", String::new());
    assert_eq!(second(yes(), "40"), "Approved(HostAndCard), all is done");
    assert_eq!(second(yes(), "00"), "Declined, the card declines");
    assert_eq!(second(yes(), "80"), lie);
    assert_eq!(second(yes(), "C0"), lie);
    for host in [no(), Host::NoReply] {
        assert_eq!(second(host.clone(), "40"), lie);
        assert_eq!(second(host, "80"), lie);
    }
    assert_eq!(second(no(), "00"), "Declined, the host refuses");
}

#[test]
fn a_run_to_an_aac_asks_for_nothing_else_whatever_is_found() {
    let denied = Setup::new().with(|s| s.aids[0].limits.denial = [0x80, 0, 0, 0, 0]);
    // It would ask for a TC, an ARQC, an AAC.
    for setup in [Setup::new(), Setup::new().online(), denied] {
        let full = setup.run(Card::debit().gives("00", "00"));
        let decline = setup.with(|s| s.payment.depth = Depth::Decline);
        let ran = decline.run(Card::debit().gives("00", "00"));
        assert_eq!(ran.told(), "Declined, the card declines");
        assert!(
            matches!(ran.commands("80AE")[..], [first] if first.starts_with("80AE0000")),
            "{:?}",
            ran.sent
        );
        assert_eq!(ran.tag(0x95), full.tag(0x95), "the results are those of a payment");
        let decided = |n: &&Note| matches!(n, Note::Action(..));
        let [Note::Action(would, _), Note::Action(Fired::Depth, _)] =
            ran.end().log.iter().filter(decided).collect::<Vec<_>>()[..]
        else {
            panic!("{:?}", ran.end().log)
        };
        assert!(full.end().log.iter().any(|n| matches!(n, Note::Action(by, _) if by == would)));
        for more in ["40", "80", "C0"] {
            let told = decline.run(Card::debit().gives(more, more)).told();
            assert_eq!(told, "Declined, the card lies: more than it was asked for", "{more}");
        }
    }
}

#[test]
fn both_formats_are_read() {
    let one = Setup::new().run(Card::debit().on("80AE", &ok(&tlv("80", "40 0102 1122334455667788"))));
    let two = tlv("77", "9F270140 9F36020102 9F26081122334455667788 9F100107");
    let two = Setup::new().run(Card::debit().on("80AE", &ok(&two)));
    for ran in [&one, &two] {
        assert_eq!(ran.told(), "Approved(Card), all is done");
        assert_eq!((ran.tag(0x9F27), ran.tag(0x9F36)), ("40".to_owned(), "0102".to_owned()));
        assert_eq!((ran.tag(0x9F26), ran.end().cid), ("1122334455667788".to_owned(), Some(0x40)));
    }
    assert_eq!((one.tag(0x9F10), two.tag(0x9F10)), (String::new(), "07".to_owned()));
}

#[test]
fn answers_that_are_not_sound_decide_nothing_and_nothing_is_tried_after_them() {
    let ac = "9F2701 40 9F3602 0102 9F2608 1122334455667788";
    for (answer, why) in [
        ("6985".to_owned(), "the card answers 6985 to AE"),
        ("6283".to_owned(), "the card answers 6283 to AE"),
        (ok(""), "not what 77 should be"),
        (ok(&tlv("80", "40 0102 11223344556677")), "not what 80 should be"),
        (ok(&tlv("80", &format!("40 0102 1122334455667788 {}", "07".repeat(33)))), "not what 80 should be"),
        (ok(&tlv("77", "9F36020102 9F26081122334455667788")), "9F27 is missing"),
        (ok(&tlv("77", "9F270140 9F26081122334455667788")), "9F36 is missing"),
        (ok(&tlv("77", "9F270140 9F36020102")), "9F26 is missing"),
        (ok(&tlv("77", &format!("{ac} 9F270140"))), "9F27: it is there twice"),
        (ok(&tlv("77", "9F27024040 9F36020102 9F26081122334455667788")), "not what 9F27 should be"),
        (ok(&tlv("77", "9F270140 9F360101 9F26081122334455667788")), "not what 9F36 should be"),
        (ok(&tlv("77", "9F270140 9F36020102 9F260711223344556677")), "not what 9F26 should be"),
        (ok(&(tlv("77", ac) + "5000")), "not what 77 should be"),
        (ok("77059F2701"), "77: 5 bytes are announced, 3 are there"),
        ("90".to_owned(), "the card answers without a status word"),
    ] {
        let ran = Setup::new().run(Card::debit().on("80AE", &answer));
        assert_eq!(ran.told(), format!("Ended(Nothing), {why}"), "{answer}");
        // At the second time the host has spoken: that is a decision.
        let card = Card::debit().gives("80", "40");
        let first = ok(&tlv("80", "80 0001 1122334455667788"));
        let setup = Setup::new().online().with(|s| s.host = Host::Approved("00", String::new()));
        let ran = setup.run(card.on_all("80AE", &[&first, &answer]));
        assert!(!ran.told().starts_with("Approved") && ran.told().ends_with(why), "{answer}: {}", ran.told());
    }
}

#[test]
fn lists_of_the_card_are_filled_with_what_is_known_by_then() {
    let ran = Setup::new()
        .online()
        .with(|s| s.host = Host::Approved("00", tlv("91", "1122334455667788")))
        .run(Card::debit().gives("80", "40"));
    // Amount, TVR, number, no response code yet.
    let first = "80AE800011 000000001000 8000000800 01020304 0000 00".replace(' ', "");
    // Response code, TVR, number, issuer authentication data filled up.
    let second = "80AE40001B 3030 8000000800 01020304 11223344556677880000000000000000 00".replace(' ', "");
    assert_eq!(ran.commands("80AE"), [first, second]);
    let online = ran.online.as_ref().unwrap();
    assert!(!online.has(payterm_emv::Tag(0x8A)));
    assert_eq!(online.get(payterm_emv::Tag(0x9B)), Some(&[0x68, 0][..]));
}

#[test]
fn a_response_code_for_a_tc_is_not_told_to_the_host_with_an_arqc() {
    let ran = Setup::new().run(Card::debit().gives("80", "40"));
    assert!(ran.commands("80AE")[0].ends_with("593100"));
    assert!(!ran.online.unwrap().has(payterm_emv::Tag(0x8A)));
}

#[test]
fn the_hash_of_a_tdol_is_sent_where_the_card_asks_and_the_default_is_marked() {
    let asks = |card: Card| card.with(&[("8C", "9814 9505")]);
    let first = |setup: &Setup, card: Card| setup.run(card).commands("80AE")[0].to_owned();
    // SHA-1 of nothing, and of 01020304 (9F37), by another program.
    let (empty, number) =
        ("DA39A3EE5E6B4B0D3255BFEF95601890AFD80709", "12DADA1FFF4D4787ADE3333147202C3B443E376F");
    let own = asks(Card::debit()).with(&[("8C", "9814 9505"), ("97", "9F3704")]);
    assert_eq!(first(&Setup::new(), own), format!("80AE400019{number}800000000000"));
    let none = first(&Setup::new(), asks(Card::debit()));
    assert_eq!(none, format!("80AE400019{empty}800000008000"));
    let default = Setup::new().with(|s| s.aids[0].tdol = Some(vec![0x9F, 0x37, 4]));
    assert_eq!(first(&default, asks(Card::debit())), format!("80AE400019{number}800000008000"));
}
