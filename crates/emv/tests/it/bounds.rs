//! What a run may take, and what does not fit.
use crate::card::{Card, Setup, ok, tlv};
use payterm_emv::{
    contact::{ANSWERS_MAX, COMMANDS_MAX, OBJECTS_MAX},
    step::{Gone, HostWord, Input, PinWord, Proceed, Step},
};
use proptest::prelude::*;

#[test]
fn a_run_has_so_many_commands() {
    // 200 records a file, all empty.
    let ran = Setup::new().run(
        Card::debit()
            .on("80A8", &ok(&tlv("80", "1800 0801C800 1001C800 1801C800 2001C800")))
            .on("00B2", &ok("7000")),
    );
    assert_eq!(ran.told(), "Ended(Nothing), too much: commands");
    assert_eq!(ran.sent.len(), usize::from(COMMANDS_MAX));
    // GET RESPONSEs among them.
    let ran = Setup::new().run(
        Card::debit()
            .on("80A8", &ok(&tlv("80", "1800 0801C800 1001C800")))
            .on("00B2", "6102")
            .on_all("00C0", &[&ok("7000")]),
    );
    assert_eq!(ran.told(), "Ended(Nothing), too much: commands");
    assert_eq!(ran.sent.len(), usize::from(COMMANDS_MAX));
}

#[test]
fn a_card_may_say_so_much() {
    let zeros = ok(&tlv("70", &"00".repeat(250)));
    let ran = Setup::new()
        .run(Card::debit().on("80A8", &ok(&tlv("80", "1800 0801FF00 1001FF00 1801FF00"))).on("00B2", &zeros));
    assert_eq!(ran.told(), "Ended(Nothing), too much: bytes");
    let most = ANSWERS_MAX / (zeros.len() / 2);
    assert!((most..=most + 3).contains(&ran.commands("00B2").len()), "{}", ran.commands("00B2").len());
}

#[test]
fn a_card_may_give_so_many_objects() {
    let empty = ok(&tlv("70", &"F000".repeat(120)));
    let card = Card::debit().on("80A8", &ok(&tlv("80", "1800 10010A00"))).on("00B2", &empty);
    let ran = Setup::new().run(card);
    assert_eq!(ran.told(), "Ended(Nothing), too much: data objects");
    assert_eq!(ran.commands("00B2").len(), usize::from(OBJECTS_MAX) / 120 + 1);
}

#[test]
fn a_card_without_end_is_unreadable() {
    let ran = Setup::new().run(Card::new().on("00", "61FF"));
    assert_eq!(ran.told(), "Ended(TryAgain), the card has more to say after 16 GET RESPONSEs");
    let ran = Setup::new().run(Card::new().on("00", ""));
    assert_eq!(ran.told(), "Ended(TryAgain), the card answers without a status word");
    // After a cryptogram was asked for nothing is tried again.
    let ran = Setup::new().run(Card::debit().on("80AE", "6100").on("00C0", "61FF"));
    assert_eq!(ran.told(), "Ended(Nothing), the card has more to say after 16 GET RESPONSEs");
}

/// All inputs that do not come from a card.
fn words() -> Vec<Input<'static>> {
    vec![
        Input::Chosen(Some(0)),
        Input::Parameters(None),
        Input::Proceed(Proceed::default()),
        Input::Pin(PinWord::Status(0x9000)),
        Input::Pin(PinWord::Entered),
        Input::Host(HostWord::Approved { arc: *b"00", issuer: &[] }),
        Input::Host(HostWord::NotSent { offline: true }),
        Input::Answer(&[0x90, 0x00]),
    ]
}
fn asked(step: &Step) -> &'static str {
    match step {
        Step::Send(_) => "send",
        Step::Choose(_) => "choose",
        Step::Parameters(_) => "parameters",
        Step::Read(_) => "read",
        Step::Pin(_) => "pin",
        Step::Online(_) => "online",
        Step::Completed(_) => "completed",
        Step::Done(_) => "done",
    }
}

