//! Contactless Books A, B and C-7: taps of scripted cards, whose data no signature is over.
use crate::card::{AID, Card, Setup, bytes, fci, hex, ok, tlv};
use payterm_emv::{
    Tag, Tap,
    contact::COMMANDS_MAX,
    step::{End, Gone, HostWord, Input, PinAsk, PinWord, Step},
    terminal::{Aid, Depth, Parameters, ParametersFault, TapLimits, Terminal},
};
use std::sync::Arc;

const PPSE: &str = "325041592E5359532E4444463031";
const CREDIT: &str = "A000000333010102";
const PDOL: &str = "9F6604 9F0206 9F0306 9F1A02 9505 5F2A02 9A03 9C01 9F3704 DF6901 9F7A01";
const LIMITS: TapLimits = TapLimits { floor: 20_000, most: 500_000, cvm: 100_000 };
/// AIP, counter, cryptogram, track 2; the other objects beside.
const GIVEN: &str = "82022000 9F36020001 9F26081122334455667788";
const TRACK: &str = "57126212345678901232D30121220000000000FF";

/// An entry of the directory.
fn entry(name: &str, objects: &str) -> String {
    tlv("61", &(tlv("4F", name) + objects))
}
fn directory(entries: &str) -> String {
    ok(&tlv("6F", &(tlv("84", PPSE) + &tlv("A5", &tlv("BF0C", entries)))))
}
fn iad(kind: &str) -> String {
    format!("9F1008 070101 03{kind}0000 01")
}
fn options(kind: &str, objects: &str) -> String {
    ok(&tlv("77", &(GIVEN.to_owned() + &iad(kind) + objects)))
}
/// A card with one application that gives an ARQC (A0), TC (90) or AAC (80) with these objects.
fn card(kind: &str, objects: &str) -> Card {
    Card::new()
        .on(&format!("00A404000E{PPSE}"), &directory(&entry(AID, "870101")))
        .on(&format!("00A4040008{AID}"), &ok(&fci(AID, &(tlv("50", &hex(b"DEBIT")) + &tlv("9F38", PDOL)))))
        .on("80A8", &options(kind, &format!("{TRACK}{objects}")))
}

/// The setup's terminal, and all that a tap is told.
struct Taps {
    setup: Setup,
    pin: PinWord,
    host: fn() -> HostWord<'static>,
    /// The card leaves behind so many commands.
    leaves: Option<usize>,
}
fn approved() -> HostWord<'static> {
    HostWord::Approved { arc: *b"00", issuer: &[] }
}
fn taps() -> Taps {
    let setup = Setup::new().with(|s| s.aids[0].tap = Some(LIMITS));
    Taps { setup, pin: PinWord::Entered, host: approved, leaves: None }
}

#[derive(Default)]
struct Tapped {
    sent: Vec<String>,
    asked: Vec<&'static str>,
    read: String,
    end: Option<Box<End>>,
}
impl Tapped {
    fn told(&self) -> String {
        let end = self.end.as_ref().unwrap();
        format!("{:?}, {}", end.verdict, end.why)
    }
    fn tag(&self, tag: u32) -> String {
        self.end.as_ref().unwrap().tags.get(Tag(tag)).map(hex).unwrap_or_default()
    }
}

impl Taps {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
    fn run(&self, mut card: Card) -> Tapped {
        let terminal = Arc::new(Terminal::new(self.setup.data.clone()).unwrap());
        let parameters = Parameters::new(1, self.setup.aids.clone(), Vec::new(), Vec::new()).unwrap();
        let (mut tap, mut step) = Tap::start(terminal, Arc::new(parameters), self.setup.payment).unwrap();
        let mut ran = Tapped::default();
        for _ in 0..2 * COMMANDS_MAX {
            let answer;
            let input = match step {
                Step::Send(_) if self.leaves == Some(ran.sent.len()) => Input::Gone(Gone::Removed),
                Step::Send(command) => {
                    ran.sent.push(hex(&command));
                    answer = card.answer(&command);
                    Input::Answer(&answer)
                }
                Step::Read(read) => {
                    ran.asked.push("read");
                    ran.read = format!("{} {:?} {}", read.pan.reveal(), read.psn, read.expiry.reveal());
                    Input::Proceed(self.setup.proceed)
                }
                Step::Pin(PinAsk::Online) => {
                    ran.asked.push("pin");
                    Input::Pin(self.pin)
                }
                Step::Online(_) => {
                    ran.asked.push("online");
                    Input::Host((self.host)())
                }
                Step::Choose(_) | Step::Parameters(_) | Step::Pin(_) | Step::Completed(_) => {
                    panic!("not in a tap")
                }
                Step::Done(end) => {
                    ran.end = Some(end);
                    return ran;
                }
            };
            step = tap.step(input);
        }
        panic!("a run without an end");
    }
    fn told(&self, card: Card) -> String {
        self.run(card).told()
    }
}

