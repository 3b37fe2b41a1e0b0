//! The bank: imports `schema` only, so that it cannot share a mistake with what it judges.
//!
//! Mishap model. It answers late, not at all, with any code, without a MAC or with a wrong one, with a part
//! of the amount, or with a demand in the header; a payer may not have confirmed; its sums of a batch may be
//! others. It processes a message once, a repetition of what it has posted is answered 94. It remembers
//! reversals of what it never saw, and what it has told a person not to be there, and refuses that when it
//! comes; what it has told a person to stand no message takes back any more (docs/stuck.md has people ask for
//! both). It never answers a code that ends a reversal (12, 25) to a reversal that it did not do, never
//! refuses a repetition of what it posted, and never posts another amount than it answers.
mod issuer;
mod parameters;
mod settlement;

use payterm_schema::{
    AccountId, HostAnswer, HostMessage, Kind,
    host::{CardSecrets, KeysVerdict, MacVerdict, MessageKind, Plan, SecretsFrom},
    icc::{Icc, Tag},
    kind::Recovery,
};
use std::collections::{BTreeMap, BTreeSet};

/// Fault of one message, in the order in which they are sent (sign-ins of the terminal's own not
/// counted).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostFault {
    Answer,
    /// Answered, with a script for the chip card.
    Scripts,
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
    /// Posted, and answered 09: the payer confirms after so many queries. (09 to an undo: nothing was done.)
    Pending(u32),
    /// Duplicate: the same answer comes twice.
    Twice,
    /// The answer is damaged: the codec drops it, the link sees a broken frame.
    Damaged,
    /// Answered after so many ms: later than others that were sent after it.
    Slow(i64),
    /// The link dies with the message in its hands; the bank has it.
    LinkDied,
    /// The link says nothing at all, not even by its deadline; the bank has it.
    LinkSilent,
    /// The bank says that the domestic (or foreign) half of a settlement does not balance.
    Unbalanced,
    UnbalancedForeign,
    /// The bank says that it could not compare its totals of a settlement with ours.
    SettleError,
    /// The answer to the totals has a result digit that is none, balances with other sums, or has no F48.
    ImpossibleDigit,
    Contradiction,
    Garbage,
}

impl HostFault {
    /// Name for the counts of what was met.
    pub const fn name(&self) -> &'static str {
        match self {
            HostFault::Answer => "answer",
            HostFault::Scripts => "scripts",
            HostFault::Refuse(_) => "refuse",
            HostFault::NotSent => "not sent",
            HostFault::Unbuildable => "unbuildable",
            HostFault::LoseRequest => "request lost",
            HostFault::LoseReply => "reply lost",
            HostFault::LateReply => "reply late",
            HostFault::LateRequest => "request late",
            HostFault::BadMac => "bad MAC",
            HostFault::NoMac => "no MAC",
            HostFault::RefuseNoMac(_) => "refusal without MAC",
            HostFault::SlowRefuse(..) => "slow refusal",
            HostFault::Partial => "partial",
            HostFault::Require(_) => "requirement",
            HostFault::Pending(_) => "pending",
            HostFault::Twice => "reply twice",
            HostFault::Damaged => "reply damaged",
            HostFault::Slow(_) => "reply slow",
            HostFault::LinkDied => "link died",
            HostFault::LinkSilent => "link silent",
            HostFault::Unbalanced => "unbalanced",
            HostFault::UnbalancedForeign => "unbalanced foreign",
            HostFault::SettleError => "settlement error",
            HostFault::ImpossibleDigit => "impossible digit",
            HostFault::Contradiction => "contradiction",
            HostFault::Garbage => "garbage",
        }
    }
}

type Book = (AccountId, u32, u32);

impl Posting {
    /// Tells whether its payer has not confirmed.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some_and(|n| n > 0)
    }
}

#[derive(Clone, Debug)]
pub struct Posting {
    pub kind: Kind,
    pub amount: u64,
    /// F4 of the request.
    asked: u64,
    pub reversed: bool,
    /// Voided, by a void that is not itself reversed.
    pub voided: bool,
    original: Option<Book>,
    /// Sum that refunds gave back of a payment.
    pub refunded: u64,
    /// Taken up, of a hold: by a completion.
    pub taken_up: bool,
    pub tip: u64,
    /// Tip that a tip adjustment added.
    tip_own: u64,
    /// A card of another scheme than CUP.
    pub foreign: bool,
    /// Number of queries that are still answered 09, of a payment by code whose payer has not confirmed.
    pending: Option<u32>,
}

