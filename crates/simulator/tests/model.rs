//! The bank against a model of a page: whatever is repeated, reordered, voided and reversed, the payer's balance is what
//! the model says after every step, and the ledger is sound.
#![allow(clippy::unwrap_used)] // a test may stop anywhere
use payterm_schema::{Kind, Pan, Time, secret::Pin};
use payterm_simulator::{
    World,
    bank::{Ask, Bank, Clock, Named, PinGiven, What},
    ledger,
};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};

/// STANs 1-4 are sales, 11-14 voids of 1-4.
#[derive(Clone, Copy, Debug)]
enum Step {
    Sale(u32, u64),
    Void(u32),
    ReverseSale(u32, u64),
    ReverseVoid(u32),
}
fn step() -> impl Strategy<Value = Step> {
    let (stan, amount) = (1..5u32, prop::sample::select(vec![100u64, 200]));
    prop_oneof![
        3 => (stan.clone(), amount.clone()).prop_map(|(s, a)| Step::Sale(s, a)),
        3 => stan.clone().prop_map(Step::Void),
        2 => (stan.clone(), amount).prop_map(|(s, a)| Step::ReverseSale(s, a)),
        2 => stan.prop_map(Step::ReverseVoid),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Blocked,
    Stands,
    Voided,
    Reversed,
    Refused,
}

#[derive(Default)]
struct Model {
    sales: BTreeMap<u32, (State, u64)>,
    /// Voids that were seen: `Stands`, `Refused`, `Reversed`, `Blocked` (its reversal came first).
    voids: BTreeMap<u32, State>,
}

impl Model {
    /// The code that must come; none where the answer is the one of before.
    fn run(&mut self, s: Step) -> Option<&'static str> {
        match s {
            Step::Sale(n, amount) => match self.sales.get(&n).copied() {
                None => {
                    self.sales.insert(n, (State::Stands, amount));
                    Some("00")
                }
                Some((State::Blocked, _)) => {
                    self.sales.insert(n, (State::Refused, amount));
                    Some("12")
                }
                Some((_, a)) if a != amount => Some("94"),
                Some((State::Reversed, _)) => Some("12"),
                Some(_) => None,
            },
            Step::Void(n) => match self.voids.get(&n).copied() {
                Some(State::Reversed) => Some("12"),
                Some(State::Blocked) => {
                    self.voids.insert(n, State::Refused);
                    Some("12")
                }
                Some(_) => None,
                None => {
                    let (code, state) = match self.sales.get_mut(&n) {
                        Some((s @ State::Stands, 100)) => {
                            *s = State::Voided;
                            ("00", State::Stands)
                        }
                        Some((State::Blocked, _)) | None => ("25", State::Refused),
                        Some((_, 200)) => ("64", State::Refused),
                        Some((State::Refused, _)) => ("25", State::Refused),
                        Some(_) => ("12", State::Refused),
                    };
                    self.voids.insert(n, state);
                    Some(code)
                }
            },
            Step::ReverseSale(n, amount) => match self.sales.get_mut(&n) {
                None => {
                    self.sales.insert(n, (State::Blocked, amount));
                    Some("25")
                }
                Some((State::Blocked, _)) => Some("25"),
                Some((_, a)) if *a != amount => Some("64"),
                Some((State::Refused, _)) => Some("25"),
                Some((State::Voided, _)) => Some("12"),
                Some((State::Reversed, _)) => Some("00"),
                Some((s @ State::Stands, _)) => {
                    *s = State::Reversed;
                    Some("00")
                }
            },
            Step::ReverseVoid(n) => match self.voids.get(&n).copied() {
                None | Some(State::Blocked) => {
                    self.voids.insert(n, State::Blocked);
                    Some("25")
                }
                Some(State::Refused) => Some("25"),
                Some(State::Reversed) => Some("00"),
                Some(State::Stands | State::Voided) => {
                    self.voids.insert(n, State::Reversed);
                    if let Some((s, _)) = self.sales.get_mut(&n) {
                        *s = State::Stands;
                    }
                    Some("00")
                }
            },
        }
    }
    fn spent(&self) -> i64 {
        self.sales.values().filter(|(s, _)| *s == State::Stands).map(|(_, a)| *a as i64).sum()
    }
}

fn ask(s: Step) -> Ask {
    let (what, mti, f3, type60, stan, amount, named) = match s {
        Step::Sale(n, a) => (What::Do(Kind::Sale), "0200", "000000", "22", n, a, None),
        Step::Void(n) => (What::Do(Kind::Void), "0200", "200000", "23", n + 10, 100, Some(n)),
        Step::ReverseSale(n, a) => (What::Reversal, "0400", "000000", "22", n, a, None),
        Step::ReverseVoid(n) => (What::Reversal, "0400", "200000", "23", n + 10, 100, Some(n)),
    };
    Ask {
        what,
        mti: mti.into(),
        f3: Some(f3.into()),
        f25: Some("00".into()),
        type60: Some(type60.into()),
        batch: 1,
        stan,
        amount: Some(amount),
        currency: Some(156),
        pan: Pan::parse("6212345678900000003").ok(),
        expiry: None,
        pin: Pin::parse("123456").map_or(PinGiven::None, PinGiven::Clear),
        code: None,
        tip: None,
        rrn: None,
        auth: None,
        named: named.map(|n| Named { batch: Some(1), stan: Some(n), date: None }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn the_ledger_is_what_the_model_says(steps in prop::collection::vec(step(), 1..40)) {
        let world = Arc::new(World::demo().unwrap());
        let account = world.account("cup").unwrap().clone();
        let mut bank = Bank::open(Arc::clone(&world), None, Time(0)).unwrap();
        let mut model = Model::default();
        let mut said: BTreeMap<(u32, String), String> = BTreeMap::new();
        for (i, s) in steps.into_iter().enumerate() {
            let (want, ask) = (model.run(s), ask(s));
            let clock = Clock { now: Time(i as i64), utc_offset_minutes: 480 };
            let code = bank.handle(&account, &ask, None, clock).unwrap().code;
            let before = said.entry((ask.stan, ask.mti.clone())).or_insert_with(|| code.clone()).clone();
            prop_assert_eq!(&code, want.unwrap_or(&before), "step {} {:?}", i, s);
            let spent = bank.read(|c| ledger::balance(c, "card:alice")).map(|b| 1_000_000 - b).unwrap();
            prop_assert_eq!(spent, model.spent(), "step {} {:?}", i, s);
        }
        prop_assert_eq!(bank.read(ledger::check).unwrap().broken, Vec::<String>::new());
    }
}
