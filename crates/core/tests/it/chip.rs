//! Whatever a card kernel says, in whatever order: the machine goes on, and approves nothing that the host
//! did not.
use crate::till::{NOW, Till, host_answer, reply, sent, settings, start, tag_of, told};
use payterm_core::{Ask, Effect, Input, Step};
use payterm_schema::{
    Instrument, Kind, Pan, Screen, Status, Time,
    card::{
        CardDecision, CardFailure, CardPin, CardRead, CardStep, CardWord, Interface, PinCheck, PinForm, Then,
        Verified,
    },
    config::Language,
    device::Key,
    host::{CodeRule, EntryMode, Plan, RetryRule},
    outcome::Class,
    secret::{PinBlock, PinEntry, Tracks},
};
use std::sync::Arc;

fn till() -> Till {
    let mut settings = settings();
    settings.chip = vec![Interface::Contact];
    Arc::make_mut(&mut settings.accounts[0].rules).icc = vec![Kind::Sale];
    let mut till = Till::with(settings, Vec::new());
    till.boot(NOW);
    let modes = vec![EntryMode::Swipe, EntryMode::Chip];
    till.input(Input::Devices { modes, pin_pad: true, printer: true });
    till
}

fn steps() -> Vec<Option<CardStep>> {
    let pan = Pan::parse("6212345678900000003").unwrap();
    let done = |decision| Some(CardStep::Done { decision, icc: Vec::new() });
    vec![
        Some(CardStep::Read(CardRead {
            pan,
            sequence: Some(1),
            expiry: "3012".into(),
            track2: None,
            language: None,
            aid: "A000000333010101".into(),
            label: "PBOC DEBIT".into(),
        })),
        Some(CardStep::Choose(vec!["a".into()])),
        Some(CardStep::Choose(Vec::new())),
        Some(CardStep::NeedPin(PinCheck::Issuer)),
        Some(CardStep::NeedPin(PinCheck::Card(CardPin {
            left: Some(2),
            form: PinForm::Plain,
            card_ms: 5_000,
        }))),
        Some(CardStep::GoOnline {
            icc: vec![0x9F, 0x27, 1, 0x80],
            verified: Verified::PinOrNone,
            then: Then::Card,
        }),
        Some(CardStep::GoOnline { icc: vec![0x9F], verified: Verified::PinOrNone, then: Then::Card }),
        done(CardDecision::Approved(Verified::PinOrNone)),
        done(CardDecision::Declined),
        done(CardDecision::Failed(CardFailure::Unreadable)),
        None,
    ]
}

#[test]
fn steps_in_any_order_end_nothing_but_the_request() {
    let all = steps();
    let mut online = 0;
    let orders = (0..all.len().pow(4)).map(|n| (0..4).map(|at| n / all.len().pow(at) % all.len()).collect());
    for order in orders {
        let order: Vec<usize> = order;
        let mut till = till();
        till.input(start("sale", "a"));
        let step = till.input(Input::Instrument { instrument: Instrument::Inserted, card: None });
        let tag =
            step.asks.iter().find_map(|a| if let Ask::RunCard { tag, .. } = a { Some(*tag) } else { None });
        let tag = tag.unwrap();
        for at in &order {
            let mut step = till.input(Input::Card { tag, step: all[*at].clone(), card: None });
            let pin =
                step.asks.iter().find_map(|a| if let Ask::Pin { tag, .. } = a { Some(*tag) } else { None });
            if let Some(tag) = pin {
                let entry = PinEntry::Block(PinBlock::iso0([7; 8]));
                step = till.input(Input::Pin { tag, entry });
            }
            online += usize::from(sent(&step).is_some());
            assert!(told(&step).iter().all(|(status, _)| *status != Status::Approved), "{order:?}");
        }
        // It ends whatever the card said: by its time, or by the host's answer.
        let ended = till.machine.running().is_none() || till.machine.poll_timeout().is_some();
        assert!(ended, "{order:?}");
    }
    assert!(online > 0, "one of them goes online");
}

