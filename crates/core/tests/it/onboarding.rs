//! Applying for a terminal: every stage, every refusal, and a power cut between any two steps.
use payterm_core::{Apply, Effect, Input, Machine, Settings, State, Step, TmsAsk, TmsEvent, TmsSettings};
use payterm_schema::{
    Entry, Fault, Request, RequestKey, Screen, Time,
    config::Config,
    onboarding::{
        AccountParameters, BinLists, Draft, Offer, OnboardingStatus, Parameters, Problem, Product,
        Settlement, Signed, Stage, Verdict,
    },
    outcome::Place,
    paper::PaperContent,
    request::RequestWire,
    time::Millis,
};
use std::collections::BTreeMap;

fn settings() -> Settings {
    let c = Config::default();
    Settings {
        accounts: Vec::new(),
        routes: Vec::new(),
        flow: c.flow,
        paper: c.paper,
        place: Place::default(),
        operator: "01".into(),
        operators: payterm_schema::config::OperatorsConfig { required: false, ..c.operators },
        settlement: Default::default(),
        test: true,
        printer: false,
        chip: Vec::new(),
        card_ms: 5_000,
        snapshot_every: 10_000,
        not_before: Time(0),
        tms: Some(TmsSettings {
            poll: Millis::secs(60),
            retry: Millis::secs(5),
            retry_max: Millis::secs(600),
        }),
    }
}

fn draft() -> Draft {
    let s = String::from;
    Draft {
        name: s("Corner shop"),
        legal_name: s("Corner Shop Ltd"),
        licence: s("91310000MA1"),
        address: s("1 Renmin Road"),
        city: s("Shanghai"),
        category: s("5411"),
        contact: s("Wang"),
        phone: s("021-5555"),
        email: None,
        products: vec![Product::Card],
    }
}
fn offer() -> Offer {
    Offer {
        id: "o-1".into(),
        products: vec![Product::Card],
        currency: "CNY".parse().unwrap(),
        fees: Vec::new(),
        settlement: Settlement::T1,
        text: "words".into(),
    }
}
fn terms() -> Signed {
    Signed { text: serde_json::to_string(&offer()).unwrap(), signature: "00".into() }
}
fn parameters() -> Parameters {
    let account = AccountParameters {
        id: payterm_schema::AccountId::new("bank").unwrap(),
        profile: "unionpay".into(),
        mid: "TESTMERCHANT001".parse().unwrap(),
        tid: "TEST0002".parse().unwrap(),
        currency: "CNY".parse().unwrap(),
        address: "127.0.0.1:1".into(),
        nii: None,
        tls: false,
        line: None,
        amount_limit: None,
        settlement: Settlement::T1,
        fees: Vec::new(),
    };
    Parameters { accounts: vec![account], bins: BinLists::default() }
}

/// The acquirer's side: an onboarding is what its id and revision say.
#[derive(Default)]
struct Office {
    received: BTreeMap<(String, u32), u32>,
    verdict: Option<Verdict>,
    down: bool,
}
impl Office {
    fn answer(&mut self, ask: &TmsAsk) -> TmsEvent {
        if self.down {
            return TmsEvent::Failed { problem: Problem::Unreachable, cause: "down".into() };
        }
        let standing = |onboarding: &str, revision, verdict| {
            let reason = (verdict == Verdict::Rejected).then(|| "no licence".into());
            TmsEvent::Status(Box::new(OnboardingStatus {
                onboarding: onboarding.into(),
                revision,
                terminal: "t".into(),
                verdict,
                reason,
            }))
        };
        match ask {
            TmsAsk::Submit(a) => {
                *self.received.entry((a.id.clone(), a.revision)).or_default() += 1;
                standing(&a.id, a.revision, Verdict::InReview)
            }
            TmsAsk::Status { onboarding, revision } => {
                standing(onboarding, *revision, self.verdict.unwrap_or(Verdict::InReview))
            }
            TmsAsk::Grant { .. } => TmsEvent::Granted(Box::new(parameters())),
        }
    }
}