#[test]
fn book_c7_an_arqc_goes_online_and_the_hosts_word_is_final() {
    let ran = taps().run(card("A0", "9F6C020080"));
    assert_eq!(ran.told(), "Approved(Host), all is done");
    assert_eq!(ran.asked, ["read", "online"]);
    assert_eq!(ran.read, "6212345678901232 None 3012");
    let of = |begins: &str| ran.sent.iter().filter(|c| c.starts_with(begins)).count();
    assert_eq!((ran.sent.len(), of("00A4"), of("80A8")), (3, 2, 1), "no GENERATE AC");
    // Qualifiers, amount, other, country, TVR, currency, date, kind, number, no SM, no electronic cash.
    let told = "36000080 000000001000 000000000000 0156 0000000000 0156 261202 00 01020304 00 00";
    assert_eq!(ran.sent[2], format!("80A80000258323{}00", told.replace(' ', "")));
    assert_eq!(
        (ran.tag(0x9F27), ran.tag(0x9F39), ran.tag(0x95)),
        ("80".into(), "07".into(), "0000000000".into())
    );
    for (host, told) in [
        (
            (|| HostWord::Refused { arc: *b"51", issuer: &[] }) as fn() -> HostWord<'static>,
            "the host refuses",
        ),
        (|| HostWord::Approved { arc: *b"01", issuer: &[] }, "the host refuses"),
        (|| HostWord::NotSent { offline: true }, "the host could not be asked"),
        (|| HostWord::NoReply, "the host gave no answer"),
    ] {
        let told_ = taps().with(|t| t.host = host).told(card("A0", ""));
        assert_eq!(told_, format!("Declined, {told}"));
    }
}

#[test]
fn book_c7_the_card_says_how_its_holder_is_verified() {
    let cvm = "Ended(InsertInstead), card and terminal have no cardholder verification in common";
    let fine = "Approved(Host), all is done";
    let at = |amount: u64| taps().with(|t| t.setup.payment.amount = amount);
    for (amount, ctq, told, results, pins) in [
        (1_000, "", fine, "3F0000", 0),
        (1_000, "0000", fine, "3F0000", 0),
        (1_000, "8000", fine, "020000", 1),
        (1_000, "4000", fine, "1E0000", 0),
        (99_999, "0000", fine, "3F0000", 0),
        (100_000, "0000", cvm, "3F0000", 0),
        (100_000, "", cvm, "3F0000", 0),
        (100_000, "8000", fine, "020000", 1),
        (100_000, "8080", fine, "020000", 1),
        (100_000, "0080", fine, "3F0000", 0),
        (100_000, "4000", fine, "1E0000", 0),
    ] {
        let objects = if ctq.is_empty() { String::new() } else { tlv("9F6C", ctq) };
        let ran = at(amount).run(card("A0", &objects));
        let asked = ran.asked.iter().filter(|a| **a == "pin").count();
        assert_eq!(
            (ran.told().as_str(), ran.tag(0x9F34).as_str(), asked),
            (told, results, pins),
            "{amount} {ctq}"
        );
    }
    // A phone's word that its signed copy does not have is none.
    let two = |copy: &str| card("A0", &format!("9F6C020080 9F690701 01020304 {copy}"));
    assert_eq!(at(100_000).told(two("0080")), fine);
    assert_eq!(at(100_000).told(two("0000")), cvm);
    assert_eq!(at(100_000).told(card("A0", "9F6C020080 9F690501 01020304")), cvm, "and one without them");
    // Neither key nor pad for a PIN; the card's second wish is taken.
    let no_key = |t: &mut Taps| t.setup.proceed.online_pin = false;
    assert_eq!(at(100_000).with(no_key).told(card("A0", "9F6C028000")), cvm);
    assert_eq!(at(100_000).with(no_key).told(card("A0", "9F6C02C000")), fine);
    assert_eq!(at(1_000).with(no_key).told(card("A0", "9F6C028000")), cvm, "the card wants one");
    for word in [PinWord::NoPad, PinWord::Bypassed] {
        assert_eq!(at(1_000).with(|t| t.pin = word).told(card("A0", "9F6C028000")), cvm);
    }
    let cancelled = at(1_000).with(|t| t.pin = PinWord::Cancelled).told(card("A0", "9F6C028000"));
    assert_eq!(cancelled, "Ended(Nothing), the customer cancelled");
}

