//! A chip card at work: its run from insertion to its last word. The kernel asks step by step; it decides
//! nothing before the account is ready, and goes online in the place where a swiped card is sent.
use super::{Devices, Next, Pin, Serving, Stage, pin, present, provisional};
use crate::{Ask, Effect, context::Context, instrument::Presented};
use payterm_schema::{
    AccountId, CardToken, HostAnswer, ObligationRecord, Status,
    card::{
        CardDecision, CardRead, CardRun, CardStep, CardWord, Depth, HostWord, Interface, PinCheck, PinWord,
    },
    host::{CardSecrets, EntryMode, OriginalRef, Plan},
    icc::{Icc, Tag},
    kind::{OriginalBy, Recovery},
    outcome::Class,
    record::{Duty, Obligation, ObligationState},
};

/// A run, as far as the request must know of it.
#[derive(Debug)]
pub(super) struct Chip {
    tag: u64,
    sequence: Option<u8>,
    /// It was told that the account is ready.
    proceeds: bool,
    /// It waits for the PIN.
    asks_pin: bool,
    /// EMV data elements for the host, once it wants to go online.
    online: Option<Icc>,
    /// It was pulled out, or does not answer any more.
    gone: bool,
}

impl Chip {
    pub fn is(&self, tag: u64) -> bool {
        self.tag == tag
    }
    pub fn sequence(&self) -> Option<u8> {
        self.sequence
    }
    pub fn online(&self) -> Option<&Icc> {
        self.online.as_ref()
    }
    /// The reader lets go of the card.
    pub fn end(&self, cx: &mut Context) {
        cx.effect(Effect::EndCard { tag: self.tag });
    }
}

/// The terminal can run a chip card for this request: a kernel is there, and a frame of it could be taken
/// back.
pub(super) fn runs(cx: &Context, s: &Serving) -> bool {
    let row = s.kind().row();
    cx.settings.chip
        && s.request.amount.is_some()
        && row.original == OriginalBy::None
        && row.recovery == Recovery::Reverse
}

pub(super) fn enter(cx: &mut Context, s: &mut Serving, interface: Interface) -> Next {
    let Some(amount) = s.request.amount else { unreachable!("a card runs for no amount") };
    let tag = cx.tag();
    s.chip = Some(Chip { tag, sequence: None, proceeds: false, asks_pin: false, online: None, gone: false });
    let run = CardRun {
        txn: s.txn,
        kind: s.kind(),
        amount,
        interface,
        depth: Depth::Full,
        at: cx.now,
        offset_minutes: 480,
    };
    cx.ask(Ask::RunCard { tag, run });
    works(cx, s)
}

/// The card is at work; the customer is asked to leave it in.
fn works(cx: &mut Context, s: &mut Serving) -> Next {
    let until = cx.after(cx.settings.flow.card_timeout_ms);
    s.enter(cx, Stage::Card { until });
    Next::Stay
}

fn tell(cx: &mut Context, s: &mut Serving, word: CardWord) -> Next {
    if let Some(chip) = &s.chip {
        cx.effect(Effect::TellCard { tag: chip.tag, word });
    }
    works(cx, s)
}

/// The account is ready. The card goes on; one that has asked to go online is sent; none: no chip card pays.
pub(super) fn turn(cx: &mut Context, s: &mut Serving, devices: &Devices) -> Option<Next> {
    let chip = s.chip.as_mut()?;
    if !chip.proceeds {
        chip.proceeds = true;
        let online_pin = devices.pin_pad && pin::has_place(cx, s, s.account());
        return Some(tell(cx, s, CardWord::Proceed { online_pin }));
    }
    // Its PIN was enciphered under keys that are no more.
    if chip.asks_pin && s.pin == Pin::NotAsked {
        return Some(ask_pin(cx, s));
    }
    Some(if chip.online.is_some() { Next::Authorise } else { works(cx, s) })
}

