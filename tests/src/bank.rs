//! The reference bank: imports `schema` only, so that it cannot share a mistake with what it judges.
use payterm_schema::{
    AccountId, HostAnswer, HostMessage, Kind,
    host::{KeysVerdict, Leg, MacVerdict, Plan},
};
use std::collections::{BTreeMap, BTreeSet};

/// What happens to one message, in the order in which they are sent (sign-ins of the terminal's own not counted).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Answer,
    /// Answered with this code, nothing posted.
    Refuse(&'static str),
    NotSent,
    /// The link cannot build it.
    Unbuildable,
    LoseRequest,
    LoseReply,
    /// The answer comes after the terminal gave up.
    LateReply,
    /// The request reaches the bank after its reversal was answered.
    LateRequest,
    BadMac,
    NoMac,
    RefuseNoMac(&'static str),
    /// Answered with this code after so many ms, nothing posted.
    SlowRefuse(i64, &'static str),
    /// Code 10: the half of it is approved.
    Partial,
    /// Answered, with this processing requirement in the header.
    Require(u8),
}

type Book = (AccountId, u32, u32);

#[derive(Clone, Debug)]
pub struct Posting {
    pub kind: Kind,
    pub amount: u64,
    /// F4 of the request.
    asked: u64,
    pub reversed: bool,
    /// By a void that is not itself reversed.
    pub voided: bool,
    original: Option<Book>,
}

#[derive(Default)]
pub struct Bank {
    pub books: BTreeMap<Book, Posting>,
    /// Reversals answered 25: their originals are refused for ever (host-protocol §6).
    forgotten: BTreeSet<Book>,
    /// What each reversal said of its original.
    pub reversals: Vec<Plan>,
    rrn: u64,
}

fn book(account: &AccountId, plan: &Plan) -> Book {
    (account.clone(), plan.batch.get(), plan.stan.get())
}

impl Bank {
    pub fn process(&mut self, m: &HostMessage, fate: &Fate) -> HostAnswer {
        let mut answer = match (fate, m.leg) {
            // The codes that end a reversal are never a refusal of it: they would be the bank's lie.
            (Fate::Refuse("12" | "25") | Fate::SlowRefuse(_, "12" | "25"), Leg::Reversal(_)) => self.reversal(m),
            (Fate::Refuse(code) | Fate::RefuseNoMac(code) | Fate::SlowRefuse(_, code), _) => self.answer(code, m),
            (Fate::Partial, Leg::Request) => {
                let mut answer = self.request(m);
                if let (Some(p), "00") = (self.books.get_mut(&book(&m.account, &m.plan)), answer.code.as_str()) {
                    p.amount = p.asked / 2;
                    answer.amount = Some(p.amount);
                    answer.code = "10".into();
                }
                answer
            }
            (_, Leg::Request) => self.request(m),
            (_, Leg::Reversal(_)) => self.reversal(m),
            (_, Leg::Repeat | Leg::Query) => self.answer("12", m),
        };
        match fate {
            Fate::Require(digit) => answer.requirement = *digit,
            Fate::BadMac => answer.mac = MacVerdict::Wrong,
            Fate::NoMac | Fate::RefuseNoMac(_) => answer.mac = MacVerdict::Absent,
            Fate::SlowRefuse(..)
            | Fate::Partial
            | Fate::Answer
            | Fate::Refuse(_)
            | Fate::NotSent
            | Fate::Unbuildable
            | Fate::LoseRequest
            | Fate::LoseReply
            | Fate::LateReply
            | Fate::LateRequest => {}
        }
        answer
    }

    fn request(&mut self, m: &HostMessage) -> HostAnswer {
        let key = book(&m.account, &m.plan);
        match m.plan.kind {
            Kind::SignIn | Kind::SignOff | Kind::Echo | Kind::Balance => return self.answer("00", m),
            Kind::Sale | Kind::Void => {}
            Kind::Refund
            | Kind::PreAuth
            | Kind::PreAuthCancel
            | Kind::Completion
            | Kind::CompletionAdvice
            | Kind::CompletionCancel
            | Kind::TipAdjust
            | Kind::VoiceSale
            | Kind::Parameters
            | Kind::StatusUpload => return self.answer("12", m),
        }
        if self.forgotten.contains(&key) {
            return self.answer("12", m);
        }
        if self.books.contains_key(&key) {
            return self.answer("94", m);
        }
        let original = m.plan.original.as_ref().and_then(|o| Some((m.account.clone(), o.batch?.get(), o.stan?.get())));
        if m.plan.kind == Kind::Void {
            match original.as_ref().and_then(|o| self.books.get_mut(o)) {
                Some(p) if !p.reversed && !p.voided && Some(p.amount) == m.plan.amount.map(|a| a.minor()) => p.voided = true,
                Some(_) | None => return self.answer("25", m),
            }
        }
        let amount = m.plan.amount.map_or(0, |a| a.minor());
        self.books.insert(key, Posting { kind: m.plan.kind, amount, asked: amount, reversed: false, voided: false, original });
        self.answer("00", m)
    }

    fn reversal(&mut self, m: &HostMessage) -> HostAnswer {
        self.reversals.push(m.plan.clone());
        let key = book(&m.account, &m.plan);
        let Some(posting) = self.books.get_mut(&key) else {
            self.forgotten.insert(key);
            return self.answer("25", m);
        };
        if posting.kind != m.plan.kind || Some(posting.asked) != m.plan.amount.map(|a| a.minor()) {
            return self.answer("30", m);
        }
        posting.reversed = true;
        if let Some(original) = posting.original.clone().and_then(|o| self.books.get_mut(&o)) {
            original.voided = false;
        }
        self.answer("00", m)
    }

    fn answer(&mut self, code: &str, m: &HostMessage) -> HostAnswer {
        self.rrn += 1;
        let sign_in = m.plan.kind == Kind::SignIn && m.leg == Leg::Request;
        let control = matches!(m.plan.kind, Kind::SignIn | Kind::SignOff | Kind::Echo);
        HostAnswer {
            code: code.into(),
            mac: if control { MacVerdict::NotUsed } else { MacVerdict::Good },
            keys: if sign_in && code == "00" { KeysVerdict::Loaded } else { KeysVerdict::None },
            amount: m.plan.amount.map(|a| a.minor()),
            time: None,
            date: Some("1123".into()),
            settlement_date: None,
            acquirer: None,
            rrn: Some(format!("{:012}", self.rrn)),
            auth_code: (code == "00").then(|| "123456".into()),
            issuer_id: None,
            acquirer_id: None,
            balance: None,
            batch: sign_in.then(|| payterm_schema::Batch::new(7)).flatten(),
            organisation: None,
            texts: Vec::new(),
            fee: None,
            parameters: Vec::new(),
            requirement: 0,
        }
    }
}