/// A sale that asks for a card, on a terminal with these devices.
struct Counter {
    till: Till,
    tag: u64,
    /// Of the frame that was sent last.
    sent: u64,
    /// Milliseconds since the start.
    now: i64,
}
impl Counter {
    fn new(modes: &[EntryMode]) -> Self {
        let mut till = till();
        till.input(Input::Devices { modes: modes.to_vec(), pin_pad: true, printer: true });
        till.input(start("sale", "a"));
        Self { till, tag: 0, sent: 0, now: 0 }
    }
    fn insert(&mut self) {
        self.comes(Instrument::Inserted);
    }
    fn comes(&mut self, instrument: Instrument) {
        let step = self.till.input(Input::Instrument { instrument, card: None });
        let runs = |a: &Ask| if let Ask::RunCard { tag, .. } = a { Some(*tag) } else { None };
        self.tag = step.asks.iter().find_map(runs).expect("the card runs");
    }
    fn says(&mut self, step: CardStep) -> Step {
        self.till.input(Input::Card { tag: self.tag, step: Some(step), card: None })
    }
    fn ends(&mut self, why: CardFailure) -> Step {
        self.says(CardStep::Done { decision: CardDecision::Failed(why), icc: Vec::new() })
    }
    /// A stripe with this service code; gives the plan of the frame, once it leaves.
    fn swipes(&mut self, service: &str) -> Option<Plan> {
        let mut tracks = Tracks::default();
        tracks.track2 = Some(format!("6212345678900000003=3012{service}0000000000"));
        let card = Instrument::Swiped(tracks);
        let swiped = Input::Instrument { instrument: card, card: None };
        let step = self.till.machine.handle(swiped, Time(NOW.0 + self.now));
        let mut step = self.till.keep(step);
        let asks = |a: &Ask| if let Ask::Pin { tag, .. } = a { Some(*tag) } else { None };
        if let Some(tag) = step.asks.iter().find_map(asks) {
            step = self.till.input(Input::Pin { tag, entry: PinEntry::Bypassed });
        }
        self.sent = tag_of(&step).unwrap_or_default();
        step.effects.iter().find_map(|e| if let Effect::Send(m) = e { Some(m.plan.clone()) } else { None })
    }
    fn problem(&self) -> Option<String> {
        if let Screen::Present { problem, .. } = self.till.machine.screen() { problem } else { None }
    }
    fn keys(&mut self, keys: &str) -> Vec<CardWord> {
        let words = |step: Step| {
            let word = |e| if let Effect::TellCard { word, .. } = e { Some(word) } else { None };
            step.effects.into_iter().filter_map(word).collect::<Vec<_>>()
        };
        let key = |b| {
            if b == b'=' {
                Key::Confirm
            } else if b == b'<' {
                Key::Clear
            } else {
                Key::Digit(b)
            }
        };
        keys.bytes().flat_map(|b| words(self.till.input(Input::Key(key(b))))).collect()
    }
}
const BOTH: [EntryMode; 2] = [EntryMode::Swipe, EntryMode::Chip];

/// From the card's number to the end of the result; the next customer meets the terminal's.
#[test]
fn the_cards_language_is_the_customers() {
    let mut c = Counter::new(&BOTH);
    let shown = |step: &Step| {
        let asked = step.asks.iter().filter_map(|a| if let Ask::Show(_, l) = a { Some(*l) } else { None });
        let shown =
            step.effects.iter().filter_map(|e| if let Effect::Show(_, l) = e { Some(*l) } else { None });
        asked.chain(shown).collect::<Vec<_>>()
    };
    let zh = Some(Language::ZhCn);
    c.insert();
    let Some(CardStep::Read(mut read)) = steps()[0].clone() else { panic!("a card that is read") };
    read.language = zh;
    let step = c.says(CardStep::Read(read));
    assert_eq!(shown(&step), [zh]);
    let step = c.says(CardStep::Done { decision: CardDecision::Declined, icc: Vec::new() });
    assert!(matches!(c.till.machine.screen(), Screen::Result { .. }));
    assert_eq!(shown(&step), [zh]);
    let step = c.till.input(start("sale", "b"));
    assert_eq!(shown(&step).last(), Some(&None));
}