/// A run with a card that has it all, up to its n-th step.
fn reach(n: usize) -> (payterm_emv::Contact, Step) {
    let setup = Setup::new().online();
    let aid = crate::card::AID;
    let confirm = ok(&crate::card::fci(aid, "870181"));
    let mut card = Card::debit()
        .with(&[("8E", "0000000000000000 0200")])
        .on(&format!("00A4040008{aid}"), &confirm)
        .gives("80", "40");
    let (mut contact, mut step) = setup.start();
    for _ in 0..n {
        let answer;
        let input = match &step {
            Step::Send(command) => {
                answer = card.answer(command);
                Input::Answer(&answer)
            }
            Step::Choose(_) => Input::Chosen(Some(0)),
            Step::Parameters(_) => Input::Parameters(None),
            Step::Read(_) => Input::Proceed(setup.proceed),
            Step::Pin(_) => Input::Pin(PinWord::Entered),
            Step::Online(_) => Input::Host(HostWord::Approved { arc: *b"00", issuer: &[] }),
            Step::Completed(_) => Input::Scripts,
            Step::Done(_) => return (contact, step),
        };
        step = contact.step(input);
    }
    (contact, step)
}

#[test]
fn an_input_that_does_not_fit_ends_the_run_and_approves_nothing() {
    let fits = ["choose", "parameters", "read", "pin", "pin", "online", "online", "send"];
    let mut seen = std::collections::BTreeSet::new();
    for n in 0.. {
        let (_, step) = reach(n);
        let at = asked(&step);
        seen.insert(at);
        for (word, fit) in words().into_iter().zip(fits) {
            if fit == at {
                continue;
            }
            let Step::Done(end) = reach(n).0.step(word) else { panic!("{at} takes what is for {fit}") };
            assert_eq!(format!("{:?}, {}", end.verdict, end.why), "Ended(Nothing), told what was not asked");
        }
        for gone in [Input::Gone(Gone::Removed), Input::Stop, Input::TimeOut] {
            let Step::Done(end) = reach(n).0.step(gone) else { panic!("{at} goes on") };
            assert!(!matches!(end.verdict, payterm_emv::step::Verdict::Approved(_)), "{at}");
        }
        if at == "done" {
            break;
        }
    }
    assert_eq!(seen.len(), 7, "{seen:?}");
}

#[test]
fn a_card_that_goes_may_be_tried_again_until_a_cryptogram_was_asked_for() {
    let told = |n: usize| {
        let Step::Done(end) = reach(n).0.step(Input::Gone(Gone::Removed)) else { panic!("it goes on") };
        format!("{:?}", end.verdict)
    };
    let first = (0..).find(|n| matches!(&reach(*n).1, Step::Send(c) if c[1] == 0xAE)).unwrap();
    assert_eq!((told(0), told(first - 1)), ("Ended(TryAgain)".to_owned(), "Ended(TryAgain)".to_owned()));
    assert_eq!((told(first), told(first + 1)), ("Ended(Nothing)".to_owned(), "Ended(Nothing)".to_owned()));
}

proptest! {
    #[test]
    fn whatever_a_card_says_a_run_ends_and_only_a_tc_approves(
        spoiled in prop::collection::vec((0usize..30, any::<prop::sample::Index>(), any::<u8>()), 0..6),
        host in prop::collection::vec(any::<u8>(), 0..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let setup = Setup::new().online();
        let mut card = Card::debit().aip("1C00").gives("80", "40").on("0082", "9000").on("84", "9000");
        let (mut contact, mut step) = setup.start();
        let mut turns = 0;
        loop {
            let mut answer;
            let input = match &step {
                Step::Send(command) => {
                    answer = card.answer(command);
                    for (_, at, byte) in spoiled.iter().filter(|(n, ..)| *n == turns) {
                        let at = at.index(answer.len());
                        answer[at] = *byte;
                        if *byte < 8 {
                            answer.truncate(cut.index(answer.len()));
                        }
                    }
                    Input::Answer(&answer)
                }
                Step::Choose(_) => Input::Chosen(Some(0)),
                Step::Parameters(_) => Input::Parameters(None),
                Step::Read(_) => Input::Proceed(setup.proceed),
                Step::Pin(_) => Input::Pin(PinWord::Status(0x9000)),
                Step::Online(_) => Input::Host(HostWord::Approved { arc: *b"00", issuer: &host }),
                Step::Completed(_) => Input::Scripts,
                Step::Done(end) => {
                    let approved = matches!(end.verdict, payterm_emv::step::Verdict::Approved(_));
                    prop_assert!(!approved || end.cid.is_some_and(|cid| cid & 0xC0 == 0x40));
                    break;
                }
            };
            turns += 1;
            prop_assert!(turns < 2 * usize::from(COMMANDS_MAX));
            step = contact.step(input);
        }
    }
}
