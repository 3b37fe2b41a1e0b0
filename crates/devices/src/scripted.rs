//! Card kernel that follows a script, for tests: it asks what it was told to, goes online, and says after the
//! host's yes what the script says.
use crate::{CardFault, CardKernel, CardReader, Interrupt};
use payterm_schema::card::{
    CardDecision, CardFailure, CardRead, CardRun, CardStep, CardWord, HostWord, Interface, Then, Verified,
};
use std::{collections::VecDeque, sync::Arc};

/// Answer of the card to the host's yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterYes {
    Yes,
    No,
    /// Its signature is wrong.
    Lies,
    /// Yes, without a TC.
    Pretends,
    /// No answer: the card is silent from then on.
    Nothing,
}

/// Scripted card: a script, and how far it is.
#[derive(Clone, Debug)]
pub struct ScriptedCard {
    read: CardRead,
    /// Questions before it goes online: choices and PINs.
    asks: VecDeque<CardStep>,
    after_yes: AfterYes,
    /// EMV data elements of its messages, BER-TLV.
    icc: Vec<u8>,
    /// What its last message has besides.
    end: Vec<u8>,
    /// Questions that are left in this run.
    left: VecDeque<CardStep>,
    online: bool,
    /// It has approved, and its scripts are left.
    completed: bool,
    /// As this run's card came.
    then: Then,
}

impl ScriptedCard {
    pub fn new(
        read: CardRead,
        asks: impl IntoIterator<Item = CardStep>,
        after_yes: AfterYes,
        icc: &[u8],
    ) -> Self {
        let asks = asks.into_iter().collect();
        Self {
            read,
            asks,
            after_yes,
            icc: icc.to_vec(),
            end: Vec::new(),
            left: VecDeque::new(),
            online: false,
            completed: false,
            then: Then::Card,
        }
    }
    /// With this data element at its end: the results (DF31) of an issuer script, which runs behind its
    /// approval.
    pub fn ending(self, icc: &[u8]) -> Self {
        Self { end: icc.to_vec(), ..self }
    }
    fn done(&mut self, decision: CardDecision) -> Option<CardStep> {
        self.end();
        Some(CardStep::Done { decision, icc: [&self.icc[..], &self.end].concat() })
    }
    /// A yes is a TC: tag 9F27 says so.
    fn yes(&mut self) -> Option<CardStep> {
        let (tc, mut results) = (self.tc(), self.end.clone());
        let Some(result) = results.get_mut(3) else { return self.approved() };
        // Not performed.
        *result = 0;
        self.completed = true;
        Some(CardStep::Completed { icc: [tc, results].concat() })
    }
    fn approved(&mut self) -> Option<CardStep> {
        let icc = [self.tc(), self.end.clone()].concat();
        self.end();
        Some(CardStep::Done { decision: CardDecision::Approved(Verified::PinOrNone), icc })
    }
    fn tc(&self) -> Vec<u8> {
        let mut icc = self.icc.clone();
        let at = icc.windows(3).position(|w| w == [0x9F, 0x27, 1]);
        if let Some(kind) = at.and_then(|at| icc.get_mut(at + 3)) {
            *kind = 0x40;
        }
        icc
    }
    fn next(&mut self) -> Option<CardStep> {
        self.left.pop_front().or_else(|| {
            self.online = true;
            let (icc, verified, then) = (self.icc.clone(), Verified::PinOrNone, self.then);
            Some(CardStep::GoOnline { icc, verified, then })
        })
    }
}

impl CardKernel for ScriptedCard {
    fn run(&mut self, run: &CardRun, _: &mut dyn CardReader) -> Result<Option<CardStep>, CardFault> {
        (self.left, self.online) = (self.asks.clone(), false);
        self.then = match run.interface {
            Interface::Contact => Then::Card,
            Interface::Contactless => Then::Final,
        };
        Ok(Some(CardStep::Read(self.read.clone())))
    }
    fn tell(&mut self, word: CardWord, _: &mut dyn CardReader) -> Result<Option<CardStep>, CardFault> {
        Ok(match word {
            CardWord::Proceed { .. } | CardWord::Chosen(Some(_)) | CardWord::Pin(_) if !self.online => {
                self.next()
            }
            // Where the host cannot be asked it says the same.
            CardWord::Host(HostWord::Approved { .. } | HostWord::NotSent { offline: true })
                if self.online && !self.completed =>
            {
                match self.after_yes {
                    AfterYes::Yes => self.yes(),
                    AfterYes::Pretends => self.done(CardDecision::Approved(Verified::PinOrNone)),
                    AfterYes::No => self.done(CardDecision::Declined),
                    AfterYes::Lies => self.done(CardDecision::Failed(CardFailure::Lied)),
                    AfterYes::Nothing => None,
                }
            }
            CardWord::Host(HostWord::Declined { .. }) if self.online => self.done(CardDecision::Declined),
            // No script has come.
            CardWord::Host(HostWord::NotSent { .. } | HostWord::NoReply) if self.online => {
                self.end();
                Some(CardStep::Done { decision: CardDecision::Declined, icc: self.icc.clone() })
            }
            CardWord::Scripts if self.completed => self.approved(),
            CardWord::Chosen(None) => self.done(CardDecision::Declined),
            // A word that answers no question ends the run and approves nothing.
            CardWord::Proceed { .. }
            | CardWord::Chosen(Some(_))
            | CardWord::Pin(_)
            | CardWord::Host(_)
            | CardWord::Scripts => self.done(CardDecision::Failed(CardFailure::OutOfOrder)),
        })
    }
    fn end(&mut self) {
        self.left.clear();
        (self.online, self.completed) = (false, false);
    }
    fn interrupt(&self) -> Interrupt {
        Arc::new(|| ())
    }
}

