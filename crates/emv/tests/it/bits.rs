//! Book 3 Annex C5 and C6: each bit of TVR and TSI that is told to be set is set by a run, and no other.
use crate::card::{Card, Host, Setup, ok, tlv};
use payterm_emv::{
    step::PinWord,
    verification::{TSI, TVR, Use},
};

const ARPC: &str = "1122334455667788";

/// Runs that set, all together, what can be set.
fn runs() -> Vec<(Setup, Card)> {
    let s = Setup::new;
    let cvm = |rules: &str| Card::debit().with(&[("8E", &format!("0000000000000000{rules}"))]);
    let online = |issuer: &str| s().online().with(|x| x.host = Host::Approved("00", issuer.to_owned()));
    let asked = || Card::debit().gives("80", "40").aip("1C00").on("84", "6985");
    let velocity = Card::debit()
        .with(&[("9F14", "01"), ("9F23", "02")])
        .on("80CA9F36", &ok("9F36020009"))
        .on("80CA9F13", &ok("9F13020000"));
    vec![
        (s(), Card::debit()),
        (s().with(|x| x.proceed.listed = true), Card::debit().with(&[("8E", "")])),
        (s(), Card::debit().aip("5800")),
        (s(), Card::debit().aip("3800")),
        (s(), Card::debit().aip("1900")),
        (s().with(|x| x.payment.date = [0x31, 1, 1]), Card::debit().with(&[("9F08", "0001")])),
        (s().with(|x| x.payment.date = [0x26, 1, 1]), Card::debit().with(&[("5F25", "270101")])),
        (
            s().with(|x| x.payment.other = 1),
            Card::debit()
                .on("00B2010C", &ok(&tlv("70", "5A086212345678901232 5F2403301231 5F28020156 9F0702 0100"))),
        ),
        (s(), velocity),
        (s(), cvm("0600")),
        (s(), cvm("0100").on("80CA9F17", &ok("9F170100"))),
        (s().with(|x| x.pins = vec![PinWord::NoPad]), cvm("0200")),
        (s().with(|x| x.pins = vec![PinWord::Bypassed]), cvm("0200")),
        (s().with(|x| x.pins = vec![PinWord::Entered]), cvm("0200")),
        (s().with(|x| x.payment.amount = 100_000), Card::debit()),
        (s().with(|x| (x.aids[0].limits.target, x.aids[0].limits.most) = (99, 99)), Card::debit()),
        (s(), Card::debit().with(&[("8C", "9814")])),
        (online(&tlv("91", ARPC)), asked().on("0082", "6300")),
        (online(&tlv("71", "8604841E0000")), asked()),
        (online(&tlv("72", "8604841E0000")), asked()),
    ]
}

#[test]
fn each_bit_is_set_by_some_run_or_by_none_as_its_row_says() {
    let (mut tvr, mut tsi) = ([0u8; 5], [0u8; 2]);
    for (setup, card) in runs() {
        let ran = setup.run(card);
        let get = |tag| crate::card::bytes(&ran.tag(tag));
        tvr.iter_mut().zip(get(0x95)).for_each(|(all, one)| *all |= one);
        tsi.iter_mut().zip(get(0x9B)).for_each(|(all, one)| *all |= one);
    }
    for (rows, value) in [(&TVR[..], &tvr[..]), (&TSI[..], &tsi[..])] {
        for row in rows {
            let is_set = value[usize::from(row.byte - 1)] >> (row.bit - 1) & 1 == 1;
            assert_eq!(is_set, row.used == Use::Set, "byte {} bit {}: {}", row.byte, row.bit, row.name);
        }
    }
}

#[test]
fn authentication_that_is_not_possible_is_told_by_its_method() {
    for (aip, security, tvr, tsi) in [
        ("1800", 0xC8, "8000000000", "6800"),
        ("7900", 0x00, "8000000000", "6800"),
        ("5800", 0xC8, "6200000000", "E800"),
        ("3800", 0xC8, "2800000000", "E800"),
        ("7900", 0xC8, "2400000000", "E800"),
        ("7900", 0xC0, "2800000000", "E800"),
        ("7900", 0x80, "6200000000", "E800"),
    ] {
        let ran = Setup::new().with(|s| s.data.capabilities[2] = security).run(Card::debit().aip(aip));
        assert_eq!((ran.tag(0x95).as_str(), ran.tag(0x9B).as_str()), (tvr, tsi), "{aip} {security:02X}");
        assert!(ran.commands("0088").is_empty(), "no key, no challenge");
        assert_eq!(&ran.commands("80AE")[0][4..6], "40", "and no combined signature");
    }
}