/// A machine with its disk. `cut`: the power goes at this step, before its records are on disk or after.
struct Bench {
    machine: Machine,
    disk: Vec<Entry>,
    now: Time,
    office: Office,
    answers: BTreeMap<u64, Result<(), Fault>>,
    asks: Vec<TmsAsk>,
    renewed: u32,
    calls: u64,
    steps: u32,
    cut: Option<(u32, bool)>,
}
impl Bench {
    fn new(cut: Option<(u32, bool)>) -> Self {
        let machine = Machine::replay(settings(), None, []).unwrap();
        let mut b = Self {
            machine,
            disk: Vec::new(),
            now: Time(1_000_000),
            office: Office::default(),
            answers: BTreeMap::new(),
            asks: Vec::new(),
            renewed: 0,
            calls: 0,
            steps: 0,
            cut,
        };
        b.boot();
        b
    }
    fn boot(&mut self) {
        self.machine = Machine::replay(settings(), None, self.disk.clone()).unwrap();
        let step = self.machine.boot(self.now, "t", &[]);
        self.take(step);
    }
    fn take(&mut self, step: Step) {
        self.steps += 1;
        match self.cut {
            Some((n, false)) if n == self.steps => return self.boot(),
            Some((n, true)) if n == self.steps => {
                self.disk.extend(step.records);
                return self.boot();
            }
            Some(_) | None => self.disk.extend(step.records),
        }
        assert_eq!(*self.machine.state(), replayed(&self.disk), "replay equals the live machine");
        let mut heard = Vec::new();
        for e in step.effects {
            match e {
                Effect::Tms { tag, ask } => {
                    heard.push((tag, self.office.answer(&ask)));
                    self.asks.push(ask);
                }
                Effect::Answer { call, result } => drop(self.answers.insert(call, result)),
                Effect::Renew => self.renewed += 1,
                Effect::Tell(_)
                | Effect::TellCard { .. }
                | Effect::StopCard { .. }
                | Effect::EndCard { .. }
                | Effect::Show(..)
                | Effect::Speak(_)
                | Effect::AskVault { .. }
                | Effect::Send(_)
                | Effect::ForgetKeys { .. }
                | Effect::UseDownloads { .. }
                | Effect::Load { .. }
                | Effect::Print { .. } => {}
            }
        }
        for (tag, event) in heard {
            self.now = self.now + Millis(50);
            let step = self.machine.handle(Input::Tms { tag, event }, self.now);
            self.take(step);
        }
    }
    /// None: the power was cut before the caller was answered.
    fn apply(&mut self, step: Apply) -> Option<Result<(), Fault>> {
        self.calls += 1;
        let call = self.calls;
        self.now = self.now + Millis(1_000);
        let step = self.machine.handle(Input::Apply { call, by: "owner".into(), step }, self.now);
        self.take(step);
        self.answers.remove(&call)
    }
    /// As a person would: once more when no answer came.
    fn surely(&mut self, step: &Apply) -> Result<(), Fault> {
        let first = self.apply(step.clone());
        first.unwrap_or_else(|| self.apply(step.clone()).unwrap())
    }
    fn wait(&mut self, seconds: i64) {
        let until = self.now + Millis::secs(seconds);
        while let Some(at) = self.machine.poll_timeout().map(|w| w.at).filter(|t| *t <= until) {
            self.now = at.max(self.now);
            let step = self.machine.handle_timeout(self.now);
            self.take(step);
        }
        self.now = until;
    }
    fn stage(&self) -> Option<Stage> {
        self.machine.state().onboarding.as_ref().map(|a| a.stage)
    }
    fn draft(&mut self) -> Result<(), Fault> {
        self.surely(&Apply::Draft { id: "0123456789abcdef0123456789abcdef".into(), draft: Box::new(draft()) })
    }
    fn accept(&mut self) -> Result<(), Fault> {
        self.surely(&Apply::Accept { offer: Box::new(offer()), terms: Box::new(terms()) })
    }
}
fn replayed(disk: &[Entry]) -> State {
    let mut s = State::default();
    disk.iter().for_each(|e| s.apply(e).unwrap());
    s
}
fn wrong_state(r: Option<Result<(), Fault>>) -> bool {
    matches!(r, Some(Err(Fault::WrongState { .. })))
}

