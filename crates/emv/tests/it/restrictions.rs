//! Book 3 §10.4, processing restrictions.
use crate::card::{Card, Setup, ok, tlv};

/// Byte 2 of the TVR.
fn byte_2(setup: &Setup, card: Card) -> String {
    setup.run(card).tag(0x95)[2..4].to_owned()
}
fn first(objects: &str) -> Card {
    Card::debit().on("00B2010C", &ok(&tlv("70", &format!("5A086212345678901232{objects}"))))
}

#[test]
fn versions_are_compared_where_the_card_has_one() {
    for (version, byte) in [("", "00"), ("0030", "00"), ("0031", "80")] {
        assert_eq!(byte_2(&Setup::new(), Card::debit().with(&[("9F08", version)])), byte, "{version}");
    }
}

#[test]
fn an_application_holds_from_its_first_day_to_its_last() {
    for (from, to, byte) in [
        ("261202", "261202", "00"),
        ("261203", "301231", "20"),
        ("", "261201", "40"),
        ("500101", "491231", "00"),
        ("", "500101", "40"),
        ("261203", "261201", "60"),
    ] {
        let from = if from.is_empty() { String::new() } else { tlv("5F25", from) };
        let card = first(&(from.clone() + &tlv("5F24", to)));
        assert_eq!(byte_2(&Setup::new(), card), byte, "{from} {to}");
    }
}

#[test]
fn usage_control_by_place_country_and_kind() {
    // Control, the card's country, type of payment, cash in it, whether it is not allowed.
    for (control, country, kind, other, refused) in [
        ("0000", "", 0x00, 0, true),
        ("0100", "", 0x00, 0, false),
        ("0100", "", 0x01, 0, false),
        ("0200", "", 0x00, 0, true),
        ("0100", "0156", 0x00, 0, true),
        ("2100", "0156", 0x00, 0, false),
        ("0900", "0156", 0x00, 0, false),
        ("1500", "0156", 0x00, 0, true),
        ("1100", "0840", 0x00, 0, false),
        ("0500", "0840", 0x00, 0, false),
        ("2900", "0840", 0x00, 0, true),
        ("8100", "0156", 0x01, 0, false),
        ("7D00", "0156", 0x01, 0, true),
        ("4100", "0840", 0x01, 0, false),
        ("BD00", "0840", 0x01, 0, true),
        ("2180", "0156", 0x09, 500, false),
        ("2140", "0156", 0x09, 500, true),
        ("2140", "0156", 0x00, 500, true),
        ("1140", "0840", 0x09, 500, false),
        ("1180", "0840", 0x09, 500, true),
        ("0180", "0156", 0x09, 500, true),
        // Neither a payment nor cash.
        ("0100", "0156", 0x20, 0, false),
        ("0100", "0156", 0x31, 0, false),
    ] {
        let country_ = if country.is_empty() { String::new() } else { tlv("5F28", country) };
        let card = first(&("5F2403301231".to_owned() + &country_ + &tlv("9F07", control)));
        let setup = Setup::new().with(|s| (s.payment.kind, s.payment.other) = (kind, other));
        let byte = if refused { "10" } else { "00" };
        assert_eq!(byte_2(&setup, card), byte, "{control} {country} {kind:02X} {other}");
    }
    let atm = Setup::new().with(|s| (s.data.kind, s.data.additional[0]) = (0x14, 0x80));
    let use_at = |control: &str| first(&("5F2403301231".to_owned() + &tlv("9F07", control)));
    assert_eq!(byte_2(&atm, use_at("0200")), "00");
    assert_eq!(byte_2(&atm, use_at("0100")), "10");
}
