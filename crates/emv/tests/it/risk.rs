//! Book 3 §10.6, terminal risk management; §10.7, terminal action analysis.
use crate::card::{AID, Card, Host, Setup, aid, ok, tlv};
use payterm_emv::terminal::Limits;

/// Byte 4 of the TVR.
fn byte_4(setup: &Setup, card: Card) -> String {
    setup.run(card).tag(0x95)[6..8].to_owned()
}

#[test]
fn the_floor_counts_what_the_card_has_paid_in_this_batch() {
    let of = |amount, earlier| {
        let setup = Setup::new().with(|s| (s.payment.amount, s.proceed.earlier) = (amount, earlier));
        byte_4(&setup, Card::debit())
    };
    assert_eq!(of(99_999, 0), "00");
    assert_eq!(of(100_000, 0), "80");
    assert_eq!(of(50_000, 49_999), "00");
    assert_eq!(of(50_000, 50_000), "80");
    assert_eq!(of(1, u64::MAX), "80");
}

#[test]
fn random_selection_rises_from_the_threshold_to_the_floor() {
    // Target 10, most 50, threshold 500.00, floor 1000.00.
    let chosen = |amount: u64, draw: u8| {
        let setup = Setup::new().with(|s| {
            s.limits = Some(Limits { target: 10, most: 50, ..aid(AID).limits });
            (s.payment.amount, s.payment.draw) = (amount, draw);
        });
        byte_4(&setup, Card::debit())
    };
    assert_eq!((chosen(1, 10), chosen(1, 11)), ("10".to_owned(), "00".to_owned()));
    assert_eq!((chosen(50_000, 10), chosen(50_000, 11)), ("10".to_owned(), "00".to_owned()));
    assert_eq!((chosen(75_000, 30), chosen(75_000, 31)), ("10".to_owned(), "00".to_owned()));
    assert_eq!((chosen(99_999, 49), chosen(99_999, 50)), ("10".to_owned(), "00".to_owned()));
    assert_eq!(chosen(100_000, 1), "80", "not from the floor on");
    let offline = Setup::new().with(|s| {
        s.limits = Some(Limits { target: 99, most: 99, ..aid(AID).limits });
        s.data.kind = 0x23;
    });
    assert_eq!(byte_4(&offline, Card::debit()), "00", "nobody could be asked");
}

#[test]
fn velocity_is_counted_from_the_last_online_payment() {
    let of = |atc: &str, last: &str| {
        let card = Card::debit().with(&[("9F14", "02"), ("9F23", "04")]);
        let ran = Setup::new().run(card.on("80CA9F36", atc).on("80CA9F13", last));
        ran.tag(0x95)[2..8].to_owned()
    };
    let atc = |n: u16| ok(&tlv("9F36", &format!("{n:04X}")));
    let last = |n: u16| ok(&tlv("9F13", &format!("{n:04X}")));
    assert_eq!(of(&atc(12), &last(10)), "000000");
    assert_eq!(of(&atc(13), &last(10)), "000040");
    assert_eq!(of(&atc(14), &last(10)), "000040");
    assert_eq!(of(&atc(15), &last(10)), "000060");
    assert_eq!(of(&atc(10), &last(10)), "000060", "no step");
    assert_eq!(of(&atc(9), &last(10)), "000060", "backwards");
    assert_eq!(of(&atc(1), &last(0)), "080000", "a new card");
    assert_eq!(of("6A88", &last(10)), "000060");
    assert_eq!(of(&atc(12), "6A88"), "000060");
    assert_eq!(of("6A88", "6A88"), "000060");
    assert_eq!(of(&atc(12), &ok("9F13010A")), "000060", "one byte");
    let ran = Setup::new().run(Card::debit().with(&[("9F14", "02")]));
    assert!(ran.commands("80CA9F36").is_empty(), "one limit is none");
}