#[test]
fn book_c7_what_the_card_decides_alone_is_believed_with_a_signature_only() {
    let lied = "Declined, the card lies: its signature is wrong";
    let dates = "5F2403301231";
    assert_eq!(taps().told(card("80", "")), "Declined, the card declines");
    assert_eq!(taps().told(card("90", dates)), lied, "no signature");
    assert_eq!(taps().told(card("90", &format!("{dates} 9F6C022000"))), lied, "it may not go online instead");
    let switch = taps().told(card("90", &format!("{dates} 9F6C021000")));
    assert_eq!(switch, "Ended(InsertInstead), the card lies: its signature is wrong");
    let day = "Declined, the application is not valid on this day";
    assert_eq!(taps().told(card("90", "")), day);
    assert_eq!(taps().told(card("90", "5F2403261201")), day);
    assert_eq!(taps().told(card("90", "5F2403301231 5F2503261203")), day);
    let listed = taps().with(|t| t.setup.proceed.listed = true).told(card("90", dates));
    assert_eq!(listed, "Declined, the card is on the exception file");
    let more = "Ended(Nothing), the card lies: more than it was asked for";
    let online = taps().with(|t| t.setup.payment.amount = 20_001);
    assert_eq!(online.told(card("90", dates)), more, "a TC where the terminal wanted to go online");
    assert_eq!(taps().told(card("90", &format!("{dates} 9F270180"))), more, "it says both");
    let offline = taps().with(|t| t.setup.data.kind = 0x23).told(card("A0", ""));
    assert_eq!(offline, "Declined, the host could not be asked");
}

#[test]
fn book_c7_options_that_are_not_whole_end_the_tap() {
    let insert = |why: &str| format!("Ended(InsertInstead), {why}");
    let gpo = |answer: &str| taps().told(card("A0", "").on("80A8", answer));
    assert_eq!(gpo(&ok(&tlv("80", "2000 08010100"))), insert("an answer to 80A8 that is not of format 2"));
    for (left, whole) in [(0x82, GIVEN.to_owned()), (0x9F36, GIVEN.to_owned()), (0x9F26, GIVEN.to_owned())] {
        let objects = bytes(&(whole + &iad("A0") + TRACK));
        let others = payterm_emv::tlv::read(&objects).map(Result::unwrap).filter(|t| t.tag != Tag(left));
        let others: String = others.map(|t| tlv(&t.tag.to_string(), &hex(t.value))).collect();
        assert_eq!(gpo(&ok(&tlv("77", &others))), insert(&format!("{} is missing", Tag(left))));
    }
    let no_iad = ok(&tlv("77", &(GIVEN.to_owned() + TRACK)));
    assert_eq!(gpo(&no_iad), insert("9F10 is missing"));
    assert_eq!(gpo(&options("B0", TRACK)), insert("not what 9F10 should be"));
    assert_eq!(gpo(&options("A0", "")), insert("5A is missing"));
    assert_eq!(gpo(&options("A0", &format!("{TRACK}{TRACK}"))), insert("57: it is there twice"));
    assert_eq!(
        gpo(&options("A0", &format!("{TRACK} 5A086212345678901240"))),
        insert("not what 57 should be")
    );
    for (list, missing) in [("", "9F38"), ("9F0206", "9F66"), ("9F6603", "9F66")] {
        let objects = if list.is_empty() { String::new() } else { tlv("9F38", list) };
        let told = taps().told(card("A0", "").on(&format!("00A4040008{AID}"), &ok(&fci(AID, &objects))));
        assert_eq!(told, insert(&format!("{missing} is missing")));
    }
    assert_eq!(gpo("6984"), insert("the card answers 6984 to A8"));
    assert_eq!(gpo("6986"), "Ended(SeePhone), the card answers 6986 to A8");
    assert_eq!(gpo("90"), "Ended(TapAgain), the card answers without a status word");
}

