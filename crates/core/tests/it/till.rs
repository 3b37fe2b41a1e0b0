//! A machine with its journal and one account, for tests of what a person or a damaged journal does to it.
use payterm_core::{AccountSettings, Ask, Effect, Input, Machine, Settings, Step, VaultAnswer, VaultAsk};
use payterm_schema::{
    AccountId, Batch, Class, Fault, HostAnswer, HostEvent, Instrument, Kind, Pan, Record, RequestKey,
    RequestRecord, Stan, Status, TerminalRecord, Time,
    config::Config,
    device::Key,
    host::EntryMode,
    host::{CodeRule, HostRules, RetryRule},
    operator::{OperatorEvent, OperatorId, OperatorRequest},
    outcome::Place,
    record::{Entry, Restored},
    request::RequestWire,
    secret::{Password, PinEntry, Verifier},
};

pub const NOW: Time = Time(1_780_000_000_000);

pub fn settings() -> Settings {
    let account = r#"{"account":[{"id":"a","profile":"x","mid":"898310000000001","tid":"10000001",
        "currency":"CNY","address":"127.0.0.1:1"}]}"#;
    let config: Config = serde_json::from_str(account).unwrap();
    let good = CodeRule { class: Class::A, retry: RetryRule::Never, reverse: false };
    let rules = HostRules {
        codes: [("00".to_owned(), good)].into(),
        reversal_ends: vec!["00".into()],
        kinds: Kind::ALL.to_vec(),
        sign_in: false,
        ..HostRules::default()
    };
    Settings {
        accounts: vec![AccountSettings {
            config: config.accounts[0].clone(),
            rules: rules.into(),
            host_offset_minutes: 0,
        }],
        routes: Vec::new(),
        flow: payterm_schema::config::FlowConfig { typed_pan: true, ..config.flow },
        paper: config.paper,
        place: Place::default(),
        operator: "01".into(),
        operators: payterm_schema::config::OperatorsConfig { required: false, ..Default::default() },
        test: true,
        printer: true,
        chip: Vec::new(),
        card_ms: 5_000,
        snapshot_every: 1_000,
        not_before: Time(0),
        tms: None,
        settlement: Default::default(),
    }
}
pub fn account() -> AccountId {
    AccountId::new("a").unwrap()
}
pub fn start(kind: &str, id: &str) -> Input {
    let amount = (kind == "sale").then(|| "1.00".to_owned());
    let currency = amount.as_ref().map(|_| "CNY".to_owned());
    let wire = RequestWire { id: id.into(), kind: kind.into(), amount, currency, ..RequestWire::default() };
    Input::Start {
        call: 1,
        key: RequestKey::new("app", id).unwrap(),
        request: Box::new(wire.try_into().unwrap()),
    }
}
/// A voice sale of 1.00, which is an advice.
pub fn voice_sale(id: &str) -> Input {
    let wire = RequestWire {
        id: id.into(),
        kind: "voice_sale".into(),
        amount: Some("1.00".into()),
        currency: Some("CNY".into()),
        auth_code: Some("123456".into()),
        ..RequestWire::default()
    };
    let key = RequestKey::new("app", id).unwrap();
    Input::Start { call: 1, key, request: Box::new(wire.try_into().unwrap()) }
}
pub fn answer(step: &Step) -> Option<Result<(), Fault>> {
    step.effects
        .iter()
        .find_map(|e| if let Effect::Answer { result, .. } = e { Some(result.clone()) } else { None })
}
pub fn sent(step: &Step) -> Option<Stan> {
    step.effects.iter().find_map(|e| if let Effect::Send(m) = e { Some(m.plan.stan) } else { None })
}
pub fn tag_of(step: &Step) -> Option<u64> {
    step.effects.iter().find_map(|e| if let Effect::Send(m) = e { Some(m.tag) } else { None })
}
pub fn told(step: &Step) -> Vec<(Status, String)> {
    let told = |e: &Entry| {
        if let Record::Request(RequestRecord::Outcome { outcome: o, .. }) = &e.record {
            Some((o.status, o.reason.clone().map_or("".into(), |r| r.code)))
        } else {
            None
        }
    };
    step.records.iter().filter_map(told).collect()
}
pub fn unknown() -> Vec<(Status, String)> {
    vec![(Status::Unknown, "journal-restored".into())]
}
pub fn host_answer(more: &str) -> HostAnswer {
    let json = format!(
        r#"{{"mac":"not_used","keys":"none",
            "date":"0528","time":"203320","texts":[],"requirement":0,{more}}}"#
    );
    serde_json::from_str(&json).unwrap()
}
pub fn reply(answer: HostAnswer) -> HostEvent {
    HostEvent::Reply { answer: Box::new(answer), trace: Default::default() }
}

