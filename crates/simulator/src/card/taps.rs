//! The kernel of `crates/emv` against the personas that can be tapped, whole taps.
use super::*;
use payterm_emv::{
    Tap,
    step::{By, End, Gone, HostWord, Input, Lie, Next, PinAsk, Step, Verdict, Why},
    terminal::{Parameters, Terminal},
};
use play::DATE;
use std::sync::Arc;

/// Changes an answer of the card on its way to the terminal; counts commands from 1.
type Spoil<'a> = &'a dyn Fn(usize, &mut Vec<u8>);

struct Tapped {
    end: End,
    card: TestCard,
    commands: Vec<Vec<u8>>,
    pin: bool,
    /// Tags of the question to the issuer.
    online: Option<payterm_emv::Tags>,
}
impl Tapped {
    fn told(&self) -> (Verdict, Why) {
        (self.end.verdict, self.end.why)
    }
    /// Kinds of its cryptograms, in the card's own list.
    fn given(&self) -> Vec<u8> {
        self.card.given().iter().map(|g| g.cid).collect()
    }
    fn tag(&self, tag: u32) -> &[u8] {
        self.end.tags.get(Tag(tag)).unwrap_or_default()
    }
}

fn made(persona: &str) -> TestCard {
    TestCard::new(&Personas::parse(PERSONAS).unwrap(), persona, DATE).unwrap()
}
/// The card is gone at its `leaves`th command.
fn tap_with(mut card: TestCard, minor: u64, leaves: usize, spoil: Spoil<'_>) -> Tapped {
    let terminal = Terminal::new(play::terminal()).unwrap();
    let parameters = Parameters::new(1, play::aids(play::LIMITS), play::keys(), Vec::new()).unwrap();
    let (mut tap, mut step) =
        Tap::start(Arc::new(terminal), Arc::new(parameters), play::payment(minor)).unwrap();
    let (mut commands, mut pin, mut online) = (Vec::new(), false, None);
    for _ in 0..200 {
        let answer;
        let input = match step {
            Step::Send(command) => {
                commands.push(command.to_vec());
                let mut said = card.answer(&command);
                spoil(commands.len(), &mut said);
                answer = said;
                if commands.len() == leaves { Input::Gone(Gone::Removed) } else { Input::Answer(&answer) }
            }
            Step::Read(_) => {
                // It may leave now.
                card.reset();
                Input::Proceed(play::PROCEED)
            }
            Step::Pin(ask) => {
                assert!(matches!(ask, PinAsk::Online));
                pin = true;
                Input::Pin(card.pin_word(&ask))
            }
            Step::Online(asked) => {
                online = Some(asked.tags);
                Input::Host(HostWord::Approved { arc: *b"00", issuer: &[] })
            }
            Step::Choose(_) | Step::Parameters(_) | Step::Completed(_) => panic!("not in a tap"),
            Step::Done(end) => return Tapped { end: *end, card, commands, pin, online },
        };
        step = tap.step(input);
    }
    panic!("a tap without an end");
}
fn tap(persona: &str, minor: u64) -> Tapped {
    tap_with(made(persona), minor, 0, &|_, _| ())
}
const BY_HOST: (Verdict, Why) = (Verdict::Approved(By::Host), Why::Complete);
const BY_CARD: (Verdict, Why) = (Verdict::Approved(By::Card), Why::Complete);

#[test]
fn a_tap_asks_the_issuer_and_for_the_pin_from_its_limit_on() {
    for (minor, pin) in [(99_999, false), (100_000, true)] {
        let tapped = tap("qpboc-online", minor);
        assert_eq!((tapped.told(), tapped.given(), tapped.pin), (BY_HOST, vec![0x80], pin), "{minor}");
        assert_eq!(tapped.tag(0x9F26), tapped.card.given()[0].cryptogram);
        // Of both applications the one that the card wants first.
        assert_eq!(tapped.tag(0x84), [0xA0, 0, 0, 3, 0x33, 1, 1, 1]);
        assert_eq!(
            (tapped.tag(0x9F34)[0], tapped.end.cvm.online_pin),
            if pin { (2, true) } else { (0x3F, false) }
        );
    }
}

