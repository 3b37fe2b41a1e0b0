//! Book 3 §10.9 to §10.11, the issuer's word; Book 4, response codes and script results.
use crate::card::{AID, Card, Host, Setup, aid, hex, tlv};
use payterm_emv::{
    contact::ISSUER_SCRIPTS_MAX,
    step::{Gone, HostWord, Input, Step, Verdict},
    terminal::Limits,
};

const ARPC: &str = "1122334455667788";

fn yes(issuer: &str) -> Setup {
    Setup::new().online().with(|s| s.host = Host::Approved("00", issuer.to_owned()))
}
fn card() -> Card {
    Card::debit().gives("80", "40")
}
/// A card that has EXTERNAL AUTHENTICATE.
fn judge() -> Card {
    card().aip("1C00")
}
fn script(id: &str, commands: &[&str]) -> String {
    let commands: String = commands.iter().map(|c| tlv("86", c)).collect();
    if id.is_empty() { commands } else { tlv("9F18", id) + &commands }
}

#[test]
fn not_sent_asks_the_card_by_the_default_codes_and_no_reply_asks_for_its_no() {
    let default = |default| {
        let limits = Limits { default, online: [0, 0, 0, 8, 0], ..aid(AID).limits };
        Setup::new().online().with(|s| s.limits = Some(limits))
    };
    let free = default([0; 5]);
    let ran = free.run(card());
    assert_eq!(ran.told(), "Approved(CardUnableOnline), all is done");
    assert_eq!((ran.tag(0x8A), &ran.commands("80AE")[1][4..6]), (hex(b"Y3"), "40"));
    let ran = free.run(Card::debit().gives("80", "00"));
    assert_eq!((ran.told().as_str(), ran.tag(0x8A)), ("Declined, the card declines", hex(b"Y3")));
    for (setup, card) in [
        (default([0, 0, 0, 8, 0]), Card::debit()),
        (free.clone(), Card::debit().with(&[("9F0D", "0000000800")])),
        (free.clone(), Card::debit().with(&[("9F0D", "")])),
    ] {
        let ran = setup.run(card.gives("80", "00"));
        assert_eq!(
            (ran.told().as_str(), ran.tag(0x8A)),
            ("Declined, the host could not be asked", hex(b"Z3"))
        );
        assert_eq!(&ran.commands("80AE")[1][4..6], "00");
    }
    let ran = free.with(|s| s.host = Host::NoReply).run(Card::debit().gives("80", "00"));
    assert_eq!((ran.told().as_str(), ran.tag(0x8A)), ("Declined, the host gave no answer", hex(b"Z3")));
    assert_eq!(&ran.commands("80AE")[1][4..6], "00", "whatever the default codes say");
}

#[test]
fn the_hosts_word_goes_to_the_card() {
    let ran = yes("").run(card());
    assert_eq!((ran.told().as_str(), ran.tag(0x8A)), ("Approved(HostAndCard), all is done", hex(b"00")));
    assert_eq!(&ran.commands("80AE")[1][4..6], "40");
    let no = Setup::new().online().with(|s| s.host = Host::Refused("51", String::new()));
    let ran = no.run(Card::debit().gives("80", "00"));
    assert_eq!((ran.told().as_str(), ran.tag(0x8A)), ("Declined, the host refuses", hex(b"51")));
    assert_eq!(&ran.commands("80AE")[1][4..6], "00");
    for arc in ["01", "02"] {
        let referral = Setup::new().online().with(|s| s.host = Host::Approved(arc, String::new()));
        let ran = referral.run(Card::debit().gives("80", "00"));
        assert_eq!(ran.told(), "Declined, the host refuses", "a referral, {arc}");
        assert_eq!(&ran.commands("80AE")[1][4..6], "00");
    }
}

#[test]
fn issuer_authentication_goes_by_its_command_where_the_card_has_it() {
    let external = format!("0082000008{ARPC}");
    let ran = yes(&tlv("91", ARPC)).run(judge().on("0082", "9000"));
    assert_eq!(ran.commands("0082"), [external.as_str()]);
    assert_eq!((ran.tag(0x9B), &ran.tag(0x95)[8..]), ("7800".to_owned(), "00"));
    for status in ["6300", "6985", "6283"] {
        let ran = yes(&tlv("91", ARPC)).run(judge().on("0082", status));
        assert_eq!((ran.tag(0x9B), &ran.tag(0x95)[8..]), ("7800".to_owned(), "40"), "{status}");
        assert_eq!(ran.told(), "Approved(HostAndCard), all is done", "the card decides");
        assert!(ran.commands("80AE")[1].contains("8000000840"), "it is told");
    }
    let ran = yes(&tlv("91", ARPC)).run(card());
    assert!(ran.commands("0082").is_empty(), "else in CDOL2: {}", ran.commands("80AE")[1]);
    assert!(ran.commands("80AE")[1].contains(ARPC));
    assert!(yes("").run(judge()).commands("0082").is_empty(), "nothing to authenticate with");
}

