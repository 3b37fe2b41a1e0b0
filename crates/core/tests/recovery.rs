//! A journal that was put back: no payments, no number used twice, nothing driven, until the recovery is ended on record. And the
//! clock that is doubted until a host confirms it.
#![allow(clippy::unwrap_used)] // a test may stop anywhere
use payterm_core::{AccountSettings, Effect, Input, Machine, Settings, Step, VaultAnswer, VaultAsk};
use payterm_schema::{
    AccountId, Class, Fault, HostAnswer, Instrument, Kind, Pan, Record, RequestKey, Screen, Stan, Status, Time,
    config::Config,
    device::{Key, Way},
    host::{Again, CodeRule, HostRules},
    operator::{OperatorEvent, OperatorId, OperatorRequest, Purpose},
    outcome::Place,
    record::{ClockEvent, Entry, ObligationState, Restored},
    request::RequestWire,
    secret::{Password, PinEntry, Verifier},
    time::Millis,
};

const NOW: Time = Time(1_780_000_000_000);

fn settings() -> Settings {
    let account = r#"{"account":[{"id":"a","profile":"x","merchant":"898310000000001","terminal":"10000001","currency":"CNY","address":"127.0.0.1:1"}]}"#;
    let config: Config = serde_json::from_str(account).unwrap();
    let good = CodeRule { class: Class::A, again: Again::Never, reverse: false };
    let rules = HostRules {
        codes: [("00".to_owned(), good)].into(),
        reversal_ends: vec!["00".into()],
        kinds: Kind::ALL.to_vec(),
        sign_in: false,
        ..HostRules::default()
    };
    Settings {
        accounts: vec![AccountSettings { config: config.accounts[0].clone(), rules: rules.into(), host_offset_minutes: 0 }],
        routes: Vec::new(),
        flow: payterm_schema::config::FlowConfig { typed_pan: true, ..config.flow },
        paper: config.paper,
        place: Place::default(),
        operator: "01".into(),
        operators: payterm_schema::config::OperatorsConfig { required: false, ..Default::default() },
        test: true,
        printer: true,
        chip: false,
        snapshot_every: 1_000,
        tms: None,
        settlement: Default::default(),
    }
}
fn account() -> AccountId {
    AccountId::new("a").unwrap()
}
fn start(kind: &str, id: &str) -> Input {
    let amount = (kind == "sale").then(|| "1.00".to_owned());
    let currency = amount.as_ref().map(|_| "CNY".to_owned());
    let wire = RequestWire { id: id.into(), kind: kind.into(), amount, currency, ..RequestWire::default() };
    Input::Start { call: 1, key: RequestKey::new("app", id).unwrap(), request: Box::new(wire.try_into().unwrap()) }
}
fn answer(step: &Step) -> Option<Result<(), Fault>> {
    step.effects.iter().find_map(|e| if let Effect::Answer { result, .. } = e { Some(result.clone()) } else { None })
}
fn sent(step: &Step) -> Option<Stan> {
    step.effects.iter().find_map(|e| if let Effect::Send(m) = e { Some(m.plan.stan) } else { None })
}