#[test]
fn the_merchant_and_the_exception_file_have_bits_of_their_own() {
    assert_eq!(byte_4(&Setup::new().with(|s| s.payment.force_online = true), Card::debit()), "08");
    let ran = Setup::new().with(|s| s.proceed.listed = true).run(Card::debit());
    assert_eq!(ran.tag(0x95), "9000000000");
}

/// What is asked of the card first: P1 of GENERATE AC.
fn asked(setup: &Setup, card: Card) -> String {
    setup.run(card).commands("80AE")[0][4..6].to_owned()
}

#[test]
fn action_codes_of_card_and_terminal_decide_denial_before_online() {
    // TVR is 8000000800: no authentication, forced online.
    let base = Setup::new().with(|s| s.payment.force_online = true);
    let hit = [0, 0, 0, 0x08, 0];
    let miss = [0x7F, 0xFF, 0xFF, 0xF7, 0xFF];
    let with = |denial: [u8; 5], online: [u8; 5], default: [u8; 5]| {
        let limits = Limits { denial, online, default, ..aid(AID).limits };
        base.clone().with(|s| s.limits = Some(limits))
    };
    assert_eq!(asked(&with(miss, miss, [0xFF; 5]), Card::debit()), "40");
    assert_eq!(asked(&with(miss, hit, miss), Card::debit()), "80");
    assert_eq!(asked(&with(hit, hit, miss), Card::debit()), "00");
    let none = with([0; 5], [0; 5], [0; 5]);
    assert_eq!(asked(&none, Card::debit().with(&[("9F0E", "0000000800")])), "00");
    assert_eq!(asked(&none, Card::debit().with(&[("9F0F", "0000000800")])), "80");
    // A card without codes: nothing is denied, everything goes online.
    assert_eq!(asked(&none, Card::debit().with(&[("9F0E", "")])), "40");
    assert_eq!(asked(&none, Card::debit().with(&[("9F0F", "")])), "80");
    assert_eq!(asked(&none, Card::debit().with(&[("9F0D", "")])), "40", "default is not asked yet");
}

#[test]
fn a_terminal_that_is_always_or_never_online_asks_accordingly() {
    let of = |kind: u8, default: [u8; 5]| {
        let limits = Limits { default, ..aid(AID).limits };
        Setup::new().with(|s| (s.data.kind, s.limits) = (kind, Some(limits)))
    };
    assert_eq!(asked(&of(0x21, [0; 5]), Card::debit()), "80");
    assert_eq!(asked(&of(0x23, [0; 5]), Card::debit()), "40");
    assert_eq!(asked(&of(0x23, [0xFF; 5]), Card::debit()), "00");
    assert_eq!(asked(&of(0x23, [0; 5]), Card::debit().with(&[("9F0D", "")])), "00");
    // An ARQC that nobody can be asked about.
    let ran = of(0x23, [0; 5]).run(Card::debit().gives("80", "40"));
    assert_eq!(ran.told(), "Approved(CardUnableOnline), all is done");
    assert!(ran.online.is_none());
    let ran = of(0x21, [0; 5]).with(|s| s.host = Host::NotSent).run(Card::debit().gives("80", "00"));
    assert_eq!(ran.commands("80AE")[1][4..6], *"00", "never alone");
}

#[test]
fn the_response_code_says_what_the_terminal_decided() {
    assert_eq!(Setup::new().run(Card::debit()).tag(0x8A), "5931", "Y1");
    let deny = Limits { denial: [0x80, 0, 0, 0, 0], ..aid(AID).limits };
    let ran = Setup::new().with(|s| s.limits = Some(deny)).run(Card::debit().gives("00", "00"));
    assert_eq!((ran.tag(0x8A), ran.told().as_str()), ("5A31".to_owned(), "Declined, the card declines"));
    let first = ran.commands("80AE")[0];
    assert!(first.ends_with("5A3100"), "the card is told: {first}");
}
