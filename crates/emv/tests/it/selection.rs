//! Book 1, application selection; Book 3, initiate application processing.
use crate::card::{AID, Card, Setup, aid, fci, hex, ok, tlv};
use payterm_emv::contact::{APPLICATIONS_MAX, SELECTIONS_MAX};

const PSE: &str = "00A404000E";
const OTHER: &str = "A000000333010102";
const CASH: &str = "A000000333010106";

fn label(text: &str, more: &str) -> String {
    tlv("50", &hex(text.as_bytes())) + more
}
fn select(name: &str) -> String {
    format!("00A40400{:02X}{name}", name.len() / 2)
}
/// With a directory of these entries in file 1.
fn directory(card: Card, entries: &str) -> Card {
    card.on(PSE, &ok(&fci("315041592E5359532E4444463031", "880101 9F110101")))
        .on("00B2010C", &ok(&tlv("70", entries)))
        .on("00B2020C", "6A83")
}
fn entry(name: &str, label_: &str, more: &str) -> String {
    tlv("61", &(tlv("4F", name) + &label(label_, more)))
}
/// A card that ends at GET PROCESSING OPTIONS: what is selected is seen.
fn applications(names: &[(&str, &str)]) -> Card {
    let on = |card: Card, (name, more): &(&str, &str)| {
        card.on(&select(name), &ok(&fci(name, &label("APP", more)))).on("80A8", "6F00")
    };
    names.iter().fold(Card::new(), on)
}
fn two() -> Setup {
    Setup::new().with(|s| s.aids.push(aid(OTHER)))
}

#[test]
fn without_a_directory_each_name_of_the_terminal_is_tried() {
    let ran = two().run(applications(&[(OTHER, "")]));
    assert_eq!(ran.parameters, [OTHER]);
    let tried: Vec<&str> = ran.commands("00A4");
    assert_eq!(tried.len(), 4, "directory, two names, the final one: {tried:?}");
    assert!(ran.choices.is_empty(), "the only one is taken");
}

#[test]
fn the_directory_is_read_to_its_end_and_what_fits_is_offered_in_the_cards_order() {
    let entries = entry(OTHER, "CREDIT", "870102")
        + &entry("A0000000041010", "FOREIGN", "870101")
        + &entry(AID, "DEBIT", "870101");
    let card = directory(applications(&[(AID, ""), (OTHER, "")]), &entries);
    let ran = two().run(card);
    let names: Vec<_> = ran.choices[0].iter().map(|c| (hex(&c.name), c.priority)).collect();
    assert_eq!(names, [(hex(b"DEBIT"), Some(1)), (hex(b"CREDIT"), Some(2))]);
    assert_eq!(ran.parameters, [AID]);
    assert_eq!(ran.commands("00A4").len(), 2, "directory and the final one");
}

#[test]
fn a_directory_that_is_not_sound_or_names_nothing_leaves_the_list() {
    let sound = entry(AID, "A", "");
    for (first, record) in [
        ("6A82".to_owned(), tlv("70", &sound)),
        ("6283".to_owned(), tlv("70", &sound)),
        (ok(&fci("315041592E5359532E4444463031", "88010B")), tlv("70", &sound)),
        (ok(&fci("315041592E5359532E4444463031", "")), tlv("70", &sound)),
        (ok("6F05"), tlv("70", &sound)),
        (ok(&fci("315041592E5359532E4444463031", "880101")), tlv("71", &sound)),
        (ok(&fci("315041592E5359532E4444463031", "880101")), "7003610150".to_owned()),
        (ok(&fci("315041592E5359532E4444463031", "880101")), tlv("70", &tlv("61", &tlv("50", "41")))),
        (ok(&fci("315041592E5359532E4444463031", "880101")), tlv("70", &entry("A0000000041010", "A", ""))),
    ] {
        let card = applications(&[(AID, "")]).on(PSE, &first).on("00B2010C", &ok(&record));
        let ran = two().run(card.on("00B2020C", "6A83"));
        assert_eq!(ran.parameters, [AID], "{first} {record}");
        assert_eq!(ran.commands("00A4").len(), 4, "both names are tried: {first} {record}");
    }
    // A record that cannot be read throws out those before it.
    let card = directory(applications(&[(AID, "")]), &entry(OTHER, "A", "")).on("00B2020C", "6F00");
    assert_eq!(two().run(card).parameters, [AID]);
}