/// A machine with its journal.
struct Till {
    machine: Machine,
    disk: Vec<Entry>,
    /// Of session 3.
    ended: Vec<Result<(), Fault>>,
}
impl Till {
    fn new(disk: Vec<Entry>) -> Self {
        Self::with(settings(), disk)
    }
    fn with(settings: Settings, disk: Vec<Entry>) -> Self {
        Self { machine: Machine::replay(settings, None, disk.clone()).unwrap(), disk, ended: Vec::new() }
    }
    /// The vault is asked, and answers at once.
    fn keep(&mut self, step: Step) -> Step {
        self.disk.extend(step.records.clone());
        for effect in &step.effects {
            if let Effect::AskVault { tag, ask } = effect {
                let answer = vault(*tag, ask.clone());
                self.input(Input::Vault { tag: *tag, answer });
            }
            if let Effect::Answer { call: 3, result } = effect {
                self.ended.push(result.clone());
            }
        }
        step
    }
    /// Digits, `c` confirm, `x` cancel.
    fn types(&mut self, keys: &str) {
        for k in keys.bytes() {
            let key = match k {
                b'c' => Key::Confirm,
                b'x' => Key::Cancel,
                digit => Key::Digit(digit),
            };
            self.input(Input::Key(key));
        }
    }
    fn ends_recovery(&mut self) {
        self.input(Input::Operators { call: 3, request: OperatorRequest::EndRecovery });
    }
    /// Of operators and the end of the recovery, from this record on.
    fn story(&self, from: usize) -> Vec<String> {
        let told = |e: &Entry| {
            if let Record::RecoveryEnded { by } = &e.record {
                return Some(format!("ended by {by}"));
            }
            let Record::Operator { event } = &e.record else { return None };
            if let OperatorEvent::TerminalLocked { by } = event {
                return Some(format!("locked by {by}"));
            }
            if let OperatorEvent::Wrong { operator, purpose } = event {
                return Some(format!("{operator} {purpose:?} wrong"));
            }
            if let OperatorEvent::Right { operator, purpose } = event { Some(format!("{operator} {purpose:?}")) } else { None }
        };
        self.disk[from..].iter().filter_map(told).collect()
    }
    fn boot(&mut self, now: Time) -> Step {
        let step = self.machine.boot(now, "test", &[]);
        let step = self.keep(step);
        self.input(Input::Devices { ways: vec![Way::Swipe, Way::Typed], pin_pad: true, printer: true });
        step
    }
    fn input(&mut self, input: Input) -> Step {
        let step = self.machine.handle(input, NOW);
        self.keep(step)
    }
    /// A sale up to its frame.
    fn sale(&mut self, id: &str) -> Option<Stan> {
        self.input(start("sale", id));
        let step = self
            .input(Input::Instrument { instrument: Instrument::Typed { pan: Pan::parse("6212345678900000003").unwrap(), expiry: "3012".into() }, card: None });
        if let Some(stan) = sent(&step) {
            return Some(stan);
        }
        let tag = step.effects.iter().find_map(|e| if let Effect::AskPin { tag, .. } = e { Some(*tag) } else { None })?;
        sent(&self.input(Input::Pin { tag, entry: PinEntry::Bypassed }))
    }
}

/// Each answer is a plain function of the question.
fn vault(tag: u64, ask: VaultAsk) -> VaultAnswer {
    let of = |operator: &OperatorId, password: &Password| Verifier::new(format!("{operator}:{}", password.reveal()));
    match ask {
        VaultAsk::Check { operator, password, verifier } => VaultAnswer::Checked(of(&operator, &password) == verifier),
        VaultAsk::Verifier { operator, password } => VaultAnswer::Verifier(of(&operator, &password)),
        VaultAsk::Challenge => VaultAnswer::Challenge(format!("{tag:08}")),
        VaultAsk::CheckCode { .. } => VaultAnswer::Checked(false),
    }
}

fn restored(last_txn: u64, stan: Option<u32>) -> Restored {
    let stans = stan.map(|s| [(account(), Stan::new(s).unwrap())].into());
    Restored { why: "it was torn".into(), kept: "journal.damaged-1.db".into(), backup: Some(3), salvaged: 0, lost: 1, last_txn, stans }
}

#[test]
fn a_restored_journal_takes_no_payments_and_uses_no_number_again() {
    // The backup was made while a frame was out: it says nothing of the answer.
    let mut before = Till::new(Vec::new());
    before.boot(NOW);
    assert_eq!(before.sale("one"), Some(Stan::FIRST));
    let mut till = Till::new(before.disk.clone());
    let step = till.machine.restored(NOW, restored(9, Some(200)));
    till.keep(step);
    let step = till.boot(NOW);
    assert_eq!(sent(&step), None, "a reversal might take back what was approved and told");
    let open = till.machine.obligations().iter().next().unwrap();
    assert_eq!(open.state, ObligationState::Stuck);
    assert!(step.records.iter().any(|e| matches!(&e.record, Record::Outcome { outcome } if outcome.status == Status::Unknown)));
    assert_eq!(till.machine.screen(), &Screen::Trouble { what: "recovering".into() });
    assert!(till.machine.state().inhibits().contains(&payterm_schema::inhibit::InhibitReason::Restoring));
    // Later too, and after another start.
    for _ in 0..2 {
        let later = till.machine.handle_timeout(NOW + Millis::secs(86_400));
        assert_eq!(sent(&till.keep(later)), None);
        assert_eq!(answer(&till.input(start("sale", "two"))), Some(Err(Fault::JournalRestored { id: "two".into() })));
        assert!(matches!(answer(&till.input(Input::RetryObligation { call: 2, txn: 1, by: "m".into() })), Some(Err(Fault::WrongState { .. }))));
        till = Till::new(till.disk);
        till.boot(NOW);
    }
    assert_eq!(answer(&till.input(start("echo", "e"))), Some(Ok(())), "what moves no money goes on");
    till = Till::new(till.disk);
    till.boot(NOW);
    assert_eq!(answer(&till.input(Input::Operators { call: 3, request: OperatorRequest::EndRecovery })), Some(Ok(())));
    assert!(till.disk.iter().any(|e| matches!(&e.record, Record::RecoveryEnded { by } if by == "manager")));
    assert!(matches!(answer(&till.input(Input::Operators { call: 4, request: OperatorRequest::EndRecovery })), Some(Err(Fault::WrongState { .. }))));
    // Above the marks: STAN 200 and transaction 9 may have been used.
    let stan = till.sale("two").unwrap();
    assert!((201..=210).contains(&stan.get()), "{stan}");
    assert!(till.machine.state().last_txn > 9);
    assert_eq!(till.machine.obligations().iter().filter(|o| o.state == ObligationState::Stuck).count(), 1, "a person's, still");
}

