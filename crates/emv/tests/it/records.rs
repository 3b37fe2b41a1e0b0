//! Book 3, initiate and read application data; §7.2 and §7.5, data missing, doubled or malformed.
use crate::card::{AID, Card, Setup, fci, hex, ok, tlv};
use payterm_emv::{Tag, step::Note, terminal::Depth};

#[test]
fn both_formats_of_processing_options_lead_to_the_records() {
    let one = Setup::new().run(Card::debit());
    let two = Setup::new().run(Card::debit().on("80A8", &ok("770E 82021800 9408 08010100 08020200")));
    assert_eq!(one.sent.len(), two.sent.len());
    assert_eq!((two.tag(0x82), two.tag(0x94)), ("1800".to_owned(), "0801010008020200".to_owned()));
    assert_eq!(two.told(), "Approved(Card), all is done");
}

#[test]
fn processing_options_that_are_not_sound_end_the_run() {
    let all = format!("8000 {}", "08010100".repeat(64));
    for (answer, why) in [
        (tlv("80", "18"), "not what 80 should be"),
        (tlv("80", "1800"), "not what 94 should be"),
        (tlv("80", "1800 080101"), "not what 94 should be"),
        (tlv("80", "1800 00010100"), "not what 94 should be"),
        (tlv("80", "1800 F8010100"), "not what 94 should be"),
        (tlv("80", "1800 09010100"), "not what 94 should be"),
        (tlv("80", "1800 08000100"), "not what 94 should be"),
        (tlv("80", "1800 08020100"), "not what 94 should be"),
        (tlv("80", "1800 08010203"), "not what 94 should be"),
        (tlv("77", "82021800"), "94 is missing"),
        (tlv("77", "940408010100"), "82 is missing"),
        (tlv("77", "820118 940408010100"), "not what 82 should be"),
        (tlv("77", "82021800 82021800 940408010100"), "82: it is there twice"),
        (tlv("70", "82021800 940408010100"), "not what 77 should be"),
        (tlv("80", "1800 08010100") + "5000", "not what 77 should be"),
        (tlv("77", "82021800 9404080101"), "94: 4 bytes are announced, 3 are there"),
        (tlv("80", &all), "the card answers with more than 256 bytes"),
    ] {
        let ran = Setup::new().run(Card::debit().on("80A8", &ok(&answer)));
        assert!(ran.told().ends_with(why) && ran.told().starts_with("Ended"), "{answer}: {}", ran.told());
        assert!(ran.commands("00B2").is_empty() && ran.commands("80AE").is_empty());
    }
}

#[test]
fn a_locator_may_fill_an_answer() {
    // 62 entries are the most that one answer has room for.
    let all = ok(&tlv("80", &format!("1800{}", "08010100".repeat(62))));
    let ran = Setup::new().run(Card::debit().on("80A8", &all).on("00B2010C", &ok("7000")));
    assert_eq!((ran.commands("00B2").len(), ran.told().as_str()), (62, "Ended(Nothing), 5A is missing"));
}

#[test]
fn what_is_read_is_told_and_the_run_waits() {
    let more = tlv("50", &hex(b"DEBIT")) + &tlv("5F2D", &hex(b"frENzh"));
    let card = Card::debit().with(&[("57", "6212345678901232D3012201000000000F")]);
    let card = card.on(&format!("00A4040008{AID}"), &ok(&fci(AID, &more)));
    let ran = Setup::new().run(card);
    let track2 = "6212345678901232=3012201000000000";
    assert_eq!(ran.read, format!("6212345678901232 Some(1) 3012 {track2} Some(\"en\") {AID} DEBIT"));
    let ran =
        Setup::new().run(Card::debit().on("00B2010C", &ok("7010 5A086212345678901232 5F2403301231 00")));
    assert_eq!(ran.read, format!("6212345678901232 None 3012  None {AID} DEBIT"));
}

#[test]
fn a_read_only_run_asks_the_card_for_nothing_more() {
    let ran = Setup::new().with(|s| s.payment.depth = Depth::Read).run(Card::debit());
    assert_eq!(ran.told(), "Read, all is done");
    assert!(ran.read.starts_with("6212345678901232"));
    assert!(ran.commands("80AE").is_empty() && ran.commands("80CA").is_empty());
}

#[test]
fn book_3_7_2_what_must_be_there_is_there() {
    for (tag, first) in [("5A", true), ("5F24", true), ("8C", false), ("8D", false)] {
        let record = Card::record_1().replace(' ', "");
        let cut = match tag {
            "5A" => record.replace("5A086212345678901232", ""),
            _ => record.replace("5F2403301231", ""),
        };
        let card = match first {
            true => Card::debit().on("00B2010C", &ok(&tlv("70", &cut))),
            false => Card::debit().with(&[(tag, "")]),
        };
        let ran = Setup::new().run(card);
        assert_eq!(ran.told(), format!("Ended(Nothing), {tag} is missing"));
        assert!(ran.read.is_empty());
    }
}