#[test]
fn data_of_a_host_that_is_not_sound_makes_no_approval() {
    let sixteen = tlv("72", "").repeat(ISSUER_SCRIPTS_MAX + 1);
    for issuer in [
        "71C80102030405060708".to_owned(),
        tlv("91", ARPC) + &tlv("91", ARPC),
        tlv("91", "11223344556677"),
        tlv("91", &"11".repeat(17)),
        "9F".to_owned(),
        sixteen,
    ] {
        let ran = yes(&issuer).run(judge().gives("80", "00"));
        assert_eq!(ran.told(), "Declined, the host's data objects are not sound", "{issuer}");
        assert_eq!(&ran.commands("80AE")[1][4..6], "00");
        assert!(ran.commands("0082").is_empty() && ran.end().scripts.is_empty());
        let no = Setup::new().online().with(|s| s.host = Host::Refused("51", issuer));
        assert_eq!(no.run(judge().gives("80", "00")).told(), "Declined, the host refuses");
    }
    assert_eq!(yes(&tlv("DF7F", "07")).run(card()).told(), "Approved(HostAndCard), all is done");
}

#[test]
fn scripts_run_before_and_after_the_cards_last_word() {
    let before = tlv("71", &script("00000001", &["841E0000", "8424000001AA"]));
    let after = tlv("72", &script("00000002", &["04DA9F5801BB"]));
    let ran = yes(&(after + &before)).run(card().on("84", "9000").on("04", "9000"));
    let from = ran.sent.iter().position(|c| c.starts_with("841E")).unwrap();
    let order: Vec<&str> = ran.sent[from..].iter().map(|c| &c[..4]).collect();
    assert_eq!(order, ["841E", "8424", "80AE", "04DA"]);
    assert_eq!(ran.end().scripts, [[0x20, 0, 0, 0, 1], [0x20, 0, 0, 0, 2]]);
    assert_eq!((ran.tag(0xDF31), ran.tag(0x9F5B)), ("20000000012000000002".to_owned(), ran.tag(0xDF31)));
    assert_eq!((ran.tag(0x9B), &ran.tag(0x95)[8..]), ("6C00".to_owned(), "00"));
    // With a refusal too.
    let no = Setup::new().online().with(|s| s.host = Host::Refused("51", tlv("72", "860484180000")));
    let ran = no.run(Card::debit().gives("80", "00").on("84", "9000"));
    assert_eq!((ran.told().as_str(), ran.end().scripts.len()), ("Declined, the host refuses", 1));
    assert_eq!(ran.sent.last().unwrap(), "84180000");
}

#[test]
fn a_script_stops_at_the_first_status_but_90_62_and_63() {
    let three = ["841E0000", "84180000", "84160000"];
    for (template, bits) in [("71", "20"), ("72", "10")] {
        for (status, sent, result, failed) in [
            ("6985", 2, 0x12, true),
            ("6283", 3, 0x20, false),
            ("63C2", 3, 0x20, false),
            ("9101", 2, 0x12, true),
        ] {
            let issuer =
                tlv(template, &script("", &three)) + &tlv(template, &script("0000000A", &["841E0000"]));
            let ran = yes(&issuer).run(card().on("84", "9000").on("8418", status));
            assert_eq!(ran.commands("84").len(), sent + 1, "the next script runs: {status}");
            assert_eq!(ran.end().scripts, [[result, 0, 0, 0, 0], [0x20, 0, 0, 0, 0x0A]], "{status}");
            assert_eq!(&ran.tag(0x95)[8..], if failed { bits } else { "00" });
            assert_eq!(ran.told(), "Approved(HostAndCard), all is done");
        }
    }
    let many = vec!["84180000"; 17];
    let answers = [vec!["9000"; 16], vec!["6985"]].concat();
    let ran = yes(&tlv("72", &script("", &many))).run(card().on_all("84", &answers));
    assert_eq!(ran.end().scripts, [[0x1F, 0, 0, 0, 0]], "from 15 on");
}