#[test]
fn a_phone_says_that_it_knows_its_holder() {
    for minor in [1_000, 100_000] {
        let tapped = tap("phone", minor);
        assert_eq!((tapped.told(), tapped.pin, tapped.end.cvm.device), (BY_HOST, false, true), "{minor}");
        assert_eq!(tapped.commands.len(), 3, "no records");
    }
}

#[test]
fn an_offline_tc_is_approved_with_its_signature_only() {
    let tapped = tap("qpboc-offline", 20_000);
    assert_eq!((tapped.told(), tapped.given()), (BY_CARD, vec![0x40]));
    assert!(tapped.online.is_none() && tapped.tag(0x9F4C) == [0, 1], "its dynamic number is the counter");
    let last = tapped.commands.len();
    let lied = (Verdict::Declined, Why::Lied(Lie::Signature));
    // Each byte of the last record, but for its tags and lengths: 9F69 and 9F4B.
    for at in (6..13).chain([17, 80, 160]) {
        let tapped = tap_with(made("qpboc-offline"), 20_000, 0, &|n, answer| {
            if n == last {
                answer[at] ^= 1;
            }
        });
        assert_eq!((tapped.told(), tapped.given()), (lied, vec![0x40]), "byte {at}");
    }
    // A right signature of another version.
    let card = made("qpboc-offline");
    let signed = |related: &[u8]| {
        // Random number, amount, currency.
        let values: [&[u8]; 4] = [&[1, 2, 3, 4], &[0, 0, 0, 2, 0, 0], &[0x01, 0x56], related];
        let signature = card.keys.card.sign(&[0x05, 0x01, 3, 2, 0, 1], &values);
        let record = object(0x70, &[object(0x9F69, related), object(0x9F4B, &signature)].concat());
        [&record[..], &[0x90, 0x00]].concat()
    };
    for (version, told) in [(0x00, lied), (0x01, BY_CARD), (0x02, lied)] {
        let record = signed(&[version, 9, 9, 9, 9, 0, 0]);
        let tapped = tap_with(made("qpboc-offline"), 20_000, 0, &|n, answer| {
            if n == last {
                answer.clone_from(&record);
            }
        });
        assert_eq!(tapped.told(), told, "version {version}");
    }
    // An amount, a number or a currency that the card did not sign.
    for (tag, len) in [(0x9F02, 6), (0x9F37, 4), (0x5F2A, 2)] {
        let list = made("qpboc-offline").applications[0].row.tap.as_ref().unwrap().pdol.0.clone();
        let mut before = 0;
        let at = payterm_emv::dol::entries(&list).unwrap().into_iter().find_map(|(t, l)| {
            before += l;
            (t == Tag(tag)).then(|| before - len)
        });
        let mut card = made("qpboc-offline");
        let real = tap("qpboc-offline", 10_000);
        for command in &real.commands {
            let mut command = command.clone();
            if command[1] == 0xA8 {
                command[7 + at.unwrap() + len - 1] ^= 1;
            }
            card.answer(&command);
        }
        let signed = card.answer(real.commands.last().unwrap());
        let tapped = tap_with(made("qpboc-offline"), 10_000, 0, &|n, answer| {
            if n == last {
                answer.clone_from(&signed);
            }
        });
        assert_eq!(tapped.told(), lied, "{}", Tag(tag));
    }
    // Above its limit, or after three in a row, it asks.
    assert_eq!(tap("qpboc-offline", 20_001).told(), BY_HOST);
    let mut card = made("qpboc-offline");
    for expected in [BY_CARD, BY_CARD, BY_CARD, BY_HOST] {
        let tapped = tap_with(card, 100, 0, &|_, _| ());
        assert_eq!(tapped.told(), expected);
        card = tapped.card;
    }
}

