//! What a response code means is the profile's to say: a profile whose codes for a partial approval, for
//! pending and for "the issuer may have debited" are nobody's usual ones.
use payterm_core::{AccountSettings, Ask, Effect, Input, Machine, Settings};
use payterm_schema::{
    Class, HostAnswer, HostEvent, HostMessage, Instrument, Money, PaymentCode, RequestKey, RequestRecord,
    Status, Time, Tracks,
    config::{Config, FlowConfig},
    host::EntryMode,
    host::{CodeRule, HostRules, MessageKind, RetryRule, Wallet},
    outcome::Place,
    request::RequestWire,
    secret::{PinBlock, PinEntry},
};

const NOW: Time = Time(1_780_000_000_000);

struct Till {
    machine: Machine,
    ended: Vec<(Status, Option<Class>)>,
    sent: Option<Box<HostMessage>>,
    pin: Option<u64>,
}
impl Till {
    fn new() -> Self {
        let account = r#"{"account":[{"id":"a","profile":"x","mid":"898310000000001","tid":"10000001",
            "currency":"CNY","address":"127.0.0.1:1"}],"operators":{"required":false}}"#;
        let config: Config = serde_json::from_str(account).unwrap();
        let rule = |class, reverse| CodeRule { class, retry: RetryRule::Never, reverse };
        let codes = [
            ("00", rule(Class::A, false)),
            ("K4", rule(Class::A, false)),
            ("W1", rule(Class::P, false)),
            ("Z9", rule(Class::E, true)),
        ];
        let rules = HostRules {
            codes: codes.into_iter().map(|(c, r)| (c.to_owned(), r)).collect(),
            reversal_ends: vec!["00".into()],
            sign_in: false,
            mac_on_replies: false,
            wallet_undo_after: Default::default(),
            wallets: vec![Wallet::Alipay],
            kinds: payterm_schema::Kind::ALL.to_vec(),
            ..HostRules::default()
        };
        let settings = Settings {
            accounts: vec![AccountSettings {
                config: config.accounts[0].clone(),
                rules: rules.into(),
                host_offset_minutes: 0,
            }],
            routes: Vec::new(),
            // Nobody is asked: the part is given back.
            flow: FlowConfig { partial_approval: false, ..config.flow },
            paper: config.paper,
            place: Place::default(),
            operator: "01".into(),
            operators: config.operators,
            settlement: Default::default(),
            test: true,
            printer: false,
            chip: Vec::new(),
            card_ms: 5_000,
            snapshot_every: 1_000,
            not_before: Time(0),
            tms: None,
        };
        let mut till = Self {
            machine: Machine::replay(settings, None, []).unwrap(),
            ended: Vec::new(),
            sent: None,
            pin: None,
        };
        till.machine.boot(NOW, "test", &[]);
        till.input(Input::Devices {
            modes: vec![EntryMode::Swipe, EntryMode::Code],
            pin_pad: true,
            printer: true,
        });
        till
    }
    fn input(&mut self, input: Input) {
        let step = self.machine.handle(input, NOW);
        for ask in step.asks {
            if let Ask::Pin { tag, .. } = ask {
                self.pin = Some(tag);
            }
        }
        for effect in step.effects {
            if let Effect::Send(m) = effect {
                self.sent = Some(m);
            }
        }
        for entry in step.records {
            if let payterm_schema::Record::Request(RequestRecord::Outcome { outcome, .. }) = entry.record {
                self.ended.push((outcome.status, outcome.reason.as_ref().map(|r| r.class)));
            }
        }
    }
    /// A sale of 100.00 that the host answers so.
    fn sale(&mut self, with: Instrument, code: &str, amount: u64) {
        let wire = RequestWire {
            id: "s".into(),
            kind: "sale".into(),
            amount: Some("100.00".into()),
            currency: Some("CNY".into()),
            ..RequestWire::default()
        };
        let request = Box::new(wire.try_into().unwrap());
        self.input(Input::Start { call: 1, key: RequestKey::new("app", "s").unwrap(), request });
        self.input(Input::Instrument { instrument: with, card: None });
        if let Some(tag) = self.pin.take() {
            self.input(Input::Pin { tag, entry: PinEntry::Block(PinBlock::iso0([1; 8])) });
        }
        let message = self.sent.take().unwrap();
        assert_eq!(message.plan.amount, Money::new(10_000, "CNY".parse().unwrap()).ok());
        let answer: HostAnswer = serde_json::from_str(&format!(
            r#"{{"code":"{code}","mac":"not_used","keys":"none","amount":{amount},"time":null,
            "date":null,"settlement_date":null,"acquirer":null,
            "rrn":"123456789012","auth_code":"A1B2C3","issuer_id":null,"acquirer_id":null,"balance":null,
            "batch":null,"scheme":null,"texts":[],
            "fee":null,"requirement":0}}"#
        ))
        .unwrap();
        self.input(Input::Host {
            tag: message.tag,
            event: HostEvent::Reply { answer: Box::new(answer), trace: Default::default() },
        });
    }
    /// F38 of the reversal that leaves now, if one does.
    fn reversal(&self) -> Option<Option<String>> {
        self.sent
            .as_ref()
            .filter(|m| matches!(m.message_kind, MessageKind::Reversal(_)))
            .map(|m| m.plan.auth_code.clone())
    }
}
fn swipe() -> Instrument {
    Instrument::Swiped(Tracks {
        track1: None,
        track2: Some("6225768317945678=30122010000012300000".into()),
        track3: None,
    })
}

#[test]
fn less_than_asked_for_is_partial_by_whatever_code() {
    let mut till = Till::new();
    till.sale(swipe(), "K4", 4_000);
    assert_eq!(till.ended, [(Status::Declined, Some(Class::B))]);
    assert_eq!(till.reversal(), Some(Some("A1B2C3".into())), "the part is given back, F38 with it");
    let mut till = Till::new();
    till.sale(swipe(), "K4", 10_000);
    assert_eq!((till.ended.as_slice(), till.reversal()), ([(Status::Approved, None)].as_slice(), None));
}

#[test]
fn pending_is_a_class_and_only_of_payment_codes() {
    let mut till = Till::new();
    till.sale(Instrument::Scanned(PaymentCode::parse("2812345678901234").unwrap()), "W1", 10_000);
    assert_eq!(till.ended, [(Status::Unknown, Some(Class::P))]);
    assert!(till.reversal().is_some());
    let mut till = Till::new();
    till.sale(swipe(), "W1", 10_000);
    assert_eq!(
        (till.ended.as_slice(), till.reversal()),
        ([(Status::Declined, Some(Class::B))].as_slice(), None),
        "a card's payer is not waited for"
    );
}

#[test]
fn the_reversal_of_an_answered_request_names_its_authorisation() {
    let mut till = Till::new();
    till.sale(swipe(), "Z9", 10_000);
    assert_eq!(
        (till.ended.as_slice(), till.reversal()),
        ([(Status::Declined, Some(Class::E))].as_slice(), Some(Some("A1B2C3".into())))
    );
}
