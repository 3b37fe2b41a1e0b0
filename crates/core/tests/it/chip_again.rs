//! What a run of a chip card leaves behind when the payment goes on in another way: nothing of its
//! cryptogram, and no way around it.
use crate::till::{NOW, Till, host_answer, reply, settings, start, tag_of, told};
use payterm_core::{Ask, By, Effect, Input, Settings, Step};
use payterm_schema::{
    CardToken, HostEvent, Instrument, Kind, Pan, RequestKey, Screen, Status, Time,
    card::{
        CardDecision, CardFailure, CardRead, CardStep, CardWord, HostWord, Interface, PinCheck, Then,
        Verified,
    },
    config::{OfflineConfig, OfflineLimits},
    host::{CodeRule, EntryMode, Plan, RetryRule},
    offline::OfflineAuthority,
    outcome::Class,
    secret::{PinBlock, PinEntry, Tracks},
};
use std::sync::Arc;

struct Counter {
    till: Till,
    tag: u64,
}
impl Counter {
    fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let mut s = settings();
        s.chip = vec![Interface::Contact, Interface::Contactless];
        let rules = Arc::make_mut(&mut s.accounts[0].rules);
        rules.icc = vec![Kind::Sale];
        for (code, retry) in [("55", RetryRule::Pin), ("77", RetryRule::SignIn)] {
            rules.codes.insert(code.into(), CodeRule { class: Class::C, retry, reverse: false });
        }
        change(&mut s);
        let mut till = Till::with(s, Vec::new());
        till.boot(NOW);
        let modes = vec![EntryMode::Swipe, EntryMode::Chip, EntryMode::Contactless, EntryMode::Manual];
        till.input(Input::Devices { modes, pin_pad: true, printer: true });
        till.input(start("sale", "a"));
        Self { till, tag: 0 }
    }
    fn comes(&mut self, instrument: Instrument) -> Step {
        let step = self.till.input(Input::Instrument { instrument, card: token() });
        self.runs(step)
    }
    fn runs(&mut self, step: Step) -> Step {
        let runs = |a: &Ask| if let Ask::RunCard { tag, .. } = a { Some(*tag) } else { None };
        self.tag = step.asks.iter().find_map(runs).unwrap_or(self.tag);
        step
    }
    fn says(&mut self, step: Option<CardStep>) -> Step {
        let step = self.till.input(Input::Card { tag: self.tag, step, card: token() });
        self.runs(step)
    }
    fn fails(&mut self, why: CardFailure) -> Step {
        self.says(Some(CardStep::Done { decision: CardDecision::Failed(why), icc: Vec::new() }))
    }
    /// Types the PIN, where it is asked for.
    fn pin(&mut self, step: Step, entry: PinEntry) -> Step {
        match pin_asked(&step) {
            Some(tag) => self.till.input(Input::Pin { tag, entry }),
            None => step,
        }
    }
    fn host(&mut self, sent: &Step, event: HostEvent) -> Step {
        let step = self.till.input(Input::Host { tag: tag_of(sent).expect("a frame"), event });
        self.runs(step)
    }
    /// An inserted card with its PIN, as far as its frame.
    fn inserted(&mut self, entry: PinEntry) -> Step {
        self.comes(Instrument::Inserted);
        self.says(Some(read()));
        let step = self.says(Some(CardStep::NeedPin(PinCheck::Issuer)));
        self.pin(step, entry);
        self.says(Some(online(Then::Card, Verified::PinOrNone)))
    }
    /// A tapped card as far as its frame.
    fn tapped(&mut self) -> Step {
        self.comes(Instrument::Tapped);
        self.says(Some(read()));
        self.says(Some(online(Then::Final, Verified::Device)))
    }
    /// The stripe, as it is sent; none: it is not.
    fn swiped(&mut self, service: &str) -> Option<Plan> {
        let mut tracks = Tracks::default();
        tracks.track2 = Some(format!("6212345678900000011=3012{service}0000000000"));
        let step = self.comes(Instrument::Swiped(tracks));
        plan(&self.pin(step, typed()))
    }
    fn problem(&self) -> Option<String> {
        if let Screen::Present { problem, .. } = self.till.machine.screen() { problem } else { None }
    }
    fn after(&mut self, ms: i64) -> Step {
        let step = self.till.machine.handle_timeout(Time(NOW.0 + ms));
        self.till.keep(step)
    }
}
fn token() -> Option<CardToken> {
    Some(CardToken::new(&"07".repeat(16)).unwrap())
}
fn typed() -> PinEntry {
    PinEntry::Block(PinBlock::iso0([7; 8]))
}
fn read() -> CardStep {
    CardStep::Read(CardRead {
        pan: Pan::parse("6212345678900000003").unwrap(),
        sequence: Some(1),
        expiry: "3012".into(),
        track2: None,
        language: None,
        aid: "A000000333010101".into(),
        label: "PBOC DEBIT".into(),
    })
}
fn online(then: Then, verified: Verified) -> CardStep {
    CardStep::GoOnline { icc: vec![0x9F, 0x27, 1, 0x80], verified, then }
}
fn pin_asked(step: &Step) -> Option<u64> {
    step.asks.iter().find_map(|a| if let Ask::Pin { tag, .. } = a { Some(*tag) } else { None })
}
fn plan(step: &Step) -> Option<Plan> {
    step.effects.iter().find_map(|e| if let Effect::Send(m) = e { Some(m.plan.clone()) } else { None })
}
fn words(step: &Step) -> Vec<CardWord> {
    let word = |e: &Effect| if let Effect::TellCard { word, .. } = e { Some(word.clone()) } else { None };
    step.effects.iter().filter_map(word).collect()
}
fn refused(code: &str) -> HostEvent {
    reply(host_answer(&format!("\"code\":\"{code}\"")))
}
fn not_sent() -> HostEvent {
    HostEvent::NotSent { why: "down".into() }
}
/// Both authorities of cards.
fn roads(s: &mut Settings) {
    let limits = || Some(OfflineLimits::default());
    s.accounts[0].config.offline =
        OfflineConfig { card: limits(), card_unable_online: limits(), ..OfflineConfig::default() };
    Arc::make_mut(&mut s.accounts[0].rules).offline_authorities =
        vec![OfflineAuthority::Card, OfflineAuthority::CardUnableOnline];
}