#[test]
fn a_name_that_goes_on_fits_where_the_terminal_says_so_and_the_next_is_asked_for() {
    let long = format!("{AID}77");
    let longer = format!("{AID}88");
    let next = format!("00A4040208{AID}");
    let card = applications(&[])
        .on(&select(AID), &ok(&fci(&long, &label("ONE", ""))))
        .on_all(&next, &[&ok(&fci(&longer, &label("TWO", ""))), "6A82"])
        .on(&select(&longer), &ok(&fci(&longer, &label("TWO", ""))))
        .on("80A8", "6F00");
    let partial = Setup::new().with(|s| s.aids[0].partial = true).with(|s| s.chosen = Some(1));
    let ran = partial.run(card.clone());
    assert_eq!(ran.choices[0].len(), 2);
    assert_eq!((ran.commands(&next).len(), &ran.parameters[..]), (2, &[AID.to_owned()][..]));
    assert_eq!(ran.tag(0x84), longer, "the card's name");
    assert_eq!(ran.tag(0x9F06), AID, "the terminal's");
    let ran = Setup::new().run(card);
    assert_eq!(ran.told(), "Ended(Swipe), card and terminal have no application in common");
    assert_eq!(ran.commands(&next).len(), 2, "an exact one may stand behind");
    // In a directory too.
    let card = directory(applications(&[(&long, "")]), &entry(&long, "A", ""));
    assert_eq!(partial.run(card.clone()).choices.len(), 0);
    assert_eq!(partial.run(card.clone()).tag(0x84), long);
    assert!(Setup::new().run(card).parameters.is_empty());
}

#[test]
fn a_name_that_fits_two_of_the_terminals_has_the_data_of_the_longer() {
    let setup = Setup::new().with(|s| {
        s.aids.insert(0, aid("A000000333"));
        s.aids[0].partial = true;
        s.aids[0].version = [0, 1];
    });
    let next = "00A4040205A000000333";
    let card = applications(&[(AID, "")])
        .on(&select("A000000333"), &ok(&fci(AID, &label("A", ""))))
        .on(next, "6A82");
    let ran = setup.run(card);
    assert_eq!((ran.parameters[0].as_str(), ran.tag(0x9F09)), (AID, "0030".to_owned()));
    let ran = setup.run(directory(applications(&[(AID, "")]), &entry(AID, "A", "")));
    assert_eq!(ran.parameters, [AID]);
}

#[test]
fn a_blocked_card_or_application_is_said_and_never_swiped() {
    for begins in [PSE.to_owned(), select(AID)] {
        let ran = two().run(applications(&[(OTHER, "")]).on(&begins, "6A81"));
        assert_eq!(ran.told(), "Ended(Nothing), the card is blocked", "{begins}");
    }
    let blocked = format!("{}6283", fci(AID, &label("A", "")));
    let ran = two().run(applications(&[]).on(&select(AID), &blocked));
    assert_eq!(ran.told(), "Ended(Nothing), the application is blocked");
    let ran = two().run(applications(&[(OTHER, "")]).on(&select(AID), &blocked));
    assert_eq!(ran.parameters, [OTHER], "the other one is not");
    // Blocked between list and final selection.
    let card = applications(&[]).on_all(&select(AID), &[&ok(&fci(AID, &label("A", ""))), &blocked]);
    assert_eq!(Setup::new().run(card).told(), "Ended(Nothing), the application is blocked");
}

#[test]
fn nothing_in_common_may_be_swiped_but_electronic_cash_alone_may_not() {
    let ran = two().run(Card::new());
    assert_eq!(ran.told(), "Ended(Swipe), card and terminal have no application in common");
    assert_eq!(ran.commands(&select(CASH)).len(), 1, "it is looked for");
    let ran = two().run(applications(&[(CASH, "")]));
    assert_eq!(ran.told(), "Ended(Nothing), the card has electronic cash only");
    let partial = Setup::new()
        .with(|s| s.aids = vec![payterm_emv::terminal::Aid { partial: true, ..aid("A000000333") }]);
    let card = directory(applications(&[(CASH, "")]), &entry(CASH, "EC", ""));
    assert!(partial.run(card.on("00A4040205", "6A82")).told().contains("electronic cash only"));
    // A terminal without UnionPay does not ask.
    let foreign = Setup::new().with(|s| s.aids = vec![aid("A0000000041010")]);
    assert!(foreign.run(Card::new()).commands(&select(CASH)).is_empty());
}

#[test]
fn what_must_be_confirmed_is_asked_for_even_alone() {
    let card = applications(&[(AID, "870181")]);
    let ran = Setup::new().run(card.clone());
    assert_eq!((ran.choices[0].len(), ran.choices[0][0].confirm), (1, true));
    assert_eq!(ran.parameters, [AID]);
    let ran = Setup::new().with(|s| s.chosen = None).run(card.clone());
    assert_eq!(ran.told(), "Ended(Nothing), the customer cancelled");
    let ran = Setup::new().with(|s| s.chosen = Some(1)).run(card);
    assert_eq!(ran.told(), "Ended(Nothing), told what was not asked");
}

