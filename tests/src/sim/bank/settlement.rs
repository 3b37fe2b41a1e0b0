//! The bank's side of a settlement: its own sums, and what was uploaded to it.
use super::{Bank, Book, HostFault, book};
use payterm_schema::{
    AccountId, HostAnswer, HostMessage, Kind,
    icc::Tag,
    settlement::{BatchPart, Half, Halves, SettlementReply, UploadRecord},
};
use std::collections::{BTreeMap, BTreeSet};

/// A batch that a terminal has begun to close.
#[derive(Debug)]
pub struct Closing {
    told: Halves,
    pub verdict: (u8, u8),
    /// Records by STAN: (minor units, foreign).
    pub records: BTreeMap<u32, (u64, bool)>,
    /// STANs of the sales whose TC came.
    pub certificates: BTreeSet<u32>,
    /// STANs of messages that are taken in.
    messages: BTreeSet<u32>,
    /// A word on these totals that the terminal takes.
    heard: bool,
    pub closed: bool,
}

impl Bank {
    /// Sums of a batch, as the bank has it.
    pub fn sums(&self, account: &AccountId, batch: u32) -> Halves {
        let mut halves = Halves::default();
        for p in self
            .books
            .iter()
            .filter(|((a, b, _), p)| a == account && *b == batch && !p.reversed)
            .map(|(_, p)| p)
        {
            let half = if p.foreign { &mut halves.foreign } else { &mut halves.domestic };
            match p.kind {
                Kind::Sale | Kind::Completion | Kind::CompletionAdvice | Kind::VoiceSale => {
                    add(&mut half.debit_count, &mut half.debit_minor, p.amount + p.tip)
                }
                Kind::Void | Kind::Refund | Kind::CompletionCancel => {
                    add(&mut half.credit_count, &mut half.credit_minor, p.amount)
                }
                _ => {}
            }
        }
        halves
    }

    pub(super) fn settlement(&mut self, m: &HostMessage, fault: &HostFault) -> HostAnswer {
        let at = (m.account.clone(), m.plan.batch.get());
        let part = m.plan.settlement.as_deref().expect("a message of a settlement says which");
        if let BatchPart::Totals(told) = part {
            return self.totals(m, &at, told, fault);
        }
        let Some(closing) = self.closing.get_mut(&at) else { return self.answer("25", m) };
        if closing.closed || !closing.messages.insert(m.plan.stan.get()) {
            return self.answer("94", m);
        }
        match part {
            BatchPart::Totals(_) => {}
            BatchPart::List(list) => {
                assert!((1..=8).contains(&list.len()), "a list of {}", list.len());
                list.iter().for_each(|r| take(closing, r));
            }
            BatchPart::One { kind, record } => {
                // A sale alone is one that was accepted offline.
                assert!(
                    matches!(
                        kind,
                        Kind::Sale
                            | Kind::Refund
                            | Kind::VoiceSale
                            | Kind::TipAdjust
                            | Kind::CompletionAdvice
                    ),
                    "{kind:?} goes in a list"
                );
                take(closing, record);
            }
            BatchPart::Certificate { record, balanced, unauthenticated: _ } => {
                let verdict = if record.foreign { closing.verdict.1 } else { closing.verdict.0 };
                assert_eq!(*balanced, verdict == 1, "a TC of the other half");
                let icc = m.plan.icc.as_ref().expect("a TC");
                let kind = icc.values(Tag::new(0x9F27).expect("a tag")).next();
                assert_eq!(kind, Some(&[0x40][..]), "no TC");
                let stan = record.stan.get();
                let sale = self.books.get(&(at.0.clone(), at.1, stan)).expect("a TC of no payment");
                assert!(!sale.reversed && sale.kind == Kind::Sale && sale.amount == record.minor, "{sale:?}");
                assert!(closing.certificates.insert(stan), "invariant 6: one TC twice");
            }
            BatchPart::End { records, balanced } => {
                assert_eq!(*balanced, closing.verdict == (1, 1), "the end says another verdict");
                assert_eq!(
                    *records as usize,
                    closing.records.len() + closing.certificates.len(),
                    "the end counts other records than came"
                );
                for (foreign, digit, told) in [
                    (false, closing.verdict.0, closing.told.domestic),
                    (true, closing.verdict.1, closing.told.foreign),
                ] {
                    let came: Vec<u64> = closing
                        .records
                        .values()
                        .filter(|(_, f)| *f == foreign)
                        .map(|(minor, _)| *minor)
                        .collect();
                    let sum = if digit == 1 {
                        (0, 0)
                    } else {
                        (told.records() as usize, told.debit_minor + told.credit_minor)
                    };
                    assert_eq!(
                        (came.len(), came.iter().sum::<u64>()),
                        sum,
                        "each record of the half that does not balance once, and no other"
                    );
                }
                closing.closed = true;
            }
        }
        self.uploaded(&at);
        self.answer("00", m)
    }