#[test]
fn book_b_without_a_directory_for_taps_the_card_is_inserted() {
    let none = "Ended(InsertInstead), the card has no directory for taps";
    let ppse = format!("00A404000E{PPSE}");
    let other = directory(&entry(AID, "870101")).replace(PPSE, &PPSE.replace("32", "31"));
    for answer in ["6A82", "6A81", "6283", &ok(&fci(PPSE, "")), &other, &ok("6F00")] {
        let ran = taps().run(card("A0", "").on(&ppse, answer));
        let told = if answer == "6A81" { "Ended(Nothing), the card is blocked" } else { none };
        let selects = ran.sent.iter().filter(|c| c.starts_with("00A4")).count();
        assert_eq!((ran.told().as_str(), selects), (told, 1), "{answer}: no other directory, no list");
    }
    let with = |entries: &str| taps().told(card("A0", "").on(&ppse, &directory(entries)));
    let nothing = "Ended(InsertInstead), card and terminal have no application in common";
    assert_eq!(with(&entry(CREDIT, "")), nothing);
    assert_eq!(with(&entry("A000000333010106", "")), "Ended(Nothing), the card has electronic cash only");
    let any = taps().with(|t| (t.setup.aids[0].partial, t.setup.aids[0].name) = (true, bytes("A000000333")));
    let cash = any.told(card("A0", "").on(&ppse, &directory(&entry("A000000333010106", ""))));
    assert_eq!(cash, "Ended(Nothing), the card has electronic cash only", "whatever the terminal takes");
    assert_eq!(any.told(card("A0", "")), "Approved(Host), all is done");
    assert_eq!(with(&entry("A0000003330101010203", "")), nothing, "a longer name, and no partial match");
    assert_eq!(with(&tlv("61", "870101")), "Ended(InsertInstead), not what 61 should be");
    assert_eq!(with(&entry("A0000003", "")), "Ended(InsertInstead), not what 4F should be");
    let fine = "Approved(Host), all is done";
    for (kernel, told) in
        [("07", fine), ("00", fine), ("", fine), ("03", nothing), ("47", nothing), ("87", nothing)]
    {
        assert_eq!(with(&entry(AID, &tlv("9F2A", kernel))), told, "kernel {kernel}");
    }
}

#[test]
fn book_b_applications_are_tried_by_the_cards_priority() {
    let two = |t: &mut Taps| t.setup.aids.push(Aid { tap: Some(LIMITS), ..crate::card::aid(CREDIT) });
    let both = |debit: &str, credit: &str| {
        let entries = entry(AID, debit) + &entry(CREDIT, credit);
        card("A0", "")
            .on(&format!("00A404000E{PPSE}"), &directory(&entries))
            .on(&format!("00A4040008{CREDIT}"), &ok(&fci(CREDIT, &tlv("9F38", PDOL))))
    };
    let tried = |card: Card| {
        let ran = taps().with(two).run(card);
        let selects = ran.sent.iter().filter(|c| c.starts_with("00A4040008"));
        (selects.map(|c| c[10..26].to_owned()).collect::<Vec<_>>(), ran.told())
    };
    let fine = "Approved(Host), all is done".to_owned();
    for (debit, credit, first) in [
        ("870101", "870102", AID),
        ("870102", "870101", CREDIT),
        ("", "87010F", CREDIT),
        ("870101", "870101", AID),
        ("870100", "", AID),
        ("870182", "870101", CREDIT),
    ] {
        assert_eq!(tried(both(debit, credit)), (vec![first.to_owned()], fine.clone()), "{debit} {credit}");
    }
    let order = vec![AID.to_owned(), CREDIT.to_owned()];
    for drops in ["6985", "6D00"] {
        let card = both("870101", "870102").on_all("80A8", &[drops, &options("A0", TRACK)]);
        assert_eq!(tried(card), (order.clone(), fine.clone()), "{drops}");
    }
    for answer in ["6A82", "6283", &ok(&fci(CREDIT, "")), &ok("6F00")] {
        let card = both("870101", "870102").on(&format!("00A4040008{AID}"), answer);
        assert_eq!(tried(card), (order.clone(), fine.clone()), "{answer}");
    }
    let none = both("870101", "870102").on("80A8", "6985");
    assert_eq!(tried(none), (order, "Ended(InsertInstead), the card answers 6985 to A8".to_owned()));
}

#[test]
fn book_b_entries_are_those_of_one_answer() {
    let ppse = format!("00A404000E{PPSE}");
    let with = |entries: &str| taps().run(card("A0", "").on(&ppse, &directory(entries)));
    // As many as there is room for, each tried once.
    let all = with(&entry(AID, "").repeat(16));
    assert_eq!(all.told(), "Approved(Host), all is done");
    let none =
        taps().run(card("A0", "").on(&ppse, &directory(&entry(AID, "").repeat(16))).on("80A8", "6985"));
    let selects = none.sent.iter().filter(|c| c.starts_with("00A4")).count();
    assert_eq!((none.told().as_str(), selects), ("Ended(InsertInstead), the card answers 6985 to A8", 17));
    let long = with(&entry(AID, "").repeat(20)).told();
    assert_eq!(long, "Ended(TapAgain), the card answers with more than 256 bytes");
}