/// It has asked to go online.
pub(super) fn is_online(s: &Serving) -> bool {
    s.chip.as_ref().is_some_and(|c| c.online.is_some())
}

fn ask_pin(cx: &mut Context, s: &mut Serving) -> Next {
    let Some(pan) = s.presented.as_ref().and_then(|p| p.secrets.pan.clone()) else {
        unreachable!("a PIN of no card")
    };
    let account = s.account().clone();
    pin::ask(cx, s, account, pan);
    Next::Stay
}

/// The customer has typed the PIN, or confirmed without. None: no card that runs has asked for it, or it is
/// sent already.
pub(super) fn pin_typed(cx: &mut Context, s: &mut Serving) -> Option<Next> {
    let chip = s.chip.as_ref()?;
    if chip.online.is_some() {
        return None;
    }
    let word = if s.pin == Pin::Bypassed { PinWord::Bypassed } else { PinWord::Entered };
    Some(tell(cx, s, CardWord::Pin(word)))
}

/// What the card says next; none: it was pulled out, or does not answer.
pub(super) fn step(
    cx: &mut Context,
    s: &mut Serving,
    devices: &Devices,
    step: Option<CardStep>,
    token: Option<CardToken>,
) -> Next {
    match (&s.stage, step) {
        (Stage::CardDecides { answer, .. }, Some(CardStep::Done { decision, icc })) => {
            script_results(cx, s, answer, &icc);
            provisional::decided(cx, s, decision == CardDecision::Approved)
        }
        // Out of order, or gone: it has not said yes.
        (Stage::CardDecides { .. }, _) => provisional::decided(cx, s, false),
        (Stage::Card { .. }, Some(step)) => at_work(cx, s, devices, step, token),
        // The host is asked: its answer is waited for, whatever the card does.
        (Stage::Sent { .. }, _) => {
            if let Some(chip) = &mut s.chip {
                chip.gone = true;
            }
            Next::Stay
        }
        (_, None) => Next::End(Status::Cancelled, "card-removed", Class::B),
        (_, Some(_)) => Next::fail("card-unreadable", Class::B),
    }
}

fn at_work(
    cx: &mut Context,
    s: &mut Serving,
    devices: &Devices,
    step: CardStep,
    token: Option<CardToken>,
) -> Next {
    let (read, proceeds) = (s.presented.is_some(), s.chip.as_ref().is_some_and(|c| c.proceeds));
    match step {
        CardStep::Read(read) if !proceeds && s.presented.is_none() => taken(cx, s, devices, read, token),
        // Without a choice of the customer's the first has the card's own priority (EMV 4.3 Book 1 §12.4).
        CardStep::Choose(names) if !read && !names.is_empty() => tell(cx, s, CardWord::Chosen(Some(0))),
        CardStep::NeedPin(check) if proceeds => {
            let issuer = check == PinCheck::Issuer && devices.pin_pad && pin::has_place(cx, s, s.account());
            s.pin = Pin::NotAsked;
            if let Some(chip) = &mut s.chip {
                chip.asks_pin = issuer;
            }
            if issuer { ask_pin(cx, s) } else { tell(cx, s, CardWord::Pin(PinWord::Failed)) }
        }
        // Out of order.
        CardStep::Read(_) | CardStep::Choose(_) | CardStep::NeedPin(_) => {
            Next::fail("card-unreadable", Class::B)
        }
        CardStep::GoOnline { .. } if !proceeds => Next::fail("card-unreadable", Class::B),
        CardStep::GoOnline { icc, .. } => match Icc::parse(&icc) {
            Ok(icc) => {
                if let Some(chip) = &mut s.chip {
                    chip.online = Some(icc);
                }
                Next::Prepare
            }
            Err(_) => Next::fail("card-unreadable", Class::B),
        },
        // What the card approves by itself is accepted by no policy yet.
        CardStep::Done { decision: CardDecision::Approved | CardDecision::Declined, .. } => {
            Next::End(Status::Declined, "card-declined", Class::C)
        }
        CardStep::Done { decision: CardDecision::Failed(_), .. } => Next::fail("card-unreadable", Class::B),
    }
}