    fn totals(
        &mut self,
        m: &HostMessage,
        at: &(AccountId, u32),
        told: &Halves,
        fault: &HostFault,
    ) -> HostAnswer {
        let ours = self.sums(&at.0, at.1);
        let judge = |told: &Half, ours: &Half| if told == ours { 1 } else { 2 };
        let mut verdict = (judge(&told.domestic, &ours.domestic), judge(&told.foreign, &ours.foreign));
        if self.disputes {
            verdict = (2, 2);
        }
        match fault {
            HostFault::Unbalanced => verdict.0 = 2,
            HostFault::UnbalancedForeign => verdict.1 = 2,
            HostFault::SettleError => verdict = (3, 3),
            _ => {}
        }
        let closing = self.closing.entry(at.clone()).or_insert_with(|| Closing {
            told: *told,
            verdict,
            records: BTreeMap::new(),
            certificates: BTreeSet::new(),
            messages: BTreeSet::new(),
            heard: false,
            closed: false,
        });
        // The same totals get the same word, once somebody can have heard it: a late one is heard too.
        if (!closing.heard || closing.told != *told)
            && closing.records.is_empty()
            && closing.certificates.is_empty()
            && !closing.closed
        {
            (closing.told, closing.verdict) = (*told, verdict);
        }
        closing.heard |= !matches!(
            fault,
            HostFault::SettleError
                | HostFault::LoseReply
                | HostFault::ImpossibleDigit
                | HostFault::Contradiction
                | HostFault::Garbage
        );
        let mut reply = SettlementReply {
            domestic: (closing.told.domestic, closing.verdict.0),
            foreign: (closing.told.foreign, closing.verdict.1),
        };
        let mut answer = self.answer("00", m);
        match fault {
            HostFault::ImpossibleDigit => reply.foreign.1 = 7,
            HostFault::Contradiction => {
                (reply.domestic.0.debit_minor, reply.domestic.1) = (reply.domestic.0.debit_minor + 1, 1)
            }
            _ => {}
        }
        answer.settlement = Some(reply).filter(|_| *fault != HostFault::Garbage);
        answer
    }

    /// Checks that what was uploaded is in the books with that amount.
    fn uploaded(&self, at: &(AccountId, u32)) {
        for (stan, (minor, _)) in &self.closing[at].records {
            let key: Book = (at.0.clone(), at.1, *stan);
            let p = self
                .books
                .get(&key)
                .unwrap_or_else(|| panic!("a record was uploaded that the bank never had: {key:?}"));
            let tip = p
                .original
                .as_ref()
                .filter(|_| p.kind == Kind::TipAdjust)
                .map(|o| self.books[o].amount + p.tip_own);
            assert_eq!(tip.unwrap_or(p.amount), *minor, "{key:?} was uploaded with another amount");
            assert!(!p.reversed, "{key:?} was uploaded and is reversed");
        }
    }

    pub fn in_closed_batch(&self, m: &HostMessage) -> bool {
        let (account, batch, _) = book(&m.account, &m.plan);
        self.closing.get(&(account, batch)).is_some_and(|c| c.closed)
    }
}

fn add(count: &mut u32, sum: &mut u64, minor: u64) {
    *count += 1;
    *sum += minor;
}

fn take(closing: &mut Closing, r: &UploadRecord) {
    let before = closing.records.insert(r.stan.get(), (r.minor, r.foreign));
    assert!(before.is_none(), "invariant 6: STAN {} was uploaded twice", r.stan);
}
