//! The issuer against the real test card, with the kernel between them.
use super::super::{PERSONAS, TestCard, play::DATE, runs};
use super::*;
use payterm_emv::{
    Tags,
    step::{By, End, HostWord, Input, Proceed, Step, Verdict},
};

/// Elements of a sale (host-protocol, F55).
const SALE: [u32; 20] = [
    0x9F26, 0x9F27, 0x9F10, 0x9F37, 0x9F36, 0x95, 0x9A, 0x9C, 0x9F02, 0x5F2A, 0x82, 0x9F1A, 0x9F03, 0x9F33,
    0x9F34, 0x9F35, 0x9F1E, 0x84, 0x9F09, 0x9F41,
];
/// Those that a cryptogram is over, and itself.
const SIGNED: [u32; 12] =
    [0x9F02, 0x9F03, 0x9F1A, 0x95, 0x5F2A, 0x9A, 0x9C, 0x9F37, 0x82, 0x9F36, 0x9F10, 0x9F26];

/// All personas, none of them blocked.
fn personas() -> Personas {
    let mut all = Personas::parse(PERSONAS).unwrap();
    all.all.iter_mut().flat_map(|p| &mut p.applications).for_each(|row| row.blocked = false);
    all
}
fn card(name: &str) -> TestCard {
    TestCard::new(&personas(), name, DATE).unwrap()
}
/// Number and sequence number of the application that is selected first.
fn account(name: &str) -> (String, Option<u8>) {
    let personas = personas();
    let persona = personas.named(name).unwrap();
    let row = persona.applications.iter().min_by_key(|row| row.priority).unwrap();
    (row.pan.clone(), Some(row.psn))
}
fn tag(tag: u32) -> Tag {
    Tag::new(tag).unwrap()
}
fn icc(tags: &Tags) -> Icc {
    Icc::parse(&tags.list(&SALE.map(payterm_emv::Tag))).unwrap()
}
/// The same data, with another value of one tag, or without it.
fn with(icc: &Icc, of: u32, value: Option<&[u8]>) -> Icc {
    let mut bytes = Vec::new();
    for (t, v) in icc.iter() {
        let v = if t == tag(of) { value } else { Some(v) };
        if let Some(v) = v {
            bytes.extend(of_one(t, v));
        }
    }
    Icc::parse(&bytes).unwrap()
}
fn of_one(tag: Tag, value: &[u8]) -> Vec<u8> {
    let mut bytes = hex::decode(tag.to_string()).unwrap();
    bytes.push(value.len() as u8);
    bytes.extend(value);
    bytes
}

/// A run of the kernel; `host` is told F55 and says code and data, or nothing.
fn run(card: &mut TestCard, minor: u64, host: impl FnOnce(Icc) -> Option<([u8; 2], Vec<u8>)>) -> End {
    card.reset();
    let (mut contact, mut step) = runs::start(minor);
    let mut host = Some(host);
    for _ in 0..200 {
        let bytes;
        let input = match step {
            Step::Send(command) => {
                bytes = card.answer(&command);
                Input::Answer(&bytes)
            }
            Step::Choose(_) => Input::Chosen(Some(0)),
            Step::Parameters(_) => Input::Parameters(None),
            Step::Read(_) => {
                Input::Proceed(Proceed { earlier: 0, listed: false, online_pin: true, offline: true })
            }
            Step::Pin(ask) => Input::Pin(card.pin_word(&ask)),
            Step::Online(online) => match host.take().unwrap()(icc(&online.tags)) {
                Some((arc, issuer)) => {
                    bytes = issuer;
                    let approved = arc == *b"00";
                    Input::Host(if approved {
                        HostWord::Approved { arc, issuer: &bytes }
                    } else {
                        HostWord::Refused { arc, issuer: &bytes }
                    })
                }
                None => Input::Host(HostWord::NoReply),
            },
            Step::Completed(_) => Input::Scripts,
            Step::Done(end) => return *end,
        };
        step = contact.step(input);
    }
    panic!("a run without an end");
}
/// What a card asks, in a run that hears no answer.
fn ask(card: &mut TestCard, minor: u64) -> Icc {
    let mut asked = None;
    run(card, minor, |icc| {
        asked = Some(icc);
        None
    });
    asked.unwrap()
}