#[test]
fn book_3_7_5_what_is_doubled_or_malformed_ends_the_run() {
    for (record, why) in [
        (tlv("70", "5F340101 5F340101"), "5F34: it is there twice"),
        // In two records.
        (tlv("70", "9F0D050000000000"), "9F0D: it is there twice"),
        (tlv("71", "5F340101"), "not what 70 should be"),
        (tlv("70", "5F340101") + "5000", "not what 70 should be"),
        ("7005".to_owned(), "70: 5 bytes are announced, 0 are there"),
        (tlv("70", "5F3402"), "5F34: 2 bytes are announced, 0 are there"),
        (tlv("70", "5F34020101"), "not what 5F34 should be"),
        (tlv("70", "5F34010A"), "not what 5F34 should be"),
        (tlv("70", "5F2403301331"), "not what 5F24 should be"),
        (tlv("70", "5F250230 12"), "not what 5F25 should be"),
        (tlv("70", "5A086212345678F01232"), "not what 5A should be"),
        (tlv("70", "5A036212 34"), "not what 5A should be"),
        (tlv("70", "5A0A62123456789012321234"), "not what 5A should be"),
        (tlv("70", "57096212345678901232D3"), "not what 57 should be"),
        (tlv("70", "570B6212345678901232301220"), "not what 57 should be"),
        (tlv("70", "9F070100"), "not what 9F07 should be"),
        (tlv("70", "8E0700000000000000"), "not what 8E should be"),
        (tlv("70", "9F0E0400000000"), "not what 9F0E should be"),
    ] {
        let ran = Setup::new().run(Card::debit().on("00B2010C", &ok(&record)));
        assert!(
            ran.told().ends_with(why) && ran.told().starts_with("Ended(Nothing)"),
            "{record}: {}",
            ran.told()
        );
        assert!(ran.commands("80AE").is_empty());
    }
    let ran = Setup::new().run(Card::debit().on("00B2020C", "6A83"));
    assert_eq!(ran.told(), "Ended(Nothing), the card answers 6A83 to B2");
    let other = Card::debit().with(&[("57", "6212345678901240D3012201000000000F")]);
    assert!(Setup::new().run(other).told().ends_with("not what 57 should be"), "another number");
}

#[test]
fn no_card_sets_what_is_the_terminals_or_the_issuers_or_of_another_template() {
    let card = Card::debit().with(&[
        ("9F02", "000000000001"),
        ("95", "0000000000"),
        ("8A", "3030"),
        ("9F27", "40"),
        ("9F26", "FFFFFFFFFFFFFFFF"),
        ("84", "A000000004"),
        ("9F38", "9F0206"),
        ("DF7F", "07"),
        ("9F10", "FF"),
    ]);
    let card = card.on("80AE", &ok(&tlv("80", "00 0001 1122334455667788")));
    let ran = Setup::new().run(card);
    assert_eq!(ran.told(), "Declined, the card declines");
    assert_eq!(ran.tag(0x9F02), "000000001000");
    assert_eq!((ran.tag(0x9F27), ran.tag(0x9F26)), ("00".to_owned(), "1122334455667788".to_owned()));
    assert_eq!(
        (ran.tag(0x84), ran.tag(0x8A), ran.tag(0x9F10)),
        (AID.to_owned(), "5931".to_owned(), String::new())
    );
    assert_eq!(ran.tag(0xDF7F), "07", "what nobody knows is kept");
}

#[test]
fn files_above_10_need_no_template() {
    let card = Card::debit().on("80A8", &ok(&tlv("80", "1800 08010100 08020200 58010100")));
    let ran = Setup::new().run(card.on("00B2015C", &ok("FF01")));
    assert_eq!(ran.told(), "Approved(Card), all is done");
}

#[test]
fn sensitive_values_stand_in_no_log_and_no_debug_text() {
    let card = Card::debit().with(&[("57", "6212345678901232D3012201000000000F"), ("5F20", "4E414D45")]);
    let ran = Setup::new().run(card);
    let text = format!("{:?} {:?} {:?}", ran.end().log, ran.end().tags, ran.end().why);
    let spaced = "62, 12, 34, 56";
    assert!(!text.contains("62123456") && !text.contains(spaced) && !text.contains("4E, 41"), "{text}");
    assert!(text.contains("Selected") && text.contains("Tvr("), "it says what was decided: {text}");
    // The same card and payment, the same log.
    let card = Card::debit().with(&[("57", "6212345678901232D3012201000000000F"), ("5F20", "4E414D45")]);
    assert_eq!(Setup::new().run(card).end().log, ran.end().log);
}

#[test]
fn book_3_6_5_what_generate_ac_answers_with_is_not_taken_from_the_processing_options() {
    let early = tlv("77", "82021800 940808010100 08020200 9F260888776655443322119F1002FFFF");
    let ran = Setup::new().run(Card::debit().on("80A8", &ok(&early)));
    for tag in [0x9F26, 0x9F10] {
        assert!(ran.end().log.contains(&Note::Ignored(Tag(tag))), "{}", Tag(tag));
    }
    assert_eq!((ran.tag(0x9F26), ran.tag(0x9F10)), ("1122334455667788".into(), "0706".into()));
}