/// From the draft to the accounts, with a rejection on the way.
fn whole_way(b: &mut Bench) {
    b.draft().unwrap();
    b.accept().unwrap();
    b.surely(&Apply::Submit).unwrap();
    b.wait(1);
    assert_eq!(b.stage(), Some(Stage::InReview));
    b.office.verdict = Some(Verdict::Rejected);
    b.wait(61);
    assert_eq!(b.stage(), Some(Stage::Rejected));
    assert_eq!(b.machine.state().onboarding.as_ref().unwrap().reason.as_deref(), Some("no licence"));
    b.office.verdict = None;
    b.draft().unwrap();
    b.surely(&Apply::Submit).unwrap();
    b.wait(1);
    assert_eq!(b.stage(), Some(Stage::InReview));
    b.office.verdict = Some(Verdict::Approved);
    b.surely(&Apply::Refresh).unwrap();
    assert_eq!(b.stage(), Some(Stage::Approved));
    b.surely(&Apply::Activate).unwrap();
    assert_eq!(b.stage(), Some(Stage::Activated));
}

#[test]
fn a_power_cut_between_any_two_steps_changes_nothing() {
    let mut plain = Bench::new(None);
    whole_way(&mut plain);
    assert_eq!((plain.renewed, plain.office.received.len()), (1, 2));
    assert_eq!(State::onboarding_in(None, &plain.disk).unwrap().unwrap().parameters, Some(parameters()));
    let snapshot = serde_json::to_string(plain.machine.state()).unwrap();
    assert_eq!(State::onboarding_in(Some(&snapshot), &[]).unwrap().unwrap().parameters, Some(parameters()));
    // The machine may be lost after the record and before the daemon was told.
    plain.boot();
    assert_eq!(plain.renewed, 2);
    let last = plain.steps + 2;
    for n in 1..=last {
        for durable in [false, true] {
            let mut b = Bench::new(Some((n, durable)));
            whole_way(&mut b);
            let a = b.machine.state().onboarding.clone().unwrap();
            assert_eq!(
                (a.revision, a.parameters.as_ref()),
                (2, Some(&parameters())),
                "cut at {n}, durable {durable}"
            );
            assert_eq!(
                b.office.received.len(),
                2,
                "cut at {n}: one onboarding a revision: {:?}",
                b.office.received
            );
        }
    }
}

#[test]
fn a_submission_without_an_answer_is_repeated_under_the_same_name_with_growing_waits() {
    let mut b = Bench::new(None);
    b.office.down = true;
    b.draft().unwrap();
    b.accept().unwrap();
    b.surely(&Apply::Submit).unwrap();
    b.wait(40);
    // At 0, 5, 15 and 35 seconds.
    assert_eq!((b.asks.len(), b.stage()), (4, Some(Stage::Submitted)));
    assert_eq!(b.machine.onboarding_problem(), Some(Problem::Unreachable));
    let records = b.disk.len();
    b.wait(7_200);
    assert_eq!(b.disk.len(), records, "failed tries fill no journal");
    assert!(b.asks.len() < 25, "{}", b.asks.len());
    // Asked by a person: at once, and told why it does not work.
    let asked = b.asks.len();
    assert_eq!(
        b.apply(Apply::Refresh),
        Some(Err(Fault::Management { problem: Problem::Unreachable, cause: "down".into() }))
    );
    assert_eq!(b.asks.len(), asked + 1);
    b.office.down = false;
    b.boot();
    assert_eq!((b.stage(), b.machine.onboarding_problem()), (Some(Stage::InReview), None));
    let names: Vec<_> = b
        .asks
        .iter()
        .filter_map(|a| if let TmsAsk::Submit(a) = a { Some((a.id.clone(), a.revision)) } else { None })
        .collect();
    assert!(names.windows(2).all(|w| w[0] == w[1]) && b.office.received.len() == 1);
    let records = b.disk.len();
    b.wait(600);
    assert_eq!(b.disk.len(), records, "ten polls without news leave no record");
}