#[test]
fn names_are_in_the_cards_characters_where_the_terminal_has_them() {
    let shown = |more: &str| {
        let ran = Setup::new().run(applications(&[(AID, &format!("870181{more}"))]));
        let choice = &ran.choices[0][0];
        (String::from_utf8(choice.name.clone()).unwrap(), choice.table)
    };
    let preferred = tlv("9F12", &hex(b"LIKED"));
    assert_eq!(shown(&format!("9F110101{preferred}")), ("LIKED".to_owned(), Some(1)));
    assert_eq!(shown(&format!("9F110102{preferred}")), ("APP".to_owned(), None), "not the terminal's");
    assert_eq!(shown(&preferred), ("APP".to_owned(), None), "no table");
    let bare = applications(&[]).on(&select(AID), &ok(&fci(AID, "870181"))).on("80A8", "6F00");
    assert_eq!(Setup::new().run(bare).choices[0][0].name, AID.as_bytes());
}

#[test]
fn an_application_that_fails_at_its_selection_or_start_is_out_and_the_customer_is_asked_again() {
    let good = ok(&fci(OTHER, &label("B", "870102")));
    let first = ok(&fci(AID, &label("A", "870101")));
    for last in ["6A82".to_owned(), ok(&fci(OTHER, "")), ok("6F0284"), ok(&tlv("6F", &tlv("A5", "")))] {
        let card =
            Card::new().on_all(&select(AID), &[&first, &last]).on(&select(OTHER), &good).on("80A8", "6F00");
        let ran = two().run(card);
        assert_eq!(ran.choices.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1], "{last}");
        assert_eq!(ran.parameters, [OTHER]);
    }
    for status in ["6985", "6D00"] {
        let card = Card::new().on(&select(AID), &first).on(&select(OTHER), &good);
        let ran = two().run(card.on("80A8", status));
        assert_eq!((ran.parameters.len(), ran.choices.len()), (2, 2), "{status}");
        assert_eq!(ran.told(), format!("Ended(Nothing), the card answers {status} to A8"));
    }
    let card = Card::new().on(&select(AID), &first).on(&select(OTHER), &good);
    assert_eq!(two().run(card.on("80A8", "6F00")).parameters, [AID], "another status ends the run");
}

#[test]
fn selections_and_applications_are_bounded() {
    let endless = |name: String| ok(&fci(&name, &label("A", "")));
    let partial = Setup::new().with(|s| s.aids[0].partial = true);
    let card = Card::new().on("00A40400", &endless(format!("{AID}01")));
    let ran = partial.run(card.on("00A40402", &endless(format!("{AID}02"))));
    assert_eq!(ran.told(), "Ended(Nothing), too much: selections");
    assert_eq!(ran.commands("00A40402").len(), usize::from(SELECTIONS_MAX));
    let many = |n: usize| -> Card {
        let all = (0..n).map(|i| entry(&format!("{AID}{i:02X}"), "A", "")).collect::<Vec<_>>();
        let records: Vec<String> = all.chunks(8).map(|c| ok(&tlv("70", &c.concat()))).collect();
        let mut card = directory(Card::new(), "");
        for (at, record) in records.iter().enumerate() {
            card = card.on(&format!("00B2{:02X}0C", at + 1), record);
        }
        card.on(&format!("00B2{:02X}0C", records.len() + 1), "6A83")
    };
    assert_eq!(partial.run(many(APPLICATIONS_MAX)).choices[0].len(), APPLICATIONS_MAX);
    let ran = partial.run(many(APPLICATIONS_MAX + 1));
    assert_eq!(ran.told(), "Ended(Nothing), too much: applications");
}

#[test]
fn the_pdol_is_filled_with_the_payment_and_the_limits_may_be_replaced() {
    let pdol = tlv("9F38", "9F0206 9F1A02 9F1B04 DF6901 9F7A01 9F6604");
    let card = || Card::debit().on(&select(AID), &ok(&fci(AID, &label("A", &pdol))));
    let options = |setup: Setup| setup.run(card()).commands("80A8")[0].to_owned();
    let filled = "80A8000014 8312 000000001000 0156 000186A0 00 00 00000000 00".replace(' ', "");
    assert_eq!(options(Setup::new()), filled);
    let limits = payterm_emv::terminal::Limits { floor: 7, threshold: 0, ..aid(AID).limits };
    let other = options(Setup::new().with(|s| s.limits = Some(limits)));
    assert_eq!(other, filled.replace("000186A0", "00000007"));
    let wrong = payterm_emv::terminal::Limits { target: 2, most: 1, ..limits };
    let ran = Setup::new().with(|s| s.limits = Some(wrong)).run(card());
    assert_eq!(ran.told(), "Ended(Nothing), told what was not asked");
    assert!(ran.commands("80A8").is_empty());
    assert_eq!(Setup::new().run(Card::debit()).commands("80A8"), ["80A8000002830000"], "no PDOL");
}

#[test]
fn an_application_without_online_pin_lowers_what_the_terminal_says_it_can() {
    let ran = Setup::new().run(Card::debit());
    assert_eq!(ran.tag(0x9F33), "E0F8C8");
    let ran = Setup::new().with(|s| s.aids[0].online_pin = false).run(Card::debit());
    assert_eq!(ran.tag(0x9F33), "E0B8C8");
}