#[derive(Default)]
pub struct Bank {
    pub books: BTreeMap<Book, Posting>,
    /// Reversals answered 25: their originals are refused for ever (host-protocol §6).
    forgotten: BTreeSet<Book>,
    /// Postings that it has told a person to stand: no message that was under way takes it back.
    kept: BTreeSet<Book>,
    /// Frames by whether their card is foreign: an advice that comes with its repeat only has the card
    /// sealed, which this world does not open.
    cards: BTreeMap<Book, bool>,
    /// Plans that reversals named as their original.
    pub reversals: Vec<Plan>,
    /// Messages that told what a card made of a script.
    pub script_results: BTreeMap<Book, Option<Icc>>,
    /// Requests that have reached it.
    asked: BTreeSet<Book>,
    /// Requests whose cryptogram is not of their card.
    pub wrong_cryptograms: u32,
    issuer: issuer::Issuer,
    pub closing: BTreeMap<(AccountId, u32), settlement::Closing>,
    rrn: u64,
    /// Each third sign-in names the next batch.
    moves_batch: bool,
    /// Disputes every batch: its sums are never the terminal's, each record is uploaded.
    disputes: bool,
    sign_ins: u32,
}

fn book(account: &AccountId, plan: &Plan) -> Book {
    (account.clone(), plan.batch.get(), plan.stan.get())
}

/// The payment that a message names as its original.
fn original(m: &HostMessage) -> Option<Book> {
    m.plan.original.as_ref().and_then(|o| Some((m.account.clone(), o.batch?.get(), o.stan?.get())))
}

/// A card that was shown the right PIN, by the CVM results (9F34, EMV 4.4 Book 4 Annex A4), says so in its
/// own verification results, which the test cards have in 9F10 from its fourth byte on.
fn agrees_on_the_pin(icc: &Icc) -> bool {
    let value = |tag| Tag::new(tag).and_then(|tag| icc.values(tag).next());
    let by_card = matches!(value(0x9F34), Some([method, _, 2]) if matches!(method & 0x3F, 1 | 3 | 4 | 5));
    let found_right = matches!(value(0x9F10), Some([_, _, _, _, shown, ..]) if shown & 0x06 == 0x04);
    !by_card || found_right
}

impl Bank {
    pub fn new(moves_batch: bool, disputes: bool) -> Self {
        Self { moves_batch, disputes, ..Self::default() }
    }

    /// A frame was made of this, whether it arrives or not.
    pub fn made(&mut self, m: &HostMessage) {
        if let SecretsFrom::Memory(CardSecrets { pan: Some(pan), .. }) = &m.secrets {
            self.cards.insert(book(&m.account, &m.plan), pan.reveal().starts_with('4'));
        }
    }

    /// A chip's cryptogram is checked first, and answered with the issuer's.
    pub fn process(&mut self, m: &HostMessage, fault: &HostFault) -> HostAnswer {
        if m.message_kind == MessageKind::Request {
            self.asked.insert(book(&m.account, &m.plan));
        }
        let Some(checked) = self.issuer.check(m) else { return self.decide(m, fault) };
        let Ok(checked) = checked else {
            self.wrong_cryptograms += 1;
            return self.answer("05", m);
        };
        if let Some(icc) = &m.plan.icc {
            assert!(
                agrees_on_the_pin(icc),
                "its card has found no PIN right, and the terminal says that it has"
            );
        }
        let mut answer = self.decide(m, fault);
        answer.icc = Some(self.issuer.answer(&checked, &answer.code, *fault == HostFault::Scripts));
        answer
    }

    fn decide(&mut self, m: &HostMessage, fault: &HostFault) -> HostAnswer {
        let recovery = m.plan.kind.row().recovery;
        let mut answer = match (fault, m.message_kind) {
            (HostFault::Refuse(code) | HostFault::RefuseNoMac(code) | HostFault::SlowRefuse(_, code), _) => {
                self.refuse(m, fault, code)
            }
            (HostFault::Partial, MessageKind::Request) if recovery == Recovery::Reverse => {
                self.request_with(m, |p, answer| {
                    p.amount = p.asked / 2;
                    answer.amount = Some(p.amount);
                    answer.code = "10".into();
                })
            }
            (HostFault::Pending(queries), MessageKind::Request)
                if m.plan.wallet.is_some() && m.plan.kind == Kind::Sale && m.plan.settlement.is_none() =>
            {
                self.request_with(m, |p, answer| {
                    p.pending = Some(*queries);
                    answer.code = "09".into();
                })
            }
            (_, MessageKind::Request) if m.plan.settlement.is_some() => self.settlement(m, fault),
            (_, MessageKind::Request | MessageKind::Repeat) => self.request(m),
            (_, MessageKind::Reversal(_)) => self.reversal(m),
            // As if another payment were meant.
            (HostFault::Partial, MessageKind::Query) => {
                let mut answer = self.query(m);
                answer.code = "10".into();
                answer.amount = m.plan.amount.map(|a| a.minor() / 2);
                answer
            }
            (_, MessageKind::Query) => self.query(m),
            (_, MessageKind::ScriptResult) => self.script_result(m),
        };
        if let HostFault::Require(digit) = fault {
            answer.requirement = *digit;
        }
        if *fault == HostFault::BadMac {
            answer.mac = MacVerdict::Wrong;
        }
        if matches!(fault, HostFault::NoMac | HostFault::RefuseNoMac(_)) {
            answer.mac = MacVerdict::Absent;
        }
        answer
    }

