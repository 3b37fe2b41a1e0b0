//! The bank against a model of some pages: whatever is repeated, reordered, voided, refunded, completed and
//! reversed, each answer is what the model says, the payer's balance and what is set aside are so after every
//! step, and the ledger is sound.
use payterm_schema::{Kind, Pan, Time, secret::Pin};
use payterm_simulator::{
    World,
    ask::{Ask, Named, PinGiven, What},
    bank::{Bank, Clock},
    ledger,
};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};

/// Each message has a STAN of its own; `n` says which sale or hold (there are two of each) it is or belongs
/// to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Op {
    Sale,
    Voice,
    PreAuth,
    Void,
    Refund(u32),
    RefundCompletion,
    Tip(u32),
    Cancel,
    Complete,
    Advise,
    /// Cancels the completion; the second one the advice.
    Uncomplete,
    Unadvise,
}
use Op::*;

#[derive(Clone, Copy, Debug)]
struct Step {
    op: Op,
    n: u32,
    amount: u64,
    reversal: bool,
}
fn step() -> impl Strategy<Value = Step> {
    let amounts = |a: &'static [u64]| prop::sample::select(a);
    let of = |op: Op, a: &'static [u64], reversible: bool| {
        (1..3u32, amounts(a), 0..3u8).prop_map(move |(n, amount, r)| Step {
            op,
            n,
            amount,
            reversal: reversible && r == 0,
        })
    };
    prop_oneof![
        4 => of(Sale, &[100, 200], true),
        1 => of(Voice, &[100, 200], false),
        4 => of(PreAuth, &[100], true),
        3 => of(Void, &[100, 120], true),
        2 => of(Refund(0), &[50, 100, 150], false),
        2 => of(Refund(1), &[50, 100, 150], false),
        1 => of(RefundCompletion, &[50, 116], false),
        2 => of(Tip(0), &[110, 120, 121], false),
        1 => of(Tip(1), &[110, 120], false),
        2 => of(Cancel, &[100, 99], true),
        4 => of(Complete, &[100, 115, 116], true),
        2 => of(Advise, &[100, 115, 116], false),
        3 => of(Uncomplete, &[100, 115], true),
        2 => of(Unadvise, &[100, 115], true),
    ]
}
impl Step {
    fn stan(self) -> u32 {
        stan(self.op, self.n)
    }
    /// Message that it refers to.
    fn original(self) -> Option<u32> {
        let of = match self.op {
            Sale | Voice | PreAuth => return None,
            Void | Refund(_) | Tip(_) => Sale,
            RefundCompletion | Uncomplete => Complete,
            Cancel | Complete | Advise => PreAuth,
            Unadvise => Advise,
        };
        Some(stan(of, self.n))
    }
}
fn stan(op: Op, n: u32) -> u32 {
    let row = match op {
        Sale => 0,
        Voice => 1,
        PreAuth => 2,
        Void => 3,
        Refund(k) => 4 + k,
        RefundCompletion => 6,
        Tip(k) => 7 + k,
        Cancel => 9,
        Complete => 10,
        Advise => 11,
        Uncomplete => 12,
        Unadvise => 13,
    };
    row * 10 + n
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Blocked: its reversal came first.
    Blocked,
    Refused,
    Stands,
    Reversed,
    Voided,
    Completed,
    Cancelled,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    op: Op,
    state: State,
    /// Amount that was asked for, and that is booked.
    amount: u64,
    total: u64,
    refunded: u64,
    adjusted: bool,
    original: Option<u32>,
}

#[derive(Default)]
struct Model(BTreeMap<u32, Seen>);

