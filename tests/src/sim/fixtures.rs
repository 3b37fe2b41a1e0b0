//! Settings and orders that the flow, crash and seed tests, the swarm and the soak share.
use crate::sim::{
    bank::HostFault,
    world::{Customer, Order, Script, World},
};
use payterm_core::{AccountSettings, Settings};
use payterm_schema::{
    AccountId, Class, Currency, Kind, Money, Status,
    config::{Config, DuplicatePolicy, Limits, OfflineLimits, Percent, SettlementConfig},
    host::{CodeRule, HostRules, RetryRule, Wallet, WalletQuery},
    offline::OfflineAuthority,
    outcome::Place,
    time::Millis,
};

/// Limits of so many fen.
pub fn cny(minor: u64) -> Limits {
    Money::new(minor, Currency::CNY).expect("12 digits").into()
}
/// Limits that name yen only.
pub fn yen(minor: u64) -> Limits {
    Money::new(minor, "JPY".parse().expect("a currency")).expect("12 digits").into()
}

pub fn settings() -> Settings {
    let config: Config = toml::from_str(
        r#"
        [[account]]
        id = "up"
        profile = "unionpay"
        mid = "898310000000001"
        tid = "10000001"
        currency = "CNY"
        address = "127.0.0.1:1"
        obligation_tries = 4

        [operators]
        required = false
        "#,
    )
    .expect("config");
    config.check().expect("config");
    let rule = |class, retry| CodeRule { class, retry, reverse: false };
    let codes = [
        ("00", rule(Class::A, RetryRule::Never)),
        ("10", rule(Class::A, RetryRule::Never)),
        ("12", rule(Class::C, RetryRule::Never)),
        ("25", rule(Class::C, RetryRule::Never)),
        ("41", rule(Class::D, RetryRule::Never)),
        ("51", rule(Class::C, RetryRule::Never)),
        ("55", rule(Class::C, RetryRule::Pin)),
        ("75", rule(Class::C, RetryRule::Never)),
        ("77", rule(Class::D, RetryRule::SignIn)),
        ("94", rule(Class::C, RetryRule::Done)),
        ("96", CodeRule { class: Class::C, retry: RetryRule::Never, reverse: true }),
        ("A0", rule(Class::B, RetryRule::SignIn)),
        ("09", rule(Class::P, RetryRule::Never)),
        ("64", rule(Class::C, RetryRule::Never)),
        ("91", rule(Class::C, RetryRule::Now)),
    ];
    let rules = HostRules {
        codes: codes.into_iter().map(|(c, r)| (c.to_owned(), r)).collect(),
        reversal_ends: ["00", "12", "25"].map(Into::into).to_vec(),
        sign_in: true,
        mac_on_replies: true,
        wallet_undo_after: [(Wallet::Wechat, Millis::secs(15))].into(),
        wallets: vec![Wallet::Wechat, Wallet::Alipay],
        advice_ends: ["00", "94"].map(Into::into).to_vec(),
        duplicate_names_first: false,
        not_balanced: vec!["95".into()],
        icc: Kind::ALL.to_vec(),
        script_results: true,
        query: true,
        wallet_query: [(
            Wallet::Wechat,
            WalletQuery { first: Millis::secs(5), every: Millis::secs(5), until: Millis::secs(45) },
        )]
        .into(),
        partial: vec!["10".into()],
        completion_percent: Percent::new(115).expect("below 1000"),
        kinds: Kind::ALL.to_vec(),
        advices_in_flight: 3,
        downloads: false,
        offline_authorities: vec![
            OfflineAuthority::Card,
            OfflineAuthority::CardUnableOnline,
            OfflineAuthority::Voice,
            OfflineAuthority::Merchant,
        ],
        certificates: true,
        no_pin: Vec::new(),
    };
    let accounts = config
        .accounts
        .iter()
        .map(|a| AccountSettings { config: a.clone(), rules: rules.clone().into(), host_offset_minutes: 480 })
        .collect();
    Settings {
        accounts,
        routes: Vec::new(),
        flow: config.flow,
        paper: config.paper,
        place: Place::default(),
        operator: "01".into(),
        operators: config.operators,
        // A reminder of an open batch would keep the world from coming to rest.
        settlement: SettlementConfig { remind_after_hours: 0, ..config.settlement },
        test: true,
        printer: true,
        chip: Vec::new(),
        card_ms: 5_000,
        snapshot_every: 10_000,
        not_before: payterm_schema::Time(0),
        tms: None,
    }
}

/// The merchant accepts what cannot be sent: cards without PIN, generous limits.
pub fn offline_settings() -> Settings {
    let mut s = settings();
    let policy = OfflineLimits {
        per_card: Some(cny(1_000_000)),
        per_card_count: 1_000,
        total: Some(cny(10_000_000)),
        total_count: 10_000,
        ..OfflineLimits::default()
    };
    s.accounts[0].config.offline.merchant = Some(policy);
    std::sync::Arc::make_mut(&mut s.accounts[0].rules).no_pin = vec![Kind::Sale];
    s
}
pub fn plain(id: &'static str, card: u8) -> Order {
    Order { customer: Customer::SwipesPlain(card), ..sale(id) }
}

pub fn up() -> AccountId {
    AccountId::new("up").expect("id")
}

pub fn held(mut s: Settings) -> Settings {
    s.paper.duplicate = DuplicatePolicy::Ask;
    s
}

pub fn sale(id: &'static str) -> Order {
    Order { id, kind: Kind::Sale, amount: Some(1234), original: None, customer: Customer::Swipes }
}
pub fn scan(id: &'static str) -> Order {
    Order { customer: Customer::Shows, ..sale(id) }
}
pub fn void(id: &'static str, original: &'static str) -> Order {
    Order { kind: Kind::Void, amount: None, original: Some(original), ..sale(id) }
}
pub fn on(kind: Kind, id: &'static str, original: &'static str) -> Order {
    Order { kind, amount: None, original: Some(original), ..sale(id) }
}
pub fn part(kind: Kind, id: &'static str, original: &'static str, amount: u64) -> Order {
    Order { kind, amount: Some(amount), original: Some(original), ..sale(id) }
}
pub fn new(kind: Kind, id: &'static str) -> Order {
    Order { kind, ..sale(id) }
}
pub fn control(id: &'static str, kind: Kind) -> Order {
    Order { kind, amount: None, customer: Customer::Walks, ..sale(id) }
}
pub fn script(orders: impl Into<Vec<Order>>, faults: impl Into<Vec<HostFault>>) -> Script {
    Script { orders: orders.into(), faults: faults.into(), digested: true, ..Script::default() }
}

pub fn run(script: Script) -> World {
    let mut world = World::new(settings(), script, None);
    world.run();
    world
}
/// Statuses and reasons of this request, as they were told.
pub fn told(world: &World, id: &str) -> Vec<(Status, String)> {
    world
        .told
        .iter()
        .filter(|o| o.key.id == id)
        .map(|o| (o.status, o.reason.as_ref().map(|r| r.code.clone()).unwrap_or_default()))
        .collect()
}