/// A machine with its journal.
pub struct Till {
    pub machine: Machine,
    pub disk: Vec<Entry>,
    /// Of session 3.
    pub ended: Vec<Result<(), Fault>>,
}
impl Till {
    pub fn new(disk: Vec<Entry>) -> Self {
        Self::with(settings(), disk)
    }
    pub fn with(settings: Settings, disk: Vec<Entry>) -> Self {
        Self { machine: Machine::replay(settings, None, disk.clone()).unwrap(), disk, ended: Vec::new() }
    }
    /// The vault is asked, and answers at once.
    pub fn keep(&mut self, step: Step) -> Step {
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
    pub fn types(&mut self, keys: &str) {
        for k in keys.bytes() {
            let key = match k {
                b'c' => Key::Confirm,
                b'x' => Key::Cancel,
                b'l' => Key::Clear,
                digit => Key::Digit(digit),
            };
            self.input(Input::Key(key));
        }
    }
    pub fn ends_recovery(&mut self) {
        self.input(Input::Operators { call: 3, request: OperatorRequest::EndRecovery });
    }
    /// Of operators and the end of the recovery, from this record on.
    pub fn story(&self, from: usize) -> Vec<String> {
        let told = |e: &Entry| {
            if let Record::Terminal(TerminalRecord::RecoveryEnded { by }) = &e.record {
                return Some(format!("ended by {by}"));
            }
            let Record::Operator(event) = &e.record else { return None };
            if let OperatorEvent::TerminalLocked { by } = event {
                return Some(format!("locked by {by}"));
            }
            if let OperatorEvent::Wrong { operator, purpose } = event {
                return Some(format!("{operator} {purpose:?} wrong"));
            }
            if let OperatorEvent::Right { operator, purpose } = event {
                Some(format!("{operator} {purpose:?}"))
            } else {
                None
            }
        };
        self.disk[from..].iter().filter_map(told).collect()
    }
    pub fn boot(&mut self, now: Time) -> Step {
        let step = self.machine.boot(now, "test", &[]);
        let step = self.keep(step);
        self.input(Input::Devices {
            modes: vec![EntryMode::Swipe, EntryMode::Code, EntryMode::Manual],
            pin_pad: true,
            printer: true,
        });
        step
    }
    pub fn input(&mut self, input: Input) -> Step {
        let step = self.machine.handle(input, NOW);
        self.keep(step)
    }
    /// A sale up to its frame.
    pub fn sale(&mut self, id: &str) -> Option<Stan> {
        sent(&self.frame(start("sale", id)))
    }
    pub fn frame(&mut self, start: Input) -> Step {
        self.input(start);
        let step = self.input(Input::Instrument {
            instrument: Instrument::Typed {
                pan: Pan::parse("6212345678900000003").unwrap(),
                expiry: "3012".into(),
            },
            card: None,
        });
        if sent(&step).is_some() {
            return step;
        }
        let tag = step.asks.iter().find_map(|a| if let Ask::Pin { tag, .. } = a { Some(*tag) } else { None });
        tag.map_or(step, |tag| self.input(Input::Pin { tag, entry: PinEntry::Bypassed }))
    }
    /// The answer to what this step sent.
    pub fn answered(&mut self, step: &Step, more: &str) -> Step {
        self.input(Input::Host { tag: tag_of(step).unwrap(), event: reply(host_answer(more)) })
    }
    /// A sale of 1.00 that is approved.
    pub fn paid(&mut self, id: &str) {
        let step = self.frame(start("sale", id));
        let step = self.answered(&step, r#""code":"00","amount":100"#);
        assert_eq!(told(&step), [(Status::Approved, String::new())]);
    }
    /// Signs in; the host names this batch.
    pub fn signs_in(&mut self, id: &str, batch: u32) -> Step {
        let step = self.input(start("sign_in", id));
        let answer = HostAnswer { batch: Batch::new(batch), ..host_answer(r#""code":"00""#) };
        self.input(Input::Host { tag: tag_of(&step).unwrap(), event: reply(answer) })
    }
    pub fn restore(self, settings: Settings, stan: Option<u32>) -> (Self, Step) {
        let mut till = Till::with(settings, self.disk);
        let last = till.machine.state().last_txn;
        let step = till.machine.restored(NOW, restored(last, stan));
        till.keep(step);
        let step = till.boot(NOW);
        (till, step)
    }
    pub fn resolve(&mut self, txn: u64, executed: bool) -> Step {
        self.input(Input::Resolve {
            call: 2,
            txn,
            executed,
            stan: None,
            reference: "case 1".into(),
            by: "m".into(),
        })
    }
    pub fn retry(&mut self, txn: u64) -> Step {
        self.input(Input::RetryObligation { call: 8, txn, by: "m".into() })
    }
    pub fn bank(&self) -> &payterm_core::Ledger {
        self.machine.state().ledger(&account())
    }
    /// Records and sum of the open batch.
    pub fn counted(&self) -> (u64, u64) {
        (self.bank().debit_count, self.bank().debit_minor)
    }
}

/// Each answer is a plain function of the question.
pub fn vault(tag: u64, ask: VaultAsk) -> VaultAnswer {
    let of = |operator: &OperatorId, password: &Password| {
        Verifier::new(format!("{operator}:{}", password.reveal()))
    };
    match ask {
        VaultAsk::Check { operator, password, verifier } => {
            VaultAnswer::Checked(of(&operator, &password) == verifier)
        }
        VaultAsk::Verifier { operator, password } => VaultAnswer::Verifier(of(&operator, &password)),
        VaultAsk::Challenge => VaultAnswer::Challenge(format!("{tag:08}")),
        VaultAsk::CheckCode { .. } => VaultAnswer::Checked(false),
    }
}

pub fn restored(last_txn: u64, stan: Option<u32>) -> Restored {
    let stans = stan.map(|s| [(account(), Stan::new(s).unwrap())].into());
    Restored {
        why: "it was torn".into(),
        kept: "journal.damaged-1.db".into(),
        backup: Some(3),
        salvaged: 0,
        lost: 1,
        last_txn,
        stans,
        outdated: false,
    }
}