#[test]
fn a_tap_that_is_signed_wrongly_is_declined_or_by_config_inserted() {
    for inserts in [false, true] {
        let mut settings = settings();
        settings.chip = vec![Interface::Contact, Interface::Contactless];
        settings.flow.insert_after_tap = inserts;
        Arc::make_mut(&mut settings.accounts[0].rules).icc = vec![Kind::Sale];
        let mut c = Counter { till: Till::with(settings, Vec::new()), tag: 0, sent: 0, now: 0 };
        c.till.boot(NOW);
        let modes = vec![EntryMode::Chip, EntryMode::Contactless];
        c.till.input(Input::Devices { modes, pin_pad: true, printer: true });
        c.till.input(start("sale", "a"));
        c.comes(Instrument::Tapped);
        c.says(steps()[0].clone().unwrap());
        let step = c.ends(CardFailure::Lied);
        if inserts {
            assert_eq!(c.problem().as_deref(), Some("insert-instead"));
            c.insert();
        } else {
            assert_eq!(told(&step), [(Status::Declined, "card-lied".to_owned())]);
        }
    }
}

#[test]
fn a_chip_that_cannot_be_read_three_times_may_be_swiped_once() {
    let mut c = Counter::new(&BOTH);
    for want in ["card-unreadable", "card-unreadable", "swipe-instead"] {
        c.insert();
        c.ends(CardFailure::Unreadable);
        assert_eq!(c.problem().as_deref(), Some(want));
        if want == "card-unreadable" {
            assert_eq!(c.swipes("201"), None, "not before");
        }
    }
    let plan = c.swipes("201").expect("the stripe is taken");
    assert!(plan.fallback && plan.mode == Some(EntryMode::Swipe) && plan.icc.is_none());
    assert!(c.till.machine.running().is_some_and(|(_, view)| view.fallback));
}

#[test]
fn a_chip_with_nothing_for_this_terminal_may_be_swiped_at_once_and_only_in_its_time() {
    let ms = i64::from(settings().flow.fallback.ms);
    for (now, service, fallback) in
        [(ms, "201", Some(true)), (ms + 1, "201", None), (0, "601", Some(true)), (0, "101", Some(false))]
    {
        let mut c = Counter::new(&BOTH);
        c.insert();
        c.ends(CardFailure::NoApplication);
        assert_eq!(c.problem().as_deref(), Some("swipe-instead"));
        c.now = now;
        assert_eq!(c.swipes(service).map(|plan| plan.fallback), fallback, "{now} {service}");
    }
}

#[test]
fn what_a_chip_decides_or_blocks_is_never_swiped_instead() {
    for why in [
        CardFailure::Blocked,
        CardFailure::OnlyElectronicCash,
        CardFailure::Lied,
        CardFailure::Cancelled,
        CardFailure::Reader,
        CardFailure::OutOfOrder,
    ] {
        let mut c = Counter::new(&BOTH);
        c.insert();
        c.ends(why);
        assert!(c.till.machine.running().is_none(), "{why:?} ends it");
    }
    // Pulled out it is inserted again: that is the customer's doing.
    let mut c = Counter::new(&BOTH);
    for _ in 0..2 {
        c.insert();
        c.ends(CardFailure::Removed);
        assert_eq!(c.problem().as_deref(), Some("card-unreadable"));
    }
    // Once it was read its end is no fault of the chip's.
    for why in [CardFailure::Unreadable, CardFailure::NoApplication] {
        let mut c = Counter::new(&BOTH);
        c.insert();
        c.says(steps()[0].clone().unwrap());
        c.ends(why);
        assert!(c.till.machine.running().is_none(), "{why:?}");
    }
    // Nobody is sent to a stripe reader that is not there, or that the configuration closes.
    let mut c = Counter::new(&[EntryMode::Chip]);
    c.insert();
    c.ends(CardFailure::NoApplication);
    assert!(c.till.machine.running().is_none());
    let mut settings = settings();
    (settings.chip, settings.flow.fallback.tries) = (vec![Interface::Contact], 0);
    let mut till = Till::with(settings, Vec::new());
    till.boot(NOW);
    till.input(Input::Devices { modes: BOTH.to_vec(), pin_pad: true, printer: true });
    till.input(start("sale", "a"));
    let mut c = Counter { till, tag: 0, sent: 0, now: 0 };
    c.insert();
    c.ends(CardFailure::NoApplication);
    assert!(c.till.machine.running().is_none());
}