    /// Results of an issuer's script: noted once.
    fn script_result(&mut self, m: &HostMessage) -> HostAnswer {
        // A refusal bears scripts too.
        let known = original(m).is_some_and(|o| self.asked.contains(&o));
        assert!(known, "results of a script of no payment: {m:?}");
        let book = book(&m.account, &m.plan);
        let new = self.script_results.insert(book, m.plan.icc.clone()).is_none();
        self.answer(if new { "00" } else { "94" }, m)
    }

    /// A refusal with `code`, unless it would be the bank's lie.
    fn refuse(&mut self, m: &HostMessage, fault: &HostFault, code: &str) -> HostAnswer {
        let has_mac = !matches!(fault, HostFault::RefuseNoMac(_));
        let final_code = !matches!(code, "77" | "96" | "A0" | "91" | "09");
        match m.message_kind {
            // These end a reversal, so they are never a refusal of it.
            MessageKind::Reversal(_) if has_mac && matches!(code, "12" | "25" | "94") => self.reversal(m),
            // What is posted is not refused when it is told again.
            MessageKind::Repeat if final_code && self.books.contains_key(&book(&m.account, &m.plan)) => {
                self.request(m)
            }
            // The payer said no.
            MessageKind::Query if has_mac && final_code && !matches!(code, "12" | "25") => {
                let original = original(m).filter(|o| !self.kept.contains(o));
                if let Some(p) = original.and_then(|o| self.books.get_mut(&o)) {
                    p.reversed = true;
                }
                self.answer(code, m)
            }
            kind => {
                // Without a MAC it is not the bank's word.
                let advice =
                    has_mac && kind == MessageKind::Request && m.plan.kind.row().recovery == Recovery::Repeat;
                if final_code && (advice || kind == MessageKind::Repeat) {
                    // The other ones, should they still come, are refused as well.
                    self.forgotten.insert(book(&m.account, &m.plan));
                }
                self.answer(code, m)
            }
        }
    }

    /// A request; what was posted of an approved one, and its answer, are changed.
    fn request_with(
        &mut self,
        m: &HostMessage,
        change: impl FnOnce(&mut Posting, &mut HostAnswer),
    ) -> HostAnswer {
        let mut answer = self.request(m);
        if let (Some(p), "00") = (self.books.get_mut(&book(&m.account, &m.plan)), answer.code.as_str()) {
            change(p, &mut answer);
        }
        answer
    }

    fn request(&mut self, m: &HostMessage) -> HostAnswer {
        let key = book(&m.account, &m.plan);
        if !m.plan.kind.row().authorisation || m.plan.kind == Kind::Balance {
            return self.answer("00", m);
        }
        if self.forgotten.contains(&key) {
            return self.answer("12", m);
        }
        if self.books.contains_key(&key) {
            return self.answer("94", m);
        }
        // One that comes late is refused; that nothing new leaves for a closed batch is the wire's to see.
        if m.message_kind == MessageKind::Request && self.in_closed_batch(m) {
            return self.answer("06", m);
        }
        let original = original(m);
        let amount = m.plan.amount.map_or(0, |a| a.minor());
        let tip = m.plan.tip.unwrap_or(0);
        if let Some(code) = self.mark_original(m.plan.kind, original.as_ref(), amount, tip) {
            return self.answer(code, m);
        }
        let of_original = original.as_ref().and_then(|o| self.books.get(o)).is_some_and(|p| p.foreign);
        let foreign = self.cards.get(&key).copied().unwrap_or(of_original);
        let posting = Posting {
            kind: m.plan.kind,
            amount,
            asked: amount,
            reversed: false,
            voided: false,
            original,
            refunded: 0,
            taken_up: false,
            tip: 0,
            tip_own: tip,
            foreign,
            pending: None,
        };
        self.books.insert(key, posting);
        let mut answer = self.answer("00", m);
        answer.scheme = foreign.then(|| "VIS".into());
        answer
    }

