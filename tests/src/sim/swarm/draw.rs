//! Draws of a seed: the settings, the app's orders, and what goes wrong.
use super::Case;
use crate::sim::{
    bank::HostFault,
    fixtures::{control, held, new, offline_settings, on, plain, sale, scan, settings, void},
    rng::Rng,
    script::{AtPad, ChipCard, Customer, DiskFault, Order, Press, Script, Scripted},
};
use payterm_core::{By, Settings};
use payterm_schema::{
    HostEvent, Kind,
    card::Interface,
    config::{OfflineLimits, RefusalWithoutMac, RouteConfig},
    host::HostRules,
    kind::AmountRule,
    paper::PrintResult,
    totals::Scope,
};

const IDS: [&str; 16] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"];
/// Refusals of every class, and codes that the profile does not know.
const REFUSALS: [&str; 10] = ["51", "55", "91", "77", "96", "A0", "09", "25", "Z7", "94"];

const CONTROLS: [Kind; 6] =
    [Kind::SignIn, Kind::SignOff, Kind::Echo, Kind::Parameters, Kind::StatusUpload, Kind::Settlement];
const CUSTOMERS: [Customer; 15] = [
    Customer::Walks,
    Customer::CancelsAtPin,
    Customer::PressesCancel,
    Customer::SwipesOther,
    Customer::SwipesOther,
    Customer::Bypasses,
    Customer::TakesPart,
    Customer::TakesPart,
    Customer::Fumbles,
    Customer::SwipesTwice,
    Customer::PadFails,
    Customer::FallsAsleep,
    Customer::SwipesPlain(0),
    Customer::SwipesPlain(1),
    Customer::SwipesPlain(1),
];

/// Rate at which a family of mishaps comes, against 200 to 1,000 for none; zero where it is off in this seed:
/// one of `off` is on.
fn rate(rng: &mut Rng, off: u64) -> u64 {
    if rng.roll(off) > 0 { 0 } else { [10, 30, 100, 250][rng.roll(4) as usize] }
}

/// Picks by weight.
fn weighted<T: Clone>(rng: &mut Rng, of: &[(u64, T)]) -> T {
    let mut at = rng.roll(of.iter().map(|(w, _)| w).sum::<u64>().max(1));
    for (w, what) in of {
        if at < *w {
            return what.clone();
        }
        at -= w;
    }
    of[0].1.clone()
}

/// Chip cards, by how often one is inserted.
const CHIPS: [(u64, ChipCard); 14] = [
    (6, ChipCard::Approves),
    (2, ChipCard::RunsScripts),
    (2, ChipCard::Declines),
    (1, ChipCard::DeclinesAfterScripts),
    (1, ChipCard::Lies),
    (1, ChipCard::Pretends),
    (1, ChipCard::Silent),
    (1, ChipCard::Slow),
    (1, ChipCard::SlowAtScripts),
    (1, ChipCard::PulledAtScripts),
    (1, ChipCard::PulledAtOnce),
    (2, ChipCard::PulledOnline),
    (2, ChipCard::PulledAtYes),
    (1, ChipCard::Persona("debit", 0)),
];

/// Customers whose card checks the PIN itself, by how often one comes.
const PINS: [(u64, Customer); 6] = [
    (4, Customer::InsertsForPin("credit", AtPad::WrongFirst(0))),
    (3, Customer::InsertsForPin("credit", AtPad::WrongFirst(1))),
    (1, Customer::InsertsForPin("credit", AtPad::WrongFirst(3))),
    (1, Customer::InsertsForPin("credit", AtPad::Bypasses)),
    (1, Customer::InsertsForPin("credit", AtPad::Cancels)),
    (1, Customer::InsertsForPin("credit", AtPad::Pulls)),
];

/// Cards and phones, by how often one is tapped.
const TAPS: [(u64, Customer); 3] = [
    (4, Customer::Taps("qpboc-online", 0)),
    (1, Customer::Taps("qpboc-online", 3)),
    (2, Customer::Taps("phone", 0)),
];

/// Cards that may approve by themselves.
const ALONE: [(u64, Customer); 3] = [
    (4, Customer::Inserts(ChipCard::Persona("offline", 0))),
    (1, Customer::Inserts(ChipCard::Persona("offline", 9))),
    (4, Customer::Taps("qpboc-offline", 0)),
];