/// Its number is known: from here on it is an instrument like any other.
fn taken(
    cx: &mut Context,
    s: &mut Serving,
    devices: &Devices,
    read: CardRead,
    token: Option<CardToken>,
) -> Next {
    let presented = Presented {
        mode: EntryMode::Chip,
        wallet: None,
        masked: read.pan.masked(),
        expiry: Some(read.expiry.clone()),
        chip: true,
        on_card: Some(read.expiry),
        card: token,
        secrets: CardSecrets { pan: Some(read.pan), ..CardSecrets::default() },
    };
    if let Some(chip) = &mut s.chip {
        chip.sequence = read.sequence;
    }
    let next = present::take(cx, s, devices, presented);
    let kind = s.kind();
    let sends = |id: &AccountId| cx.account(id).is_some_and(|a| a.rules.icc.contains(&kind));
    if next == Next::Prepare && !s.account.as_ref().is_some_and(sends) {
        return Next::fail("chip-not-supported", Class::C);
    }
    // Another card may be presented: this one's run is over.
    if matches!(next, Next::Present(_))
        && let Some(chip) = s.chip.take()
    {
        chip.end(cx);
    }
    next
}

/// The issuer sent scripts with its answer: the acquirer is told what the card made of them (0620), whatever
/// became of the payment.
fn script_results(cx: &mut Context, s: &Serving, answer: &HostAnswer, icc: &[u8]) {
    let account = s.account();
    let wanted = cx.account(account).is_some_and(|a| a.rules.script_results);
    let Ok(icc) = Icc::parse(icc) else { return };
    if !wanted || icc.values(Tag::SCRIPT_RESULTS).next().is_none() {
        return;
    }
    let view = &cx.running().view;
    let original = OriginalRef {
        batch: view.batch,
        stan: view.stan,
        date: answer.date.clone(),
        rrn: answer.rrn.clone(),
        auth_code: answer.auth_code.clone(),
    };
    let plan = Plan {
        amount: s.amount(),
        mode: view.entry,
        card_sequence: s.chip.as_ref().and_then(|c| c.sequence),
        original: Some(original),
        icc: Some(icc),
        ..cx.control_plan(account, s.kind())
    };
    let notice = Obligation {
        state: ObligationState::Due,
        left: false,
        had_left: false,
        card: s.presented.as_ref().and_then(|p| p.card.clone()),
        ..Obligation::new(s.txn, account.clone(), plan, Duty::Notify, Some(s.txn), cx.now)
    };
    cx.record(Some(s.txn), ObligationRecord::Opened { obligation: Box::new(notice) });
}

/// Tells the card what came of going online. False: no card hears it.
pub(super) fn tell_host(cx: &mut Context, s: &Serving, word: HostWord) -> bool {
    let Some(chip) = s.chip.as_ref().filter(|c| !c.gone) else { return false };
    cx.effect(Effect::TellCard { tag: chip.tag, word: CardWord::Host(word) });
    true
}

/// The host's yes, with the issuer's EMV data elements.
pub(super) fn approved(answer: &HostAnswer) -> HostWord {
    HostWord::Approved { arc: arc(answer), icc: issuer(answer) }
}
pub(super) fn declined(answer: &HostAnswer) -> HostWord {
    HostWord::Declined { arc: arc(answer), icc: issuer(answer) }
}
fn issuer(answer: &HostAnswer) -> Vec<u8> {
    answer.icc.as_ref().map(Icc::bytes).unwrap_or_default()
}
/// Tag 8A; a code of another form than two characters is a refusal to the card.
fn arc(answer: &HostAnswer) -> [u8; 2] {
    answer.code.as_bytes().try_into().unwrap_or(*b"05")
}