#[test]
fn a_host_that_wants_the_chip_of_a_swiped_card_gets_it_in_the_same_request() {
    let mut settings = settings();
    settings.chip = vec![Interface::Contact];
    let rules = Arc::make_mut(&mut settings.accounts[0].rules);
    rules.icc = vec![Kind::Sale];
    rules.codes.insert("45".into(), CodeRule { class: Class::C, retry: RetryRule::Insert, reverse: false });
    let mut till = Till::with(settings, Vec::new());
    till.boot(NOW);
    till.input(Input::Devices { modes: BOTH.to_vec(), pin_pad: true, printer: true });
    till.input(start("sale", "a"));
    let mut c = Counter { till, tag: 0, sent: 0, now: 0 };
    let first = c.swipes("101").expect("a stripe that tells of no chip is sent").stan;
    let answer = reply(host_answer("\"code\":\"45\""));
    let step = c.till.input(Input::Host { tag: c.sent, event: answer });
    assert!(told(&step).is_empty(), "{:?}", told(&step));
    assert_eq!(c.problem().as_deref(), Some("insert-chip"));
    assert_eq!(c.swipes("101"), None, "not again");
    c.insert();
    c.says(steps()[0].clone().unwrap());
    let asked = c.says(CardStep::GoOnline {
        icc: vec![0x9F, 0x27, 1, 0x80],
        verified: Verified::PinOrNone,
        then: Then::Card,
    });
    assert!(sent(&asked).is_some_and(|stan| stan != first), "under a number of its own");
}

#[test]
fn the_customer_chooses_one_of_several_applications_by_its_key() {
    let names: Vec<String> = (1..=7).map(|n| format!("APP {n}")).collect();
    for (keys, chosen) in [
        ("1", 0),
        ("3", 2),
        ("=", 0),
        ("01", 3),
        ("<<1", 6),
        ("0003", 2),
        ("0=", 3),
        ("94a2", 1),
        ("002=", 6),
    ] {
        let mut c = Counter::new(&[EntryMode::Swipe, EntryMode::Chip, EntryMode::Manual]);
        c.insert();
        c.says(CardStep::Choose(names.clone()));
        let page = c.till.machine.screen();
        assert!(matches!(page, Screen::ChooseApplication { first: 0, .. }), "{page:?}");
        assert_eq!(c.keys(keys), [CardWord::Chosen(Some(chosen))], "{keys}");
    }
    // Whoever chooses nothing leaves no reader armed.
    let mut c = Counter::new(&[EntryMode::Swipe, EntryMode::Chip, EntryMode::Manual]);
    c.insert();
    c.says(CardStep::Choose(names.clone()));
    let step = c.till.input(Input::Key(Key::Cancel));
    assert_eq!(told(&step), [(Status::Cancelled, "cancelled-by-customer".into())]);
    assert!(step.asks.iter().any(|a| matches!(a, Ask::Withdraw)), "{:?}", step.asks);
    // Without keys the first has the card's own priority; one that is pulled out has chosen nothing.
    let mut c = Counter::new(&BOTH);
    c.insert();
    let step = c.says(CardStep::Choose(names.clone()));
    let first = |e: &Effect| matches!(e, Effect::TellCard { word: CardWord::Chosen(Some(0)), .. });
    assert!(step.effects.iter().any(first));
    let mut c = Counter::new(&[EntryMode::Swipe, EntryMode::Chip, EntryMode::Manual]);
    c.insert();
    c.says(CardStep::Choose(vec!["ONLY".into()]));
    c.till.input(Input::Card { tag: c.tag, step: None, card: None });
    assert_eq!(c.problem().as_deref(), Some("card-unreadable"));
}

#[test]
fn a_card_of_before_is_asked_out_first_once_an_offer() {
    let mut c = Counter::new(&BOTH);
    let left = || Input::Instrument { instrument: Instrument::LeftIn, card: None };
    let step = c.till.input(left());
    assert_eq!(c.problem().as_deref(), Some("take-card-out"));
    assert!(step.asks.iter().any(|a| matches!(a, Ask::Offer { .. })), "the reader looks again");
    assert!(c.till.input(left()).asks.is_empty(), "it was said");
    c.insert();
}