#[test]
fn each_personas_arqc_is_right_its_answer_is_believed_and_its_last_word_too() {
    let all = personas();
    let issuer = CardIssuer::new(&all);
    for persona in &all.all {
        let (name, (pan, psn)) = (&persona.name, account(&persona.name));
        assert!(issuer.knows(&pan) && issuer.pin(&pan).is_some());
        let mut card = card(name);
        let end = run(&mut card, 30_000, |icc| {
            let asked = issuer.check(&pan, psn, &icc).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!((asked.amount, asked.atc), (30_000, 1), "{name}");
            assert_eq!(issuer.check(&pan, None, &icc), Ok(asked), "{name}: without a sequence number");
            assert!(!issuer.verify_final(&pan, psn, &icc), "{name}: an ARQC is no last word");
            Some((*b"00", issuer.answer(&asked, *b"00", &[]).bytes()))
        });
        let refuses = name == "refuses-after-approval";
        let verdict = if refuses { Verdict::Declined } else { Verdict::Approved(By::HostAndCard) };
        assert_eq!(end.verdict, verdict, "{name}");
        let last = icc(&end.tags);
        assert_eq!(last.values(tag(0x9F27)).next().unwrap(), [if refuses { AAC } else { TC }], "{name}");
        assert!(issuer.verify_final(&pan, psn, &last), "{name}");
        assert_eq!(issuer.check(&pan, psn, &last), Err(IccRefusal::NoArqc), "{name}");
        for (wrong, of) in [(TC, "AAC"), (AAC, "TC"), (ARQC, "last word")] {
            let other = with(&last, 0x9F27, Some(&[wrong]));
            assert!(other == last || !issuer.verify_final(&pan, psn, &other), "{name}: {of} by 9F27 alone");
        }
        assert_eq!(
            issuer.check(&pan, psn, &with(&last, 0x9F27, Some(&[ARQC]))),
            Err(IccRefusal::Kind),
            "{name}"
        );
        for of in SIGNED {
            for changed in changes(&last, of) {
                assert!(!issuer.verify_final(&pan, psn, &changed), "{name}: {of:02X}");
            }
        }
    }
    assert!(!issuer.knows("6212345678900000003"));
    let icc = ask(&mut card("debit"), 100);
    assert_eq!(issuer.check("6212345678900000003", None, &icc), Err(IccRefusal::Unknown));
    assert_eq!(issuer.check(&account("debit").0, Some(9), &icc), Err(IccRefusal::Unknown));
    let (pan, psn) = account("wrong-ca");
    assert_eq!(issuer.check(&pan, psn, &icc), Err(IccRefusal::Cryptogram), "another card's");
}

/// The data with each bit of a tag's value inverted in its turn.
fn changes(icc: &Icc, of: u32) -> Vec<Icc> {
    let value = icc.values(tag(of)).next().unwrap();
    let spoilt = |bit: usize| {
        let mut value = value.to_vec();
        value[bit / 8] ^= 1 << (bit % 8);
        with(icc, of, Some(&value))
    };
    (0..value.len() * 8).map(spoilt).collect()
}

#[test]
fn each_bit_that_the_cryptogram_is_over_counts_and_a_missing_tag_is_named() {
    let issuer = CardIssuer::new(&personas());
    for name in ["debit", "credit"] {
        let (pan, psn) = account(name);
        let icc = ask(&mut card(name), 12_345);
        for of in SIGNED {
            for changed in changes(&icc, of) {
                let refusal = issuer.check(&pan, psn, &changed).unwrap_err();
                let expected = match of {
                    0x9F10 => vec![IccRefusal::Cryptogram, IccRefusal::Form(tag(of)), IccRefusal::Kind],
                    _ => vec![IccRefusal::Cryptogram],
                };
                assert!(expected.contains(&refusal), "{name}: {of:02X}: {refusal}");
            }
            let value = icc.values(tag(of)).next().unwrap();
            let shorter = with(&icc, of, value.get(1..));
            assert_eq!(issuer.check(&pan, psn, &shorter), Err(IccRefusal::Form(tag(of))));
        }
        for of in SIGNED.into_iter().chain([0x9F27]) {
            let missing = with(&icc, of, None);
            assert_eq!(issuer.check(&pan, psn, &missing), Err(IccRefusal::Missing(tag(of))));
            assert!(!issuer.verify_final(&pan, psn, &missing));
        }
        for kind in [TC, AAC] {
            let other = with(&icc, 0x9F27, Some(&[kind]));
            assert_eq!(issuer.check(&pan, psn, &other), Err(IccRefusal::NoArqc));
        }
        // What it is not over.
        let other = with(&icc, 0x9F33, Some(&[0, 0, 0]));
        assert!(other != icc && issuer.check(&pan, psn, &other).is_ok());
    }
}