impl Model {
    /// The code that must come; none where the answer is the one of before.
    fn run(&mut self, s: Step) -> Option<&'static str> {
        if s.reversal { Some(self.reversal(s)) } else { self.request(s) }
    }

    fn request(&mut self, s: Step) -> Option<&'static str> {
        match self.0.get(&s.stan()).map(|e| (e.state, e.amount)) {
            None | Some((State::Blocked, _)) => {}
            Some((_, a)) if a != s.amount => return Some("94"),
            Some((State::Reversed, _)) => return Some("12"),
            Some(_) => return None,
        }
        let blocked = self.0.contains_key(&s.stan());
        let code = if blocked { "12" } else { self.decide(s) };
        let state = if code == "00" { State::Stands } else { State::Refused };
        self.0.insert(
            s.stan(),
            Seen {
                op: s.op,
                state,
                amount: s.amount,
                total: s.amount,
                refunded: 0,
                adjusted: false,
                original: s.original(),
            },
        );
        Some(code)
    }

    fn decide(&mut self, s: Step) -> &'static str {
        let Some(o) = s.original() else { return "00" };
        let hold = self.0.get(&o).and_then(|t| t.original);
        let Some(t) = self.0.get_mut(&o).filter(|t| t.state != State::Blocked) else { return "25" };
        let spent = match t.state {
            State::Stands => None,
            State::Refused => Some("25"),
            State::Blocked | State::Reversed | State::Voided | State::Completed | State::Cancelled => {
                Some("12")
            }
        };
        match s.op {
            Sale | Voice | PreAuth => {}
            Void | Uncomplete | Unadvise => {
                if s.amount != t.total {
                    return "64";
                }
                if let Some(code) = spent.or((t.refunded > 0).then_some("12")) {
                    return code;
                }
                t.state = State::Voided;
                if let Some(h) = hold {
                    self.0.get_mut(&h).unwrap().state = State::Stands;
                }
            }
            Refund(_) | RefundCompletion => {
                if let Some(code) = spent {
                    return code;
                }
                if s.amount > t.total - t.refunded {
                    return "64";
                }
                t.refunded += s.amount;
            }
            Tip(_) => {
                if let Some(code) = spent.or((t.adjusted || t.refunded > 0).then_some("12")) {
                    return code;
                }
                if t.total != 100 {
                    return "64";
                }
                if s.amount > 120 {
                    return "61";
                }
                (t.total, t.adjusted) = (s.amount, true);
            }
            Cancel | Complete | Advise => {
                if let Some(code) = spent {
                    return code;
                }
                if (s.op == Cancel && s.amount != 100) || s.amount > 115 {
                    return "64";
                }
                t.state = if s.op == Cancel { State::Cancelled } else { State::Completed };
            }
        }
        "00"
    }

    fn reversal(&mut self, s: Step) -> &'static str {
        let Some(e) = self.0.get(&s.stan()).copied() else {
            let blocked = Seen {
                op: s.op,
                state: State::Blocked,
                amount: s.amount,
                total: 0,
                refunded: 0,
                adjusted: false,
                original: None,
            };
            self.0.insert(s.stan(), blocked);
            return "25";
        };
        match e.state {
            State::Blocked => return "25",
            _ if e.amount != s.amount => return "64",
            State::Refused => return "25",
            State::Reversed => return "00",
            State::Stands if e.refunded == 0 && !e.adjusted => {}
            State::Stands | State::Voided | State::Completed | State::Cancelled => return "12",
        }
        let hold = e.original.and_then(|o| self.0[&o].original);
        if hold.is_some_and(|h| self.0[&h].state != State::Stands) {
            return "12";
        }
        if let Some(h) = hold {
            self.0.get_mut(&h).unwrap().state = State::Completed;
        }
        if let Some(o) = e.original {
            self.0.get_mut(&o).unwrap().state = State::Stands;
        }
        self.0.get_mut(&s.stan()).unwrap().state = State::Reversed;
        "00"
    }

    fn sum(&self, ops: &[Op]) -> i64 {
        let standing = self.0.values().filter(|e| e.state == State::Stands && ops.contains(&e.op));
        standing.map(|e| (e.total - e.refunded) as i64).sum()
    }
}

fn ask(s: Step) -> Ask {
    let (kind, mti, f3, f25, type60) = match s.op {
        Sale => (Kind::Sale, "0200", "000000", "00", "22"),
        Voice => (Kind::VoiceSale, "0220", "000000", "00", "30"),
        PreAuth => (Kind::PreAuth, "0100", "030000", "06", "10"),
        Void => (Kind::Void, "0200", "200000", "00", "23"),
        Refund(_) | RefundCompletion => (Kind::Refund, "0220", "200000", "00", "25"),
        Tip(_) => (Kind::TipAdjust, "0220", "000000", "00", "34"),
        Cancel => (Kind::PreAuthCancel, "0100", "200000", "06", "11"),
        Complete => (Kind::Completion, "0200", "000000", "06", "20"),
        Advise => (Kind::CompletionAdvice, "0220", "000000", "06", "24"),
        Uncomplete | Unadvise => (Kind::CompletionCancel, "0200", "200000", "06", "21"),
    };
    Ask {
        advice: false,
        what: if s.reversal { What::Reversal } else { What::Do(kind) },
        mti: if s.reversal { "0400" } else { mti }.into(),
        f3: Some(f3.into()),
        f25: Some(f25.into()),
        type60: Some(type60.into()),
        batch: 1,
        stan: s.stan(),
        amount: Some(s.amount),
        currency: Some(156),
        psn: None,
        icc: None,
        pan: Pan::parse("6212345678900000003").ok(),
        expiry: None,
        pin: Pin::parse("123456").map_or(PinGiven::None, PinGiven::Clear),
        code: None,
        tip: matches!(s.op, Tip(_)).then(|| s.amount - 100),
        rrn: None,
        auth: None,
        named: s.original().map(|n| Named { batch: Some(1), stan: Some(n), date: None }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn the_ledger_is_what_the_model_says(steps in prop::collection::vec(step(), 1..80)) {
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
            prop_assert_eq!(spent, model.sum(&[Sale, Voice, Complete, Advise]), "step {} {:?}", i, s);
            let held: i64 = bank.read(ledger::holds).unwrap().iter().map(|h| h.amount).sum();
            prop_assert_eq!(held, model.sum(&[PreAuth]), "step {} {:?}", i, s);
        }
        prop_assert_eq!(bank.read(ledger::check).unwrap().broken, Vec::<String>::new());
    }
}