/// What it says when it is stopped is its last word; a yes is none any more.
#[test]
fn a_card_that_is_stopped_behind_the_hosts_yes_pays_nothing() {
    let done = |decision, cid| Some(CardStep::Done { decision, icc: vec![0x9F, 0x27, 1, cid] });
    for (said, code) in [
        (done(CardDecision::Approved(Verified::PinOrNone), 0x40), "card-gone-after-approval"),
        (Some(CardStep::Completed { icc: vec![0x9F, 0x27, 1, 0x40] }), "card-gone-after-approval"),
        (done(CardDecision::Declined, 0x00), "card-refused-approval"),
        (None, "card-gone-after-approval"),
    ] {
        let mut c = Counter::new(|_| ());
        let sent = c.inserted(typed());
        c.host(&sent, reply(host_answer("\"code\":\"00\"")));
        c.after(10_001);
        let step = c.says(said.clone());
        assert_eq!(told(&step), [(Status::Declined, code.to_owned())], "{said:?}");
        assert!(words(&step).is_empty(), "no script runs: {said:?}");
    }
}

/// Nothing is to be left in that was held to the mark.
#[test]
fn the_page_of_a_card_at_work_says_how_it_came() {
    for (instrument, says) in [(Instrument::Inserted, "card"), (Instrument::Tapped, "card-tapped")] {
        let mut c = Counter::new(|_| ());
        c.comes(instrument);
        let Screen::Wait { what, .. } = c.till.machine.screen() else { panic!("no wait") };
        assert_eq!(what, says);
    }
}

/// The card that was to run again is slow, or was pulled: whoever pays instead pays without its cryptogram.
#[test]
fn another_card_does_not_leave_with_the_first_ones_cryptogram() {
    for slow in [false, true] {
        let mut c = Counter::new(|_| ());
        let sent = c.inserted(typed());
        assert!(plan(&sent).unwrap().icc.is_some());
        c.host(&sent, refused("55"));
        if slow {
            let stops = |e: &Effect| matches!(e, Effect::StopCard { .. });
            assert!(c.after(10_001).effects.iter().any(stops));
            c.after(16_002);
        } else {
            c.says(None);
        }
        let plan = c.swiped("101").expect("a stripe without a chip pays");
        assert_eq!((plan.mode, plan.icc.is_some(), plan.fallback), (Some(EntryMode::Swipe), false, false));
    }
}

#[test]
fn no_stripe_stands_in_for_a_chip_that_has_given_a_cryptogram() {
    let unreadable = |c: &mut Counter| {
        c.comes(Instrument::Inserted);
        c.fails(CardFailure::Unreadable);
    };
    // Allowed by three insertions that failed, and not used: the fourth is read.
    let mut c = Counter::new(|_| ());
    (0..3).for_each(|_| unreadable(&mut c));
    assert_eq!(c.problem().as_deref(), Some("swipe-instead"));
    let sent = c.inserted(typed());
    c.host(&sent, refused("55"));
    c.says(None);
    assert!(c.swiped("201").is_none());
    // Run again for its PIN, and not readable then.
    let mut c = Counter::new(|s| s.flow.present_tries = 9);
    let sent = c.inserted(typed());
    c.host(&sent, refused("55"));
    c.says(Some(CardStep::Done { decision: CardDecision::Declined, icc: vec![0x9F, 0x27, 1, 0x00] }));
    c.fails(CardFailure::Unreadable);
    (0..3).for_each(|_| unreadable(&mut c));
    assert_eq!((c.problem().as_deref(), c.swiped("201")), (Some("card-unreadable"), None));
    // Inserted after a tap that was not sent, or was signed wrongly.
    for lied in [false, true] {
        let mut c = Counter::new(|s| (s.flow.insert_after_tap, s.flow.present_tries) = (true, 9));
        if lied {
            c.comes(Instrument::Tapped);
            c.says(Some(read()));
            c.fails(CardFailure::Lied);
        } else {
            let sent = c.tapped();
            c.host(&sent, not_sent());
        }
        assert_eq!(c.problem().as_deref(), Some("insert-instead"));
        (0..3).for_each(|_| unreadable(&mut c));
        assert_eq!((c.problem().as_deref(), c.swiped("201")), (Some("card-unreadable"), None), "{lied}");
    }
}