#[test]
fn a_counter_is_approved_once_and_the_same_question_may_come_again() {
    let issuer = CardIssuer::new(&personas());
    let ((pan, psn), mut card) = (account("debit"), card("debit"));
    let check = |issuer: &CardIssuer, icc: &Icc| issuer.check(&pan, psn, icc);
    let mut twin = card.clone();
    let [first, second] = [ask(&mut card, 100), ask(&mut card, 100)];
    // Another question with the second's counter.
    ask(&mut twin, 100);
    let other = ask(&mut twin, 200);
    let asked = check(&issuer, &second).unwrap();
    issuer.answer(&asked, *b"51", &[]);
    assert!(
        [&first, &second, &other].iter().all(|icc| check(&issuer, icc).is_ok()),
        "refused: nothing counts"
    );
    let before = issuer.clone();
    issuer.answer(&asked, *b"00", &[]);
    assert_eq!(check(&issuer, &first), Err(IccRefusal::Replayed));
    assert_eq!(check(&issuer, &other), Err(IccRefusal::Replayed));
    assert_eq!(check(&issuer, &second), Ok(asked), "busy, no reply: the same again");
    assert!(check(&issuer, &ask(&mut card, 100)).is_ok(), "the next one");
    assert!(check(&before, &first).is_ok(), "a copy that was made before");
    assert_eq!(check(&issuer.clone(), &first), Err(IccRefusal::Replayed), "one that was made behind it");
    let restarted = CardIssuer::new(&personas());
    restarted.approved(&pan, psn, asked.atc, asked.cryptogram);
    restarted.approved(&pan, psn, 0, [0; 8]);
    assert_eq!(check(&restarted, &first), Err(IccRefusal::Replayed));
    assert_eq!(check(&restarted, &second), Ok(asked));
    let ((pan, psn), mut other) = (account("wrong-ca"), self::card("wrong-ca"));
    assert!(issuer.check(&pan, psn, &ask(&mut other, 100)).is_ok(), "each card counts by itself");
}

#[test]
fn a_spoilt_answer_is_not_believed() {
    let issuer = CardIssuer::new(&personas());
    for name in ["debit", "credit"] {
        let (pan, psn) = account(name);
        for bit in (0..64).step_by(9) {
            let end = run(&mut card(name), 100, |icc| {
                let asked = issuer.check(&pan, psn, &icc).unwrap();
                let mut bytes = issuer.answer(&asked, *b"00", &[]).bytes();
                bytes[2 + bit / 8] ^= 1 << (bit % 8);
                Some((*b"00", bytes))
            });
            assert_eq!(end.verdict, Verdict::Declined, "{name}: bit {bit}");
        }
        // A no with a right answer is a no.
        let end = run(&mut card(name), 100, |icc| {
            let asked = issuer.check(&pan, psn, &icc).unwrap();
            Some((*b"51", issuer.answer(&asked, *b"51", &[]).bytes()))
        });
        assert_eq!(end.verdict, Verdict::Declined);
        assert_eq!(end.tags.get(payterm_emv::Tag(0x95)).unwrap()[4] & 0x40, 0, "{name}: the issuer is right");
    }
}

/// The run's results, and its verdict, when these scripts are told; `spoil` changes the issuer's data.
fn scripted(
    card: &mut TestCard,
    name: &str,
    scripts: &[Script],
    spoil: impl Fn(&mut Vec<u8>),
) -> (Verdict, Vec<[u8; 5]>) {
    let ((pan, psn), issuer) = (account(name), CardIssuer::new(&personas()));
    let end = run(card, 30_000, |icc| {
        let asked = issuer.check(&pan, psn, &icc).unwrap();
        let mut bytes = issuer.answer(&asked, *b"00", scripts).bytes();
        spoil(&mut bytes);
        Some((*b"00", bytes))
    });
    (end.verdict, end.scripts)
}