/// In recovery, with operators, and the cashier 01 on duty.
fn in_recovery() -> Till {
    let mut s = settings();
    s.operators = payterm_schema::config::OperatorsConfig { required: true, idle_lock_ms: 0, ..Default::default() };
    let mut till = Till::with(s, Vec::new());
    let step = till.machine.restored(NOW, restored(9, Some(200)));
    till.keep(step);
    till.boot(NOW);
    till.types("01c111111c482915c482915c");
    assert_eq!(till.machine.state().staff.on_duty.as_ref().map(ToString::to_string), Some("01".into()));
    till
}

#[test]
fn where_there_are_operators_the_supervisor_ends_a_recovery() {
    let mut till = in_recovery();
    let from = till.disk.len();
    till.ends_recovery();
    let asked = |s: &Screen| matches!(s, Screen::Password { operator, purpose: Purpose::Manage, .. } if *operator == OperatorId::supervisor());
    assert!(asked(till.machine.screen()) && till.ended.is_empty(), "{:?}", till.machine.screen());
    // Cancelled; the cashier's own password, and then nobody.
    till.types("x");
    till.ends_recovery();
    till.types("482915c");
    assert!(asked(till.machine.screen()));
    let step = till.machine.handle_timeout(NOW + Millis::secs(3_600));
    till.keep(step);
    let not_done = |rule: &str| Err(Fault::NotDone { rule: rule.into() });
    assert_eq!(till.ended, [not_done("cancelled at the keypad"), not_done("nothing was typed in time")]);
    assert_eq!(till.story(from), ["00 Manage wrong"]);
    assert!(till.machine.state().recovering.is_some());
    assert_eq!(answer(&till.input(start("sale", "one"))), Some(Err(Fault::JournalRestored { id: "one".into() })));

    // The supervisor, whose first password has to be changed before it is good for anything.
    till.ends_recovery();
    till.types("000000c739164c");
    assert!(till.machine.state().recovering.is_some());
    till.types("739164c");
    assert_eq!(till.ended.last(), Some(&Ok(())));
    assert_eq!(till.story(from), ["00 Manage wrong", "00 Change", "00 Manage", "ended by 00"]);
    assert!(till.machine.state().recovering.is_none());
    assert!(till.sale("one").is_some(), "the cashier's shift goes on");
}

#[test]
fn wrong_passwords_lock_the_terminal_and_end_no_recovery() {
    let mut till = in_recovery();
    let from = till.disk.len();
    till.ends_recovery();
    till.types("482915c482916c482917c");
    till.ends_recovery();
    assert_eq!(till.ended, [Err(Fault::TerminalLocked), Err(Fault::TerminalLocked)]);
    assert_eq!(till.story(from), ["00 Manage wrong", "00 Manage wrong", "00 Manage wrong", "locked by 00"]);
    assert!(till.machine.state().recovering.is_some());
}

#[test]
fn a_supervisor_on_duty_ends_a_recovery_at_once() {
    let mut till = in_recovery();
    till.types("00c000000c739164c739164c");
    let from = till.disk.len();
    till.ends_recovery();
    assert_eq!((till.ended.as_slice(), till.story(from)), ([Ok(())].as_slice(), vec!["ended by 00".to_owned()]));
}