#[test]
fn what_comes_out_of_turn_is_refused_and_changes_nothing() {
    let mut b = Bench::new(None);
    for step in [
        Apply::Submit,
        Apply::Refresh,
        Apply::Activate,
        Apply::Accept { offer: Box::new(offer()), terms: Box::new(terms()) },
    ] {
        assert!(wrong_state(b.apply(step)));
    }
    let bad = Draft { category: "54".into(), ..draft() };
    let id = "0".repeat(32);
    assert_eq!(
        b.apply(Apply::Draft { id: id.clone(), draft: Box::new(bad) }),
        Some(Err(Fault::invalid("category", "4 digits (merchant category code)")))
    );
    assert_eq!((b.stage(), b.disk.len()), (None, 1));
    b.draft().unwrap();
    assert!(wrong_state(b.apply(Apply::Submit)), "the offer was not accepted");
    // A product that is not offered.
    let both = Draft { products: vec![Product::Card, Product::Scan], ..draft() };
    b.surely(&Apply::Draft { id, draft: Box::new(both) }).unwrap();
    assert!(matches!(b.accept(), Err(Fault::Invalid { field, .. }) if field == "products"));
    b.draft().unwrap();
    b.accept().unwrap();
    b.surely(&Apply::Submit).unwrap();
    let records = b.disk.len();
    for step in [
        Apply::Activate,
        Apply::Draft { id: String::new(), draft: Box::new(draft()) },
        Apply::Accept { offer: Box::new(offer()), terms: Box::new(terms()) },
    ] {
        assert!(wrong_state(b.apply(step)));
    }
    assert_eq!(b.apply(Apply::Submit), Some(Ok(())), "once more is the same");
    // Answers of another question, onboarding or revision.
    let a = b.machine.state().onboarding.clone().unwrap();
    let standing = OnboardingStatus {
        onboarding: a.id.clone(),
        revision: 7,
        terminal: "t".into(),
        verdict: Verdict::Approved,
        reason: None,
    };
    let step = b.machine.handle(Input::Tms { tag: 99, event: TmsEvent::Status(Box::new(standing)) }, b.now);
    b.take(step);
    assert_eq!((b.stage(), b.disk.len()), (Some(Stage::InReview), records));
}

#[test]
fn a_terminal_without_an_account_takes_no_payment_and_shows_its_onboarding() {
    let mut b = Bench::new(None);
    assert_eq!(b.machine.screen(), Screen::Onboarding { stage: None, reason: None });
    let wire = RequestWire {
        id: "r-1".into(),
        kind: "sale".into(),
        amount: Some("1.00".into()),
        currency: Some("CNY".into()),
        ..RequestWire::default()
    };
    let request = Request::try_from(wire).unwrap();
    let key = RequestKey::new("till", "r-1").unwrap();
    let step = b.machine.handle(Input::Start { call: 77, key, request: Box::new(request) }, b.now);
    b.take(step);
    assert_eq!(b.answers.remove(&77), Some(Err(Fault::NotActivated)));
    whole_way(&mut b);
    assert_eq!(b.machine.screen(), Screen::Onboarding { stage: Some(Stage::Activated), reason: None });
}

#[test]
fn without_a_terminal_management_there_is_no_onboarding() {
    let mut machine = Machine::replay(Settings { tms: None, ..settings() }, None, []).unwrap();
    machine.boot(Time(4), "test", &[]);
    let step = machine.handle(Input::Apply { call: 1, by: "owner".into(), step: Apply::Submit }, Time(5));
    assert_eq!(step.effects, [Effect::Answer { call: 1, result: Err(Fault::not_found("setting", "tms")) }]);
}

#[test]
fn a_printer_gets_a_slip_of_what_was_sent_and_what_came_of_it() {
    let mut b = Bench::new(None);
    b.machine = Machine::replay(Settings { printer: true, ..settings() }, None, b.disk.clone()).unwrap();
    whole_way(&mut b);
    let stages: Vec<Stage> = b
        .machine
        .papers()
        .filter_map(|p| {
            if let PaperContent::Onboarding(s) = &p.content { Some(s.onboarding.stage) } else { None }
        })
        .collect();
    assert_eq!(
        stages,
        [Stage::Submitted, Stage::Rejected, Stage::Submitted, Stage::Approved, Stage::Activated]
    );
    let all = b.machine.papers().all(|p| {
        if let PaperContent::Onboarding(s) = &p.content {
            s.onboarding.accepted.as_ref().is_some_and(|a| a.hash.len() == 64 && a.terms.text.is_empty())
        } else {
            false
        }
    });
    assert!(all, "the hash of what was accepted, without its words");
}