    /// Does to the original what the kind does, or answers the code of its refusal.
    fn mark_original(
        &mut self,
        kind: Kind,
        original: Option<&Book>,
        amount: u64,
        tip: u64,
    ) -> Option<&'static str> {
        let original = original.and_then(|o| self.books.get_mut(o)).filter(|p| !p.reversed && !p.voided);
        match (kind, original) {
            (Kind::Sale | Kind::PreAuth | Kind::VoiceSale | Kind::Balance, _) => {}
            (_, None) => return Some("25"),
            (Kind::Void, Some(p))
                if p.kind == Kind::Sale && p.amount == amount && p.tip == 0 && p.refunded == 0 =>
            {
                p.voided = true;
            }
            (Kind::CompletionCancel, Some(p))
                if matches!(p.kind, Kind::Completion | Kind::CompletionAdvice)
                    && p.amount == amount
                    && p.refunded == 0 =>
            {
                p.voided = true;
                let hold = p.original.clone();
                self.hold(hold.as_ref(), false);
            }
            (Kind::PreAuthCancel, Some(p)) if p.kind == Kind::PreAuth && !p.taken_up => p.voided = true,
            (Kind::Completion | Kind::CompletionAdvice, Some(p))
                if p.kind == Kind::PreAuth && !p.taken_up && amount <= p.amount * 115 / 100 =>
            {
                p.taken_up = true;
            }
            (Kind::Refund, Some(p)) if p.refunded + amount <= p.amount + p.tip => p.refunded += amount,
            (Kind::TipAdjust, Some(p)) if p.kind == Kind::Sale && p.tip == 0 && amount == p.amount + tip => {
                p.tip = tip;
            }
            (_, Some(_)) => return Some("64"),
        }
        None
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
        if self.kept.contains(&key) {
            return self.answer("30", m);
        }
        let kind = posting.kind;
        assert!(
            !matches!(kind, Kind::Refund | Kind::CompletionAdvice | Kind::VoiceSale | Kind::TipAdjust),
            "{kind:?} is never reversed"
        );
        self.take_back(&key);
        self.answer("00", m)
    }

    /// Remembers that it has told a person that this stands.
    pub fn keep(&mut self, key: &Book) {
        self.kept.insert(key.clone());
    }

    /// Takes a posting back, and what it had done to its original is undone: reversed, or taken back by hand
    /// when somebody has asked for it.
    pub fn take_back(&mut self, key: &Book) {
        let Some(posting) = self.books.get_mut(key) else {
            // Should it come yet, it is refused.
            self.forgotten.insert(key.clone());
            return;
        };
        let again = std::mem::replace(&mut posting.reversed, true);
        let kind = posting.kind;
        if let Some(original) =
            posting.original.clone().filter(|_| !again).and_then(|o| self.books.get_mut(&o))
        {
            match kind {
                Kind::Completion | Kind::CompletionAdvice => original.taken_up = false,
                Kind::CompletionCancel => {
                    original.voided = false;
                    let hold = original.original.clone();
                    self.hold(hold.as_ref(), true);
                }
                Kind::Void | Kind::PreAuthCancel => original.voided = false,
                _ => {}
            }
        }
    }

    fn hold(&mut self, book: Option<&Book>, taken_up: bool) {
        if let Some(p) = book.and_then(|b| self.books.get_mut(b)) {
            p.taken_up = taken_up;
        }
    }

    /// Answers what became of a payment by code.
    fn query(&mut self, m: &HostMessage) -> HostAnswer {
        let Some(posting) = original(m).and_then(|o| self.books.get_mut(&o)).filter(|p| !p.reversed) else {
            return self.answer("25", m);
        };
        match &mut posting.pending {
            Some(n) if *n > 0 => {
                *n -= 1;
                self.answer("09", m)
            }
            Some(_) | None => self.answer("00", m),
        }
    }

    /// Batch that a sign-in names: never one that is closed.
    fn open_batch(&self, account: &AccountId) -> u32 {
        let closed =
            self.closing.iter().filter(|((a, _), c)| a == account && c.closed).map(|((_, b), _)| *b).max();
        (7 + self.sign_ins / 3).max(closed.map_or(0, |b| b + 1))
    }

    fn answer(&mut self, code: &str, m: &HostMessage) -> HostAnswer {
        self.rrn += 1;
        let sign_in = m.plan.kind == Kind::SignIn && m.message_kind == MessageKind::Request;
        let control = !m.plan.kind.row().authorisation;
        self.sign_ins += u32::from(sign_in && self.moves_batch);
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
            batch: sign_in.then(|| payterm_schema::Batch::new(self.open_batch(&m.account))).flatten(),
            scheme: None,
            texts: Vec::new(),
            fee: None,
            parameters: Vec::new(),
            settlement: None,
            icc: None,
            download: m.plan.download.as_ref().filter(|_| code == "00").and_then(parameters::answer),
            requirement: 0,
        }
    }
}