#[test]
fn a_certificate_that_fails_approves_nothing_offline() {
    let text = |what: &str| {
        PERSONAS.replace(
            "name = \"qpboc-offline\"",
            &format!("name = \"qpboc-offline\"\ncertificate = \"{what}\""),
        )
    };
    for what in ["expired", "wrong-ca"] {
        let card = TestCard::new(&Personas::parse(&text(what)).unwrap(), "qpboc-offline", DATE).unwrap();
        let tapped = tap_with(card, 1_000, 0, &|_, _| ());
        assert_eq!(tapped.told(), (Verdict::Declined, Why::Lied(Lie::Signature)), "{what}");
    }
}

#[test]
fn a_card_that_leaves_before_its_last_answer_is_tapped_again() {
    for persona in ["qpboc-online", "qpboc-offline", "phone"] {
        let all = tap(persona, 1_000).commands.len();
        for leaves in 1..=all {
            let tapped = tap_with(made(persona), 1_000, leaves, &|_, _| ());
            let told = (Verdict::Ended(Next::TapAgain), Why::Gone(Gone::Removed));
            assert_eq!(tapped.told(), told, "{persona}, {leaves} of {all}");
            // The same card again.
            let again = tap_with(tapped.card, 1_000, 0, &|_, _| ());
            assert!(matches!(again.end.verdict, Verdict::Approved(_)), "{persona}, {leaves} of {all}");
        }
    }
}

#[test]
fn what_cannot_be_tapped_is_inserted() {
    for persona in ["debit", "credit", "offline"] {
        let tapped = tap(persona, 1_000);
        assert_eq!(tapped.told(), (Verdict::Ended(Next::InsertInstead), Why::NoDirectory), "{persona}");
        assert!(tapped.given().is_empty());
    }
    let cash = PERSONAS.replace("A000000333010101", "A000000333010106");
    let card = TestCard::new(&Personas::parse(&cash).unwrap(), "qpboc-offline", DATE).unwrap();
    let tapped = tap_with(card, 1_000, 0, &|_, _| ());
    assert_eq!(tapped.told(), (Verdict::Ended(Next::Nothing), Why::OnlyElectronicCash));
    // Tapped cards are contact cards too.
    let terminal = Arc::new(Terminal::new(play::terminal()).unwrap());
    let parameters =
        Arc::new(Parameters::new(1, play::aids(play::LIMITS), play::keys(), Vec::new()).unwrap());
    let mut card = made("qpboc-online");
    let payment = play::payment(1_000);
    let recording =
        play::Recording::of::<payterm_emv::Contact>(&mut card, &terminal, &parameters, payment).unwrap();
    assert!(recording.issuer.is_some());
}

#[test]
fn the_issuer_finds_a_taps_arqc_right() {
    let issuer = CardIssuer::new(&Personas::parse(PERSONAS).unwrap());
    for (persona, application) in [("qpboc-online", 1), ("phone", 0)] {
        let tapped = tap(persona, 1_000);
        let wanted =
            [0x9F26, 0x9F27, 0x9F10, 0x9F36, 0x9F37, 0x95, 0x9A, 0x9C, 0x9F02, 0x5F2A, 0x82, 0x9F1A, 0x9F03];
        let list = tapped.online.unwrap().list(&wanted.map(Tag));
        let icc = payterm_schema::icc::Icc::parse(&list).unwrap();
        let row = &tapped.card.applications[application].row;
        let asked = issuer.check(&row.pan, Some(row.psn), &icc).unwrap();
        assert_eq!((asked.amount, asked.atc), (1_000, 1), "{persona}");
    }
    let tapped = tap("qpboc-offline", 1_000);
    let wanted =
        [0x9F26, 0x9F27, 0x9F10, 0x9F36, 0x9F37, 0x95, 0x9A, 0x9C, 0x9F02, 0x5F2A, 0x82, 0x9F1A, 0x9F03];
    let icc = payterm_schema::icc::Icc::parse(&tapped.end.tags.list(&wanted.map(Tag))).unwrap();
    let row = &tapped.card.applications[0].row;
    assert!(issuer.verify_final(&row.pan, Some(row.psn), &icc), "its TC");
}