#[test]
fn a_script_that_is_malformed_or_is_the_terminals_to_send_is_not_performed() {
    for inner in [
        "8605841E00".to_owned(),
        "860300A404".to_owned(),
        tlv("86", &format!("00A4040008{AID}")),
        tlv("86", "80AE400001AA"),
        tlv("86", "841E0000") + &tlv("86", "0020008001AA"),
        tlv("9F18", "00000001"),
        tlv("9F18", "00000001") + &tlv("9F18", "00000001") + &tlv("86", "841E0000"),
        tlv("9F18", "0001") + &tlv("86", "841E0000"),
        tlv("50", "00") + &tlv("86", "841E0000"),
    ] {
        let ran = yes(&tlv("71", &inner)).run(card().on("84", "9000"));
        assert_eq!((ran.end().scripts[0][0], &ran.tag(0x95)[8..]), (0, "20"), "{inner}");
        assert!(ran.commands("84").is_empty() && ran.commands("80AE").len() == 2, "{inner}");
    }
    let most = tlv("72", "860484180000").repeat(ISSUER_SCRIPTS_MAX);
    assert_eq!(yes(&most).run(card().on("84", "9000")).end().scripts.len(), ISSUER_SCRIPTS_MAX);
}

/// A run up to a command that begins so, at its n-th time; 0: to the card's approval.
fn up_to(setup: &Setup, begins: &str, nth: usize) -> payterm_emv::Contact {
    let (mut contact, mut step) = setup.start();
    let mut card = card().on("84", "9000");
    let mut seen = 0;
    loop {
        let answer;
        let input = match step {
            Step::Send(command) => {
                seen += usize::from(hex(&command).starts_with(begins));
                if seen == nth && nth > 0 {
                    return contact;
                }
                answer = card.answer(&command);
                Input::Answer(&answer)
            }
            Step::Parameters(_) => Input::Parameters(None),
            Step::Read(_) => Input::Proceed(setup.proceed),
            Step::Online(_) => {
                answer = crate::card::bytes(&tlv("72", "860484180000 860484180000"));
                Input::Host(HostWord::Approved { arc: *b"00", issuer: &answer })
            }
            Step::Completed(_) if nth == 0 => return contact,
            Step::Completed(_) => Input::Scripts,
            Step::Choose(_) | Step::Pin(_) | Step::Done(_) => panic!("not in this run"),
        };
        step = contact.step(input);
    }
}

fn done(step: Step) -> (Verdict, String, Vec<[u8; 5]>) {
    let Step::Done(end) = step else { panic!("not the end") };
    (end.verdict, end.why.to_string(), end.scripts)
}

#[test]
fn a_card_that_goes_during_the_last_scripts_stays_approved_before_it_does_not() {
    let setup = yes("");
    let mut contact = up_to(&setup, "84", 2);
    let (verdict, _, scripts) = done(contact.step(Input::Gone(Gone::Removed)));
    assert_eq!(verdict, Verdict::Approved(payterm_emv::step::By::HostAndCard));
    assert_eq!(scripts, [[0x12, 0, 0, 0, 0]], "the second command's fate is not known");
    let (verdict, ..) = done(contact.step(Input::Gone(Gone::Removed)));
    assert!(matches!(verdict, Verdict::Ended(_)), "an end is told once");
    for end in [Input::Stop, Input::TimeOut, Input::Gone(Gone::Mute), Input::Answer(&[0x90])] {
        let (verdict, ..) = done(up_to(&setup, "84", 1).step(end));
        assert!(matches!(verdict, Verdict::Approved(_)));
    }
    for end in [Input::Stop, Input::TimeOut, Input::Gone(Gone::Mute), Input::Answer(&[0x90])] {
        let (verdict, ..) = done(up_to(&setup, "80AE", 2).step(end));
        assert!(!matches!(verdict, Verdict::Approved(_)));
    }
    // It is told before them.
    for end in [Input::Stop, Input::TimeOut, Input::Gone(Gone::Reader)] {
        let (verdict, _, scripts) = done(up_to(&setup, "84", 0).step(end));
        assert_eq!(verdict, Verdict::Approved(payterm_emv::step::By::HostAndCard));
        assert_eq!(scripts, [[0; 5]], "not performed");
    }
    for word in [Input::Answer(&[0x90, 0]), Input::Chosen(None), Input::Proceed(setup.proceed)] {
        let (verdict, why, _) = done(up_to(&setup, "84", 0).step(word));
        assert!(matches!(verdict, Verdict::Ended(_)) && why == "told what was not asked");
    }
    // What does not fit approves nothing, not even then.
    let (verdict, why, _) =
        done(up_to(&setup, "84", 1).step(Input::Host(HostWord::NotSent { offline: true })));
    assert!(matches!(verdict, Verdict::Ended(_)) && why == "told what was not asked");
}