/// In one seed of eight a kernel is there, and most who swiped insert a chip card or tap one; the others'
/// cards have none. In every other one of those cards may approve by themselves.
fn chips(seed: u64, settings: &mut Settings, orders: &mut [Order]) {
    if seed % 8 != 6 {
        return;
    }
    (settings.chip, settings.flow.chip_first) = (vec![Interface::Contact, Interface::Contactless], false);
    // Of its own: what else a seed draws stays as it is.
    let mut rng = Rng::new(!seed);
    for _ in 0..4 {
        rng.roll(2);
    }
    let alone = seed % 16 == 6;
    if alone {
        let mut limits =
            || Some(OfflineLimits { per_card_count: 1 + rng.roll(4) as u32, ..Default::default() });
        let offline = &mut settings.accounts[0].config.offline;
        (offline.card, offline.card_unable_online) = (limits(), limits());
        settings.flow.no_cvm = Some(serde_json::from_str(r#"{"limit":"10.50 CNY"}"#).expect("a rule"));
    }
    for order in orders.iter_mut().filter(|o| o.customer == Customer::Swipes && o.kind.row().chip.is_some()) {
        if alone && rng.roll(2) == 0 {
            order.customer = weighted(&mut rng, &ALONE);
        } else if rng.roll(4) > 0 {
            order.customer = match rng.roll(8) {
                0 | 1 => weighted(&mut rng, &TAPS),
                2 => weighted(&mut rng, &PINS),
                _ => Customer::Inserts(weighted(&mut rng, &CHIPS)),
            };
        }
    }
}

/// In one seed of eight the hosts give lists for the card kernel: when somebody wants parameters, and when
/// they ask for it themselves.
fn downloads(seed: u64, settings: &mut Settings, script: &mut Script) {
    if seed % 8 != 5 {
        return;
    }
    for account in &mut settings.accounts {
        account.rules = HostRules { downloads: true, ..(*account.rules).clone() }.into();
    }
    for fault in &mut script.faults {
        if let HostFault::Require(digit) = fault {
            *digit = if *digit == 3 { 4 } else { 5 };
        }
    }
}

impl Case {
    pub fn draw(seed: u64) -> Case {
        let mut rng = Rng::new(seed);
        // The first numbers of neighbouring seeds are alike.
        for _ in 0..4 {
            rng.roll(2);
        }
        let many = 3 + rng.roll(14) as usize;
        // Some seeds are calm: what needs three good answers in a row is met there.
        let off = [2, 4, 8, 20][rng.roll(4) as usize];
        let mut settings = accounts(&mut rng);
        let offline = settings.accounts[0].config.offline.merchant.is_some();
        let mut script = Script {
            orders: orders(&mut rng, many, offline),
            faults: faults(&mut rng, off, 10 + 6 * many),
            sign_ins: faults(&mut rng, off.max(4), 8),
            prints: prints(&mut rng),
            inputs: inputs(&mut rng, many),
            skews: (0..4)
                .map(|_| {
                    [0, 0, -3_600_000, 3_600_000, -40 * 365 * 86_400_000, 86_400_000][rng.roll(6) as usize]
                })
                .collect(),
            disk: disk(&mut rng, many),
            calm_after: Some(20_000 + rng.roll(1_200_000) as i64),
            settle: true,
            moves_batch: true,
            disputes: rng.roll(3) == 0,
            down: down(&mut rng, many),
            ..Script::default()
        };
        chips(seed, &mut settings, &mut script.orders);
        downloads(seed, &mut settings, &mut script);
        let cuts = [0, 0, 1, 2, 4][rng.roll(5) as usize];
        let cuts = (0..cuts).map(|_| 1 + rng.roll(60 * many as u64) as usize).collect();
        // Two frames of one payment, the first one Stuck: whoever asks the acquirer at once comes too early.
        let two = rng.roll(8) == 0;
        if two {
            let second = [
                HostFault::LoseReply,
                HostFault::LoseRequest,
                HostFault::LateReply,
                HostFault::Pending(3),
                HostFault::Answer,
            ][rng.roll(5) as usize]
                .clone();
            script.faults.splice(
                0..0,
                [
                    HostFault::RefuseNoMac("77"),
                    HostFault::Unbuildable,
                    second,
                    HostFault::LoseReply,
                    HostFault::LoseReply,
                ],
            );
        }
        script.asks_after = [Some(1_000), Some(20_000), Some(90_000), None, None]
            [rng.roll(if two { 3 } else { 5 }) as usize]
            .map(|ms| ms + rng.roll(10_000) as i64);
        // Three in sixteen: flash that tidies itself up.
        script.commit_ms = [100, 450, 1_800].get(rng.roll(16) as usize).copied().unwrap_or(1);
        Case { seed, settings, script, cuts }
    }
}

/// Kinds of order that a seed likes more or less.
#[derive(Clone)]
enum Wish {
    Sale,
    /// A sale of a customer who does something else than pay.
    OddSale,
    Void,
    Scan,
    Balance,
    Control,
    Settlement,
    /// A pre-authorisation, or a sale by voice.
    Hold,
    /// Something done to an earlier order.
    Later,
}

/// `offline`: the merchant accepts what cannot be sent, and cards that may be accepted so come often.
fn orders(rng: &mut Rng, many: usize, offline: bool) -> Vec<Order> {
    let like = |rng: &mut Rng| rng.roll(3) * rng.roll(5);
    let (voids, scans, controls, later, holds, odd, balances) =
        (like(rng), like(rng), like(rng), like(rng), like(rng), like(rng), like(rng));
    let settlements = like(rng) / 2;
    let weights = [
        (4, Wish::Sale),
        (voids, Wish::Void),
        (scans, Wish::Scan),
        (controls, Wish::Control),
        (4 * later, Wish::Later),
        (holds, Wish::Hold),
        (odd, Wish::OddSale),
        (balances, Wish::Balance),
        (settlements, Wish::Settlement),
    ];
    let mut orders: Vec<Order> = Vec::new();
    for (i, id) in IDS.into_iter().take(many).enumerate() {
        // Of what came before, seldom of itself or of nothing.
        let original = IDS[rng.roll(i as u64 + 1) as usize];
        let amount = 1_000 + 2 * rng.roll(50);
        let order = match weighted(rng, &weights) {
            Wish::Void => {
                let sales = ids(&orders, &[Kind::Sale]);
                let any = sales.is_empty() || rng.roll(3) == 0;
                void(id, if any { original } else { pick(rng, &sales) })
            }
            Wish::Scan => scan(id),
            Wish::Control => control(id, CONTROLS[rng.roll(6) as usize]),
            Wish::Later => later_order(rng, &orders, id, original, amount),
            Wish::Hold => new([Kind::PreAuth, Kind::PreAuth, Kind::VoiceSale][rng.roll(3) as usize], id),
            Wish::OddSale => Order { customer: CUSTOMERS[rng.roll(15) as usize].clone(), ..sale(id) },
            Wish::Settlement => control(id, Kind::Settlement),
            Wish::Balance => Order { kind: Kind::Balance, amount: None, ..sale(id) },
            Wish::Sale if offline && rng.roll(2) == 0 => plain(id, rng.roll(2) as u8),
            Wish::Sale => sale(id),
        };
        orders.push(match order.kind {
            Kind::Sale | Kind::PreAuth | Kind::VoiceSale => Order { amount: Some(amount), ..order },
            _ => order,
        });
    }
    orders
}

/// An order about an earlier one: mostly about one that fits; where none does, mostly that one itself.
fn later_order(
    rng: &mut Rng,
    orders: &[Order],
    id: &'static str,
    original: &'static str,
    amount: u64,
) -> Order {
    let kinds = [
        Kind::Completion,
        Kind::CompletionAdvice,
        Kind::CompletionCancel,
        Kind::PreAuthCancel,
        Kind::TipAdjust,
    ];
    let kind = if rng.roll(3) == 0 { Kind::Refund } else { kinds[rng.roll(5) as usize] };
    let of: &[Kind] = match kind {
        Kind::Completion | Kind::CompletionAdvice | Kind::PreAuthCancel => &[Kind::PreAuth],
        Kind::CompletionCancel => &[Kind::Completion, Kind::CompletionAdvice],
        _ => &[Kind::Sale],
    };
    let fitting = ids(orders, of);
    if fitting.is_empty() && of[0] != Kind::Completion && rng.roll(4) > 0 {
        return Order { amount: Some(amount), ..new(of[0], id) };
    }
    let original = if fitting.is_empty() { original } else { pick(rng, &fitting) };
    let amount = match kind.row().amount {
        AmountRule::None => None,
        AmountRule::Needed | AmountRule::Optional => Some([30, 400, 1_000][rng.roll(3) as usize]),
    };
    Order { amount, ..on(kind, id, original) }
}

fn ids(orders: &[Order], kinds: &[Kind]) -> Vec<&'static str> {
    orders.iter().filter(|o| kinds.contains(&o.kind)).map(|o| o.id).collect()
}
fn pick(rng: &mut Rng, ids: &[&'static str]) -> &'static str {
    ids[rng.roll(ids.len() as u64) as usize]
}

/// Every fault, and how many of 1,000 of a message's family it is.
pub const WIRE: [(u64, HostFault); 26] = [
    (1, HostFault::NotSent),
    (1, HostFault::LoseRequest),
    (1, HostFault::LoseReply),
    (1, HostFault::LateReply),
    (1, HostFault::LateRequest),
    (1, HostFault::BadMac),
    (1, HostFault::NoMac),
    (1, HostFault::Refuse("")),
    (1, HostFault::RefuseNoMac("")),
    (1, HostFault::SlowRefuse(0, "")),
    (1, HostFault::Partial),
    (1, HostFault::Require(0)),
    (1, HostFault::Pending(0)),
    (1, HostFault::Twice),
    (1, HostFault::Damaged),
    (1, HostFault::Slow(0)),
    (1, HostFault::LinkDied),
    (1, HostFault::LinkSilent),
    (1, HostFault::Unbuildable),
    (1, HostFault::Unbalanced),
    (1, HostFault::UnbalancedForeign),
    (1, HostFault::SettleError),
    (1, HostFault::ImpossibleDigit),
    (1, HostFault::Contradiction),
    (1, HostFault::Garbage),
    (1, HostFault::Answer),
];

fn faults(rng: &mut Rng, off: u64, many: usize) -> Vec<HostFault> {
    let rates: Vec<(u64, HostFault)> = WIRE
        .iter()
        .map(|(_, f)| match f {
            HostFault::Answer => (200 + rng.roll(800), f.clone()),
            // Whoever cannot build a message must be called: seldom.
            HostFault::Unbuildable => (rate(rng, off) / 10, f.clone()),
            // To whatever is no payment by code it is an answer like any other.
            HostFault::Pending(_) => (4 * rate(rng, off), f.clone()),
            f => (rate(rng, off), f.clone()),
        })
        .collect();
    (0..many)
        .map(|_| match weighted(rng, &rates) {
            HostFault::Refuse(_) => HostFault::Refuse(REFUSALS[rng.roll(9) as usize]),
            HostFault::RefuseNoMac(_) => HostFault::RefuseNoMac(REFUSALS[rng.roll(9) as usize]),
            HostFault::SlowRefuse(..) => {
                HostFault::SlowRefuse(rng.roll(60_000) as i64, REFUSALS[rng.roll(9) as usize])
            }
            HostFault::Require(_) => HostFault::Require([3, 3, 1, 6][rng.roll(4) as usize]),
            HostFault::Pending(_) => HostFault::Pending(rng.roll(12) as u32),
            HostFault::Slow(_) => HostFault::Slow(100 + rng.roll(50_000) as i64),
            other => other,
        })
        .collect()
}

/// Times at which the line is down, from and to.
fn down(rng: &mut Rng, many: usize) -> Vec<(i64, i64)> {
    let span = 8_000 * many as u64;
    (0..[0, 0, 1, 3][rng.roll(4) as usize])
        .map(|_| {
            let from = rng.roll(span) as i64;
            (from, from + rng.roll(span / 2) as i64)
        })
        .collect()
}

fn prints(rng: &mut Rng) -> Vec<PrintResult> {
    let of = [
        (200, PrintResult::Confirmed),
        (rate(rng, 2), PrintResult::NotStarted("out of paper".into())),
        (rate(rng, 2), PrintResult::Unconfirmed("line".into())),
        (rate(rng, 2) / 2, PrintResult::SentUnconfirmable),
    ];
    (0..16).map(|_| weighted(rng, &of)).collect()
}

fn inputs(rng: &mut Rng, many: usize) -> Vec<(i64, Scripted)> {
    let bys = [By::Caller, By::CallerLost, By::Customer, By::Cashier, By::Shutdown];
    let kinds = [
        (rate(rng, 2), Scripted::StartAgain { same: true }),
        (rate(rng, 2), Scripted::StartAgain { same: false }),
        (rate(rng, 2), Scripted::CancelKey),
        (rate(rng, 2), Scripted::Cancel(bys[rng.roll(5) as usize])),
        (rate(rng, 2), Scripted::Retry),
        (rate(rng, 2), Scripted::Devices(false)),
        (rate(rng, 2), Scripted::Devices(true)),
        (rate(rng, 2), Scripted::PrinterReady),
        (rate(rng, 2), Scripted::Stale(0, HostEvent::NotSent { why: "stale".into() })),
        (rate(rng, 2), Scripted::Clock(0)),
        (rate(rng, 2), Scripted::TerminalDies),
        (rate(rng, 2), Scripted::SpoolerDies),
        (rate(rng, 4), Scripted::Reprint),
        (rate(rng, 4), Scripted::Report(Scope::Shift)),
        (rate(rng, 4), Scripted::Report(Scope::Batch)),
        (rate(rng, 4), Scripted::Probe),
        (rate(rng, 3), Scripted::Press(Press::ForwardAll, 0)),
        (rate(rng, 3), Scripted::Press(Press::Forward, 0)),
        (rate(rng, 3), Scripted::Press(Press::Hold, 0)),
        (rate(rng, 3), Scripted::Press(Press::Release, 0)),
        (rate(rng, 3), Scripted::Press(Press::WriteOff, 0)),
        (1, Scripted::PrinterReady),
    ];
    let count = rng.roll(2 * many as u64 + 1);
    let span = 5_000 + 8_000 * many as u64;
    // Once in a life, and a person ends it sooner or later.
    let mut torn = Vec::new();
    if rng.roll(6) == 0 {
        let at = rng.roll(span) as i64;
        torn.push((
            at,
            Scripted::JournalTorn { records: [0, 3, 12, 40][rng.roll(4) as usize], marks: rng.roll(4) > 0 },
        ));
        torn.push((at + 100 + rng.roll(60_000) as i64, Scripted::EndRecovery));
    }
    let inputs = (0..count)
        .map(|_| {
            let what = match weighted(rng, &kinds) {
                Scripted::Press(press, _) => Scripted::Press(press, rng.roll(4) as usize),
                // Tags of no run of this journal, or of this one's past.
                Scripted::Stale(_, event) => {
                    Scripted::Stale(((rng.roll(2) * 900) << 32) + rng.roll(20), event)
                }
                Scripted::Clock(_) => {
                    Scripted::Clock([1_000, 60_000, 3_600_000, 86_400_000, -3_600_000][rng.roll(5) as usize])
                }
                other => other,
            };
            (rng.roll(span) as i64, what)
        })
        .collect::<Vec<_>>();
    inputs.into_iter().chain(torn).collect()
}

fn disk(rng: &mut Rng, many: usize) -> Vec<(u32, DiskFault)> {
    let count = [0, 0, 1, 2, 5][rng.roll(5) as usize];
    (0..count)
        .map(|_| {
            let at = 1 + rng.roll(12 * many as u64) as u32;
            let fault = match rng.roll(4) {
                0 | 1 => DiskFault::Fails,
                2 => DiskFault::FailsKept,
                _ => DiskFault::Full(rng.roll(120_000) as i64),
            };
            (at, fault)
        })
        .collect()
}

/// Settings with one account or two (the second takes the cards of 4096.. and Alipay), what is trusted, how
/// patient, how often a snapshot is made.
fn accounts(rng: &mut Rng) -> Settings {
    // The merchant's own risk, within limits, where the line is down.
    let mut s = if rng.roll(3) == 0 { offline_settings() } else { settings() };
    s.accounts[0].config.obligation_tries = 1 + rng.roll(4) as u32;
    if rng.roll(2) == 0 {
        let mut second = s.accounts[0].clone();
        second.config.id = payterm_schema::AccountId::new("second").expect("id");
        second.config.refusal_without_mac = (rng.roll(2) == 0).then_some(RefusalWithoutMac::Trust);
        s.routes = vec![RouteConfig {
            account: second.config.id.clone(),
            modes: Vec::new(),
            wallet: None,
            bin: "4096-4099".parse().ok(),
            currency: None,
        }];
        s.accounts.push(second);
    }
    s.flow.pin_bypass = rng.roll(2) == 0;
    s.flow.partial_approval = rng.roll(2) == 0;
    s.snapshot_every = [1, 2, 7, 30, 10_000][rng.roll(5) as usize];
    if rng.roll(3) == 0 { held(s) } else { s }
}
