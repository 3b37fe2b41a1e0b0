//! Mishap model of the wire and its link. A message is not sent, lost before the bank, or reaches it late; an
//! answer is lost, late, slow (others overtake it), comes twice, or is damaged and dropped by the codec. The
//! link may die with a message in its hands, or say nothing. A link never says NotSent of what has left, no
//! answer is taken for another message's, and no keys for a machine that is gone.
use super::{Event, World};
use crate::sim::bank::HostFault;
use payterm_schema::{
    HostEvent, HostMessage, PinBlock,
    host::{CardSecrets, FrameTrace, HostAnswer, KeysVerdict, MessageKind, SecretsFrom},
    kind::Kind,
};

impl World {
    pub(super) fn wire(&mut self, m: HostMessage) {
        self.bank.made(&m);
        if let SecretsFrom::Memory(CardSecrets { pin_block: Some(block), .. }) = &m.secrets {
            assert_eq!(
                block,
                &PinBlock::iso0([self.generation(Some(&m.account)); 8]),
                "a PIN block under keys that are no more: the issuer would count a wrong PIN"
            );
        }
        let needs = match &m.secrets {
            SecretsFrom::Sealed(txn) => vec![*txn],
            SecretsFrom::SealedMany(all) => all.iter().flatten().copied().collect(),
            SecretsFrom::Memory(_) | SecretsFrom::None => vec![],
        };
        if let Some(txn) = needs.into_iter().find(|txn| !self.sealed.contains(txn)) {
            // Its debt ended by a late answer while the repeat's records were on their way to the disk.
            let ended =
                m.message_kind != MessageKind::Request && self.durable.obligation(txn, m.plan.stan).is_none();
            assert!(ended, "the PAN of {txn} is not sealed on disk, its message cannot be built");
            return self.arrives(m, &HostFault::Unbuildable);
        }
        let new = m.message_kind == MessageKind::Request
            && m.plan.kind.row().authorisation
            && m.plan.settlement.is_none();
        assert!(
            !new || !self.bank.in_closed_batch(&m),
            "invariant 6: {:?} leaves for a closed batch",
            m.plan
        );
        self.model.sent(&m).unwrap_or_else(|breach| panic!("{breach}"));
        self.messages.insert(m.tag, m.clone());
        let own_sign_in =
            m.plan.kind == Kind::SignIn && m.message_kind == MessageKind::Request && m.log.is_none();
        let fault = if own_sign_in { self.sign_ins.pop_front() } else { self.faults.pop_front() }
            .unwrap_or(HostFault::Answer);
        let since = self.now.since(crate::sim::script::at_epoch()).0;
        let down = self.script.down.iter().any(|(from, to)| (*from..*to).contains(&since));
        let never = self.script.never.is_some_and(|txn| {
            m.message_kind == MessageKind::Repeat
                && self.machine.state().obligation(txn, m.plan.stan).is_some()
        });
        let fault = match (down, never) {
            (true, _) => HostFault::NotSent,
            (false, true) => HostFault::LoseRequest,
            (false, false) => fault,
        };
        let message_kind = match m.message_kind {
            MessageKind::Request => "request",
            MessageKind::Repeat => "repeat",
            MessageKind::Query => "query",
            MessageKind::ScriptResult => "script result",
            MessageKind::Reversal(_) => "reversal",
        };
        self.count(format!("fault {message_kind}: {}", fault.name()));
        self.arrives(m, &fault);
    }

    /// The link takes no keys of an answer that came late when another sign-in has left since.
    pub(super) fn link_keys(&self, tag: u64, mut event: HostEvent) -> HostEvent {
        let Some(m) = self.messages.get(&tag) else { return event };
        let later = |other: &HostMessage| {
            other.tag > tag
                && other.account == m.account
                && matches!(other.plan.kind, Kind::SignIn | Kind::SignOff)
        };
        if let HostEvent::Late { answer, .. } = &mut event
            && self.messages.values().any(later)
        {
            answer.keys = KeysVerdict::None;
        }
        event
    }

    /// What becomes of the message, and of its answer.
    fn arrives(&mut self, m: HostMessage, fault: &HostFault) {
        let (tag, gone) = (m.tag, m.deadline.0 - self.clock().0);
        let reply = |answer| HostEvent::Reply { answer: Box::new(answer), trace: FrameTrace::default() };
        let silence = |why: &str| HostEvent::NoReply { why: why.into(), trace: FrameTrace::default() };
        match *fault {
            HostFault::Unbuildable => {
                self.later(50, Event::Host { tag, event: HostEvent::Unbuildable { why: "no PAN".into() } })
            }
            HostFault::NotSent => {
                self.later(50, Event::Host { tag, event: HostEvent::NotSent { why: "refused".into() } })
            }
            HostFault::LoseRequest => self.later(gone, Event::Host { tag, event: silence("time-out") }),
            HostFault::LoseReply => {
                self.at_bank(&m, fault);
                self.later(gone, Event::Host { tag, event: silence("time-out") });
            }
            HostFault::LateReply => {
                let answer = Box::new(self.at_bank(&m, fault));
                self.later(gone, Event::Host { tag, event: silence("time-out") });
                self.later(
                    gone + 20,
                    Event::Host { tag, event: HostEvent::Late { answer, trace: FrameTrace::default() } },
                );
            }
            HostFault::LateRequest => {
                self.later(gone, Event::Host { tag, event: silence("time-out") });
                self.later(gone + 120_000, Event::AtBank(Box::new(m)));
            }
            HostFault::SlowRefuse(ms, _) | HostFault::Slow(ms) => {
                let answer = self.at_bank(&m, fault);
                // Past its deadline the link has said so.
                let event = if ms < gone { reply(answer) } else { silence("time-out") };
                self.later(ms.min(gone), Event::Host { tag, event });
            }
            HostFault::Twice => {
                let answer = self.at_bank(&m, fault);
                self.later(30, Event::Host { tag, event: reply(answer.clone()) });
                self.later(35, Event::Host { tag, event: reply(answer) });
            }
            HostFault::Damaged => {
                self.at_bank(&m, fault);
                let (why, trace) = ("F4: a character or nibble is no digit".into(), FrameTrace::default());
                self.later(30, Event::Host { tag, event: HostEvent::Unusable { why, trace } });
            }
            HostFault::LinkDied => {
                self.at_bank(&m, fault);
                self.later(10, Event::Host { tag, event: silence("host link: gone") });
            }
            HostFault::LinkSilent => drop(self.at_bank(&m, fault)),
            HostFault::Unbalanced
            | HostFault::UnbalancedForeign
            | HostFault::SettleError
            | HostFault::ImpossibleDigit
            | HostFault::Contradiction
            | HostFault::Garbage
            | HostFault::Pending(_)
            | HostFault::Answer
            | HostFault::Scripts
            | HostFault::Refuse(_)
            | HostFault::BadMac
            | HostFault::NoMac
            | HostFault::RefuseNoMac(_)
            | HostFault::Partial
            | HostFault::Require(_) => {
                let answer = self.at_bank(&m, fault);
                self.later(30, Event::Host { tag, event: reply(answer) });
            }
        }
    }

    pub(super) fn at_bank(&mut self, m: &HostMessage, fault: &HostFault) -> HostAnswer {
        let answer = self.bank.process(m, fault);
        self.model.at_bank(m, &answer);
        answer
    }
}