#[test]
fn book_a_what_is_more_than_a_tap_pays_is_not_begun() {
    let ran = taps().with(|t| t.setup.payment.amount = LIMITS.most).run(card("A0", ""));
    let over = "Ended(InsertInstead), more than may be paid by a tap";
    assert_eq!((ran.told().as_str(), ran.sent.len()), (over, 0));
    let none = taps().with(|t| t.setup.aids[0].tap = None).told(card("A0", ""));
    assert_eq!(none, "Ended(InsertInstead), card and terminal have no application in common");
    let with = |limits| {
        let aid = Aid { tap: Some(limits), ..crate::card::aid(AID) };
        Parameters::new(1, vec![aid], Vec::new(), Vec::new()).err()
    };
    let digits = 1_000_000_000_000;
    for wrong in [
        TapLimits { most: 0, ..LIMITS },
        TapLimits { most: digits, ..LIMITS },
        TapLimits { floor: digits, ..LIMITS },
        TapLimits { cvm: digits, ..LIMITS },
    ] {
        assert_eq!(with(wrong), Some(ParametersFault::TapLimits(0)));
    }
    assert_eq!(with(TapLimits { floor: digits - 1, most: digits - 1, cvm: digits - 1 }), None);
}

#[test]
fn a_card_that_leaves_before_its_last_answer_is_tapped_again() {
    let records = card("A0", "940408010100").on("00B2010C", &ok(&tlv("70", "5F3401 01")));
    // What is answered to a command, or is the terminal's, is no record's.
    let late = records
        .clone()
        .on("00B2010C", &ok(&tlv("70", "9F26088877665544332211 9F0206000000000001 5F3401 01")));
    let ran = taps().run(late);
    assert_eq!(ran.told(), "Approved(Host), all is done");
    assert_eq!((ran.tag(0x9F26), ran.tag(0x9F02)), ("1122334455667788".into(), "000000001000".into()));
    for leaves in 0..4 {
        let told = taps().with(|t| t.leaves = Some(leaves)).told(records.clone());
        assert_eq!(told, "Ended(TapAgain), the card is gone: Removed", "{leaves}");
    }
    assert_eq!(taps().with(|t| t.leaves = Some(4)).told(records), "Approved(Host), all is done");
}

#[test]
fn a_tap_has_the_bounds_of_every_run() {
    let endless = card("A0", &tlv("94", &"0801FF00".repeat(3)));
    let endless = endless.on("00B2", &ok("7000"));
    let ran = taps().run(endless);
    assert_eq!(ran.told(), "Ended(InsertInstead), too much: commands");
    assert_eq!(ran.sent.len(), usize::from(COMMANDS_MAX));
}

#[test]
fn what_was_not_asked_ends_a_tap() {
    let host = || Input::Host(approved());
    let told = |inputs: Vec<Input<'_>>| {
        let setup = taps().setup;
        let parameters = Parameters::new(1, setup.aids, Vec::new(), Vec::new()).unwrap();
        let terminal = Arc::new(Terminal::new(setup.data).unwrap());
        let (mut tap, mut step) = Tap::start(terminal, Arc::new(parameters), setup.payment).unwrap();
        let mut card = card("A0", "");
        while let Step::Send(command) = step {
            step = tap.step(Input::Answer(&card.answer(&command)));
        }
        for input in inputs {
            step = tap.step(input);
        }
        let Step::Done(end) = step else { panic!("it goes on") };
        format!("{:?}, {}", end.verdict, end.why)
    };
    let proceed = || Input::Proceed(taps().setup.proceed);
    let wrong = "Ended(Nothing), told what was not asked";
    for inputs in [
        vec![host()],
        vec![Input::Pin(PinWord::Entered)],
        vec![Input::Answer(&[0x90, 0x00])],
        vec![Input::Gone(Gone::Removed)],
        vec![Input::Chosen(Some(0))],
        vec![proceed(), proceed()],
        vec![proceed(), host(), host()],
    ] {
        assert_eq!(told(inputs), wrong);
    }
    assert_eq!(told(vec![proceed(), host()]), "Approved(Host), all is done");
    assert_eq!(told(vec![proceed(), Input::Stop]), "Ended(Nothing), stopped");
    assert_eq!(told(vec![Input::TimeOut]), "Ended(Nothing), timed out");
}

#[test]
fn depth_read_reads_and_decides_nothing() {
    let read = |t: &mut Taps| t.setup.payment.depth = Depth::Read;
    for kind in ["A0", "90", "80"] {
        let ran = taps().with(read).run(card(kind, ""));
        assert_eq!((ran.told().as_str(), &ran.asked[..]), ("Read, all is done", &["read"][..]), "{kind}");
    }
}