/// What was tapped first and not sent takes nothing from what the card may do by its contacts.
#[test]
fn a_tap_that_was_not_sent_leaves_the_insertion_its_road() {
    for tapped in [false, true] {
        let mut c = Counter::new(|s| {
            roads(s);
            s.flow.insert_after_tap = true;
        });
        // The host has been heard of.
        let key = RequestKey::new("app", "a").unwrap();
        c.till.input(Input::Cancel { call: 9, key, by: By::Caller });
        c.till.paid("z");
        c.till.input(start("sale", "b"));
        if tapped {
            let sent = c.tapped();
            c.host(&sent, not_sent());
        }
        c.comes(Instrument::Inserted);
        c.says(Some(read()));
        let sent = c.says(Some(online(Then::Card, Verified::PinOrNone)));
        let step = c.host(&sent, not_sent());
        assert_eq!(words(&step), [CardWord::Host(HostWord::NotSent { offline: true })], "{tapped}");
    }
}

#[test]
fn what_was_not_typed_is_not_asked_for_after_a_sign_in() {
    // A phone that has verified its holder, and a customer who pays without a PIN.
    for tapped in [true, false] {
        let mut c = Counter::new(|s| s.flow.pin_bypass = true);
        let sent = if tapped { c.tapped() } else { c.inserted(PinEntry::Bypassed) };
        let again = c.host(&sent, refused("77"));
        assert_eq!((pin_asked(&again), told(&again)), (None, vec![]));
        assert!(plan(&again).is_some_and(|p| p.icc.is_some() && !p.pin), "{tapped}: the same cryptogram");
    }
}

/// Another payment's reversal is not answered: a card that may approve by itself is asked, in the end.
#[test]
fn a_silent_host_leaves_the_card_its_road() {
    let mut c = Counter::new(roads);
    let key = RequestKey::new("app", "a").unwrap();
    c.till.input(Input::Cancel { call: 9, key, by: By::Caller });
    c.till.paid("y");
    let quiet = || HostEvent::NoReply { why: "silence".into(), trace: Default::default() };
    c.till.input(start("sale", "z"));
    let pan = Pan::parse("6212345678900000029").unwrap();
    let card = Some(CardToken::new(&"08".repeat(16)).unwrap());
    let instrument = Instrument::Typed { pan, expiry: "3012".into() };
    let step = c.till.input(Input::Instrument { instrument, card });
    let sent = c.pin(step, PinEntry::Bypassed);
    let reversal = c.host(&sent, quiet());
    c.host(&reversal, quiet());
    c.till.input(start("sale", "b"));
    c.comes(Instrument::Inserted);
    let again = c.says(Some(read()));
    let step = c.host(&again, quiet());
    assert_eq!((words(&step), told(&step)), (vec![], vec![]), "it waits for the reversal");
    let step = c.after(i64::from(settings().flow.prepare_timeout_ms) + 5_000);
    assert!(matches!(words(&step)[..], [CardWord::Proceed(_)]), "{:?} {:?}", words(&step), told(&step));
}

#[test]
fn a_pad_that_has_shown_a_pin_to_no_card_ends_the_payment() {
    let mut c = Counter::new(|_| ());
    let mut tracks = Tracks::default();
    tracks.track2 = Some("6212345678900000011=30121010000000000".into());
    let step = c.comes(Instrument::Swiped(tracks));
    let step = c.pin(step, PinEntry::Status(0x9000));
    assert_eq!(told(&step), [(Status::Failed, "pin-pad-unavailable".to_owned())]);
}

#[test]
fn a_yes_of_a_card_that_nobody_has_told_to_go_on_is_none() {
    let mut c = Counter::new(roads);
    c.comes(Instrument::Inserted);
    let decision = CardDecision::Approved(Verified::PinOrNone);
    let step = c.says(Some(CardStep::Done { decision, icc: vec![0x9F, 0x27, 1, 0x40] }));
    assert_eq!(told(&step), [(Status::Failed, "card-unreadable".to_owned())]);
}