/// What was owed is left to people before anything is driven.
#[test]
fn the_record_of_a_restoring_sends_nothing() {
    let mut before = Till::new(Vec::new());
    before.boot(NOW);
    before.sale("one");
    let mut again = Till::new(before.disk);
    assert!(sent(&again.boot(NOW)).is_some(), "its reversal is due");
    let mut till = Till::new(again.disk);
    let step = till.machine.restored(NOW, restored(1, Some(100)));
    assert_eq!((sent(&step), step.records.len()), (None, 1));
}

/// No frame of the request is in the journal: that is no proof that none left.
#[test]
fn a_request_that_ran_ends_unknown() {
    let mut before = Till::new(Vec::new());
    before.boot(NOW);
    before.input(start("sale", "one"));
    let ended = |restore: bool| {
        let mut till = Till::new(before.disk.clone());
        if restore {
            let step = till.machine.restored(NOW, restored(1, Some(100)));
            till.keep(step);
        }
        let step = till.boot(NOW);
        step.records
            .iter()
            .find_map(|e| if let Record::Outcome { outcome } = &e.record { Some((outcome.status, outcome.reason.clone().unwrap().code)) } else { None })
    };
    assert_eq!(ended(false), Some((Status::Failed, "interrupted".into())));
    assert_eq!(ended(true), Some((Status::Unknown, "journal-restored".into())));
    // It owes nothing that could be driven, and a person can end it: not as executed, for it has no place in a batch.
    let mut till = Till::new(before.disk);
    let step = till.machine.restored(NOW, restored(1, Some(100)));
    till.keep(step);
    till.boot(NOW);
    let mut say = |executed| {
        let step = till.input(Input::Resolve { call: 5, txn: 1, executed, reference: "case 1".into(), by: "m".into() });
        let outcome = step.records.iter().find_map(|e| if let Record::Outcome { outcome } = &e.record { Some(outcome.status) } else { None });
        (answer(&step), outcome)
    };
    assert!(matches!(say(true), (Some(Err(Fault::WrongState { .. })), None)));
    assert_eq!(say(false), (Some(Ok(())), Some(Status::Declined)));
    assert!(matches!(say(false), (Some(Err(Fault::NotFound { .. })), None)), "once");
}

/// The marks are lost too: as far away as can be from the numbers used last.
#[test]
fn without_marks_the_stans_go_on_far_away() {
    let mut before = Till::new(Vec::new());
    before.boot(NOW);
    before.sale("one");
    let mut till = Till::new(before.disk);
    let step = till.machine.restored(NOW, restored(1, None));
    till.keep(step);
    assert_eq!(till.machine.state().next_stan(&account()).get(), 500_002);
}

#[test]
fn a_damaged_journal_begins_nothing_new() {
    let mut till = Till::new(Vec::new());
    till.boot(NOW);
    till.input(Input::JournalDamaged { why: "record 7: gone".into() });
    assert_eq!(till.machine.screen(), &Screen::Trouble { what: "journal-damaged".into() });
    assert_eq!(answer(&till.input(start("sale", "one"))), Some(Err(Fault::JournalDamaged { cause: "record 7: gone".into() })));
}

#[test]
fn the_clock_is_doubted_until_a_host_confirms_it() {
    let doubt = |till: &Till| till.machine.state().clock_doubt.clone().map(|d| d.1);
    let mut till = Till::new(Vec::new());
    till.boot(NOW);
    assert!(till.machine.state().clock_trusted());
    till.input(Input::ClockJumped { by: Millis::secs(7_200) });
    assert_eq!(doubt(&till), Some(ClockEvent::Jumped { by: Millis::secs(7_200) }));
    // In the past after a start: named, and it works on.
    let mut till = Till::new(till.disk);
    till.boot(Time(NOW.0 - 3_600_000));
    assert!(matches!(doubt(&till), Some(ClockEvent::Behind { by }) if by.0 >= 3_600_000), "{:?}", doubt(&till));
    assert_eq!(answer(&till.input(start("sale", "one"))), Some(Ok(())));
    let answer = r#"{"code":"00","mac":"not_used","keys":"loaded","date":"0528","time":"203320","texts":[],"requirement":0}"#;
    let answer: HostAnswer = serde_json::from_str(answer).unwrap();
    let signed_in = Record::SignedIn { account: account(), batch: payterm_schema::Batch::FIRST, offset: Millis(0), answer: Box::new(answer) };
    let mut state = till.machine.state().clone();
    state.apply(&Entry { seq: state.seq + 1, at: NOW, txn: None, record: signed_in }).unwrap();
    assert!(state.clock_trusted());
}