/// Reader in which a card always is; for a kernel that sends it nothing.
#[derive(Debug, Default)]
pub struct NoReader;
impl CardReader for NoReader {
    fn wait(
        &mut self,
        _: std::time::Duration,
    ) -> Result<Option<payterm_schema::card::Interface>, crate::DeviceError> {
        Ok(Some(payterm_schema::card::Interface::Contact))
    }
    fn power(&mut self) -> Result<Vec<u8>, CardFault> {
        Ok(Vec::new())
    }
    fn transmit(
        &mut self,
        _: &[u8],
        _: std::time::Duration,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, CardFault> {
        Err(CardFault::Mute)
    }
    fn release(&mut self) -> Result<(), crate::DeviceError> {
        Ok(())
    }
    fn interrupt(&self) -> Interrupt {
        Arc::new(|| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use payterm_schema::{
        Kind, Money, Pan, Time,
        card::{Depth, Interface, PinCheck, PinWord, Proceed},
    };

    fn read() -> CardRead {
        let pan = Pan::parse("6225768317945678").unwrap();
        CardRead {
            pan,
            sequence: Some(1),
            expiry: "3012".into(),
            track2: None,
            language: None,
            aid: "A000000333010101".into(),
            label: "PBOC DEBIT".into(),
        }
    }
    const PROCEED: Proceed = Proceed { online_pin: true, offline: false, earlier: 0 };

    fn run() -> CardRun {
        CardRun {
            txn: 1,
            kind: Kind::Sale,
            amount: Money::new(1, "CNY".parse().unwrap()).unwrap(),
            interface: Interface::Contact,
            depth: Depth::Full,
            offline: false,
            at: Time(0),
            offset_minutes: 480,
        }
    }

    #[test]
    fn a_card_says_yes_no_or_nothing_after_the_hosts_yes() {
        let (icc, verified, then) = (vec![0x9f], Verified::PinOrNone, Then::Card);
        let online = Some(CardStep::GoOnline { icc, verified, then });
        let over = |decision| Some(CardStep::Done { decision, icc: vec![0x9f] });
        for (after, said) in [
            (AfterYes::Yes, over(CardDecision::Approved(Verified::PinOrNone))),
            (AfterYes::No, over(CardDecision::Declined)),
            (AfterYes::Lies, over(CardDecision::Failed(CardFailure::Lied))),
            (AfterYes::Nothing, None),
        ] {
            let asks = [CardStep::Choose(vec!["a".into()]), CardStep::NeedPin(PinCheck::Issuer)];
            let mut card = ScriptedCard::new(read(), asks.clone(), after, &[0x9f]);
            let mut tell = |word| card.tell(word, &mut NoReader).unwrap();
            assert_eq!(
                tell(CardWord::Host(HostWord::NotSent { offline: true })),
                over(CardDecision::Failed(CardFailure::OutOfOrder))
            );
            assert_eq!(card.run(&run(), &mut NoReader).unwrap(), Some(CardStep::Read(read())));
            let mut tell = |word| card.tell(word, &mut NoReader).unwrap();
            assert_eq!(tell(CardWord::Proceed(PROCEED)).as_ref(), Some(&asks[0]));
            assert_eq!(tell(CardWord::Chosen(Some(0))).as_ref(), Some(&asks[1]));
            assert_eq!(tell(CardWord::Pin(PinWord::Entered)), online);
            assert_eq!(tell(CardWord::Host(HostWord::Approved { arc: *b"00", icc: Vec::new() })), said);
        }
    }

    #[test]
    fn without_the_hosts_yes_the_card_declines() {
        for word in [
            HostWord::Declined { arc: *b"51", icc: Vec::new() },
            HostWord::NotSent { offline: false },
            HostWord::NoReply,
        ] {
            let mut card = ScriptedCard::new(read(), [], AfterYes::Yes, &[]);
            card.run(&run(), &mut NoReader).unwrap();
            let online = card.tell(CardWord::Proceed(PROCEED), &mut NoReader).unwrap();
            assert!(matches!(online, Some(CardStep::GoOnline { .. })));
            let said = card.tell(CardWord::Host(word), &mut NoReader).unwrap();
            assert!(matches!(said, Some(CardStep::Done { decision: CardDecision::Declined, .. })));
        }
    }
}