/// What a script did to the card.
type Done = fn(&TestCard) -> bool;

#[test]
fn scripts_are_carried_out_before_and_behind_the_last_word_and_not_with_a_spoilt_mac() {
    let approved = Verdict::Approved(By::HostAndCard);
    for name in ["debit", "credit", "offline"] {
        for (when, id) in [(When::Before, 0x71), (When::After, 0x72)] {
            let all: [(Script, Done); 4] = [
                (Script::ApplicationBlock { when }, |c| c.applications[0].blocked),
                (Script::CardBlock { when }, |c| c.blocked),
                (Script::PinUnblock { when }, |c| c.tries == 3),
                (Script::OfflineCount { when, count: 9 }, |c| c.applications[0].offline_count == 9),
            ];
            for (script, done) in all {
                let fresh = || {
                    let mut card = card(name);
                    card.tries = 1;
                    card
                };
                let mut card = fresh();
                let mut before = fresh();
                // A card that blocks itself says nothing more.
                let mute = script == Script::CardBlock { when: When::Before };
                let (verdict, results) = scripted(&mut card, name, &[script], |_| ());
                assert_eq!(verdict == approved, !mute, "{name}: {script:?}");
                assert!(done(&card), "{name}: {script:?}");
                assert_eq!(results, [[0x20, 0, 0, 0, id]], "{name}: {script:?}");
                // The offline PIN of the run gives the tries back as well.
                if script == (Script::PinUnblock { when }) && name == "credit" {
                    continue;
                }
                let (verdict, results) = scripted(&mut before, name, &[script], |data| {
                    *data.last_mut().unwrap() ^= 1;
                });
                assert_eq!(results, [[0x11, 0, 0, 0, id]], "{name}: {script:?}");
                assert_eq!(verdict, approved, "{name}: {script:?}");
                assert!(!done(&before), "{name}: {script:?}");
            }
        }
    }
}

#[test]
fn several_scripts_share_a_template_and_are_at_most_eight() {
    let mut card = card("debit");
    let count = |when, count| Script::OfflineCount { when, count };
    let scripts = [
        count(When::After, 7),
        Script::PinUnblock { when: When::Before },
        Script::ApplicationBlock { when: When::After },
        count(When::Before, 5),
    ];
    let (_, results) = scripted(&mut card, "debit", &scripts, |_| ());
    assert_eq!(results, [[0x20, 0, 0, 0, 0x71], [0x20, 0, 0, 0, 0x72]]);
    assert!(card.applications[0].blocked && card.applications[0].offline_count == 7);
    let issuer = CardIssuer::new(&personas());
    let (pan, psn) = account("debit");
    let asked = issuer.check(&pan, psn, &ask(&mut self::card("debit"), 100)).unwrap();
    let answer = issuer.answer(&asked, *b"00", &[count(When::Before, 1); 20]);
    let template = answer.values(tag(0x71)).next().unwrap();
    assert_eq!(template.len(), 7 + MAX_SCRIPTS * 12);
    let both: Vec<_> = [When::Before, When::After].iter().map(|w| count(*w, 1)).cycle().take(20).collect();
    assert!(issuer.answer(&asked, *b"00", &both).bytes().len() <= 255, "F55 has room for it");
}

#[test]
fn a_script_is_said_in_json() {
    let told = r#"[{"command":"card-block"},{"command":"offline-count","when":"before","count":4}]"#;
    let scripts: Vec<Script> = serde_json::from_str(told).unwrap();
    let count = Script::OfflineCount { when: When::Before, count: 4 };
    assert_eq!(scripts, [Script::CardBlock { when: When::After }, count]);
    for bad in
        [r#"{"command":"reboot"}"#, r#"{"command":"offline-count"}"#, r#"{"command":"card-block","x":1}"#]
    {
        assert!(serde_json::from_str::<Script>(bad).is_err(), "{bad}");
    }
}
