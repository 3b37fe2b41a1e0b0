//! A chip card at work: its run from insertion to its last word. The kernel asks step by step; it decides
//! nothing before the account is ready, and goes online in the place where a swiped card is sent.
use super::{
    Devices, Next, Pin, Serving, Stage, completing, offline, pin, present, provisional,
    stage::{AfterCard, GONE},
    tap,
};
use crate::{
    Ask, Effect,
    context::Context,
    instrument::{self, Presented},
    view,
};
use payterm_schema::{
    AccountId, CardToken, Kind, Money, Status,
    card::{
        CardDecision, CardFailure, CardRead, CardRun, CardStep, CardWord, Depth, HostWord, Interface,
        PinCheck, PinWord, Proceed, Then, Verified,
    },
    device::Key,
    host::{CardSecrets, EntryMode},
    icc::{Icc, Tag},
    offline::OfflineAuthority,
    outcome::{self, Class, Cryptogram},
};
use std::sync::Arc;

/// Applications on a page of the choice: so many lines has the smallest display besides the question.
const APPLICATIONS: usize = 3;

/// A run, as far as the request must know of it.
#[derive(Debug)]
pub(super) struct Chip {
    pub(super) tag: u64,
    pub(super) interface: Interface,
    depth: Depth,
    /// It was told to go on.
    proceeds: bool,
    /// The account is not ready: the card was told to go on all the same, and nothing is sent.
    alone: bool,
    /// It waits for a PIN that its issuer checks.
    asks_pin: bool,
    /// It was shown a PIN in this run.
    saw_pin: bool,
    /// It was pulled out, or does not answer any more.
    pub(super) gone: bool,
    /// It took too long, and was told to end as far as it came.
    pub(super) stopped: bool,
}

impl Chip {
    pub fn is(&self, tag: u64) -> bool {
        self.tag == tag
    }
    pub fn is_tapped(&self) -> bool {
        self.interface == Interface::Contactless
    }
    pub fn is_gone(&self) -> bool {
        self.gone
    }
    /// The reader lets go of the card.
    pub fn end(&self, cx: &mut Context) {
        cx.effect(Effect::EndCard { tag: self.tag });
    }
}

/// How far the terminal can run a chip card for this request; none: no kernel is there, or its kind has no
/// card.
pub(super) fn depth(cx: &Context, s: &Serving, interface: Interface) -> Option<Depth> {
    s.kind().row().chip.filter(|_| cx.settings.chip.contains(&interface))
}

pub(super) fn enter(cx: &mut Context, s: &mut Serving, interface: Interface) -> Next {
    let candidates = instrument::candidates(&cx.settings, &s.request);
    let (Some(depth), Some(account)) = (depth(cx, s, interface), candidates.first()) else {
        unreachable!("a card runs for a kind, or a currency, that has none")
    };
    let nothing = || Money::new(0, account.config.currency).ok();
    let Some(amount) = s.amount().or_else(nothing) else { unreachable!("nothing is too much") };
    let offset_minutes = account.host_offset_minutes;
    let (txn, kind) = (s.txn, s.kind());
    let tap = interface == Interface::Contactless && kind == Kind::Sale;
    let offline = tap && offline::tap_may(cx, &candidates, amount);
    let tag = cx.tag();
    s.chip = Some(Chip {
        tag,
        interface,
        depth,
        proceeds: false,
        alone: false,
        asks_pin: false,
        saw_pin: false,
        gone: false,
        stopped: false,
    });
    s.icc = None;
    let run = CardRun { txn, kind, amount, interface, depth, offline, at: cx.now, offset_minutes };
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
        return Some(proceeds(cx, s, online_pin));
    }
    // Its PIN was enciphered under keys that are no more.
    if chip.asks_pin && s.pin == Pin::NotAsked {
        return Some(ask_pin(cx, s));
    }
    Some(if s.icc.is_some() { Next::Authorise } else { works(cx, s) })
}

fn proceeds(cx: &mut Context, s: &mut Serving, online_pin: bool) -> Next {
    let offline = offline::allows(cx, s, OfflineAuthority::Card);
    let earlier = offline::of_card(cx, s);
    tell(cx, s, CardWord::Proceed(Proceed { online_pin, offline, earlier }))
}

/// The account does not get ready. A card that may approve by itself goes on; none: it may not, or no card
/// waits for that.
pub(super) fn alone(cx: &mut Context, s: &mut Serving) -> Option<Next> {
    let contact = s.chip.as_ref().filter(|c| !c.proceeds)?.interface == Interface::Contact;
    let may = offline::allows(cx, s, OfflineAuthority::Card)
        || (contact && offline::allows(cx, s, OfflineAuthority::CardUnableOnline));
    let chip = s.chip.as_mut().filter(|_| may)?;
    (chip.proceeds, chip.alone) = (true, true);
    Some(proceeds(cx, s, false))
}

/// The account that was ready is so no more, and the card waits for its issuer's word: nothing is sent.
/// None: no card waits for that.
pub(super) fn in_vain(cx: &mut Context, s: &mut Serving) -> Option<Next> {
    (s.chip.is_some() && s.icc.is_some()).then(|| not_sent(cx, s))
}

/// The card wants its holder's PIN, for its issuer or for itself.
fn needs_pin(cx: &mut Context, s: &mut Serving, devices: &Devices, check: PinCheck) -> Next {
    let online = s.chip.as_ref().is_some_and(|c| !c.alone) && pin::has_place(cx, s, s.account());
    let Some(chip) = s.chip.as_mut().filter(|_| devices.pin_pad) else {
        return tell(cx, s, CardWord::Pin(PinWord::Failed));
    };
    let (run, wrong) = (chip.tag, chip.saw_pin);
    chip.asks_pin = check == PinCheck::Issuer && online;
    match check {
        PinCheck::Issuer if online => ask_pin(cx, s),
        PinCheck::Issuer => tell(cx, s, CardWord::Pin(PinWord::Failed)),
        PinCheck::Card(pin) => {
            pin::ask_for_card(cx, s, run, pin, wrong);
            Next::Stay
        }
    }
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
    if s.chip.is_none() || s.icc.is_some() {
        return None;
    }
    let word = if s.pin == Pin::Bypassed { PinWord::Bypassed } else { PinWord::Entered };
    Some(tell(cx, s, CardWord::Pin(word)))
}

/// The card was shown the PIN: its kernel knows what it makes of that. A pad that has shown one to no card is
/// no good.
pub(super) fn pin_shown(cx: &mut Context, s: &mut Serving, sw: u16) -> Next {
    let Some(chip) = &mut s.chip else { return Next::fail("pin-pad-unavailable", Class::D) };
    chip.saw_pin = true;
    tell(cx, s, CardWord::Pin(PinWord::Status(sw)))
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
        (Stage::CardDecides { .. }, Some(CardStep::Done { decision, icc })) => {
            completing::decides(cx, s, last_word(&decision, &icc), &icc)
        }
        (Stage::CardDecides { .. }, Some(CardStep::Completed { icc })) => {
            let yes = CardDecision::Approved(Verified::PinOrNone);
            completing::completes(cx, s, last_word(&yes, &icc), &icc)
        }
        // Out of order, or gone: it has not said yes.
        (Stage::CardDecides { .. }, _) => provisional::decided(cx, s, Err(GONE)),
        (Stage::CardHears { then: AfterCard::MayApprove(_), .. }, Some(CardStep::Done { decision, icc })) => {
            unable_online(cx, s, &decision, &icc)
        }
        (Stage::CardHears { .. }, Some(CardStep::Done { icc, .. })) => completing::heard(cx, s, Some(&icc)),
        (Stage::CardHears { .. }, _) => completing::heard(cx, s, None),
        (Stage::Card { .. }, Some(step)) => at_work(cx, s, devices, step, token),
        // The host is asked: its answer is waited for, whatever the card does.
        (Stage::Sent { until }, _) => {
            let until = *until;
            if let Some(chip) = &mut s.chip {
                chip.gone = true;
            }
            s.enter(cx, Stage::Sent { until });
            Next::Stay
        }
        (_, None) => failed(cx, s, devices, CardFailure::Removed),
        (_, Some(_)) => failed(cx, s, devices, CardFailure::OutOfOrder),
    }
}

/// The card's last word; a no with its code, as it is after the host's yes. A yes without a TC is none,
/// whatever the kernel calls it.
fn last_word(decision: &CardDecision, icc: &[u8]) -> Result<(), &'static str> {
    let kind = |icc: &Icc| Some(icc.values(Tag::new(0x9F27)?).next()?.first()? & 0xC0);
    let tc = Icc::parse(icc).is_ok_and(|icc| kind(&icc) == Some(0x40));
    match decision {
        CardDecision::Approved(_) if tc => Ok(()),
        CardDecision::Approved(_) | CardDecision::Failed(CardFailure::Lied) => Err(CardFailure::Lied.code()),
        CardDecision::Failed(CardFailure::Removed | CardFailure::Unreadable | CardFailure::Reader) => {
            Err(GONE)
        }
        CardDecision::Declined | CardDecision::Failed(_) => Err("card-refused-approval"),
    }
}

/// The run has decided nothing. Before the card's number was read it may be inserted again; a chip that
/// cannot be read may be swiped in the end.
fn failed(cx: &mut Context, s: &mut Serving, devices: &Devices, why: CardFailure) -> Next {
    let early = matches!(s.stage, Stage::Card { .. } | Stage::Choosing { .. }) && s.presented.is_none();
    if s.chip.as_ref().is_some_and(Chip::is_tapped) {
        return tap::failed(cx, s, devices, early, why);
    }
    let falls_back = early && present::falls_back(cx, s, devices, why);
    if let Some(chip) = s.chip.take_if(|_| falls_back) {
        chip.end(cx);
        return present::fall_back(cx, s, why);
    }
    if early
        && matches!(why, CardFailure::Removed | CardFailure::Unreadable)
        && let Some(chip) = s.chip.take()
    {
        chip.end(cx);
        return present::not_taken(cx, s, "card-unreadable", false);
    }
    match why {
        CardFailure::Removed | CardFailure::Cancelled => Next::End(Status::Cancelled, why.code(), Class::B),
        CardFailure::Unreadable | CardFailure::OutOfOrder => Next::fail(why.code(), Class::B),
        CardFailure::Reader => Next::fail(why.code(), Class::D),
        CardFailure::Blocked | CardFailure::NoApplication | CardFailure::OnlyElectronicCash => {
            Next::fail(why.code(), Class::C)
        }
        // Of no card that is inserted.
        CardFailure::Torn | CardFailure::SeePhone | CardFailure::InsertInstead => {
            Next::fail(CardFailure::Unreadable.code(), Class::B)
        }
        CardFailure::Lied => Next::End(Status::Declined, why.code(), Class::C),
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
        CardStep::Choose(names) if !read && !names.is_empty() => {
            if devices.modes.contains(&EntryMode::Manual) {
                let until = cx.after(cx.settings.flow.present_timeout_ms);
                s.enter(cx, Stage::Choosing { until, names, first: 0 });
                Next::Stay
            } else {
                // Nobody can choose: the first has the card's own priority (EMV 4.4 Book 1 §12.4).
                tell(cx, s, CardWord::Chosen(Some(0)))
            }
        }
        CardStep::NeedPin(check) if proceeds => {
            s.pin = Pin::NotAsked;
            needs_pin(cx, s, devices, check)
        }
        CardStep::GoOnline { icc, verified, then } if proceeds => match Icc::parse(&icc) {
            Ok(icc) => {
                note(s, &icc);
                holder(s, verified);
                (s.icc, s.decided) = (Some(icc), true);
                match then {
                    _ if s.chip.as_ref().is_some_and(|c| c.alone) => {
                        tap::inserted(cx, s, devices).unwrap_or_else(|| not_sent(cx, s))
                    }
                    Then::Card => Next::Prepare,
                    Then::Final => tap::sent(cx, s),
                }
            }
            Err(_) => failed(cx, s, devices, CardFailure::Unreadable),
        },
        CardStep::Read(_)
        | CardStep::Choose(_)
        | CardStep::NeedPin(_)
        | CardStep::GoOnline { .. }
        | CardStep::Completed { .. } => failed(cx, s, devices, CardFailure::OutOfOrder),
        CardStep::Done { decision, icc } => {
            if let Ok(icc) = Icc::parse(&icc) {
                note(s, &icc);
            }
            s.decided |= match decision {
                CardDecision::Approved(_) | CardDecision::Declined => true,
                CardDecision::Failed(why) => why == CardFailure::Lied,
            };
            match decision {
                CardDecision::Approved(_) if !proceeds => failed(cx, s, devices, CardFailure::OutOfOrder),
                CardDecision::Approved(verified) => by_itself(cx, s, &decision, verified, &icc),
                CardDecision::Declined => Next::End(Status::Declined, "card-declined", Class::C),
                CardDecision::Failed(why) => failed(cx, s, devices, why),
            }
        }
    }
}

/// The card has approved by its first cryptogram. What nobody accepts is a refusal.
fn by_itself(
    cx: &mut Context,
    s: &mut Serving,
    decision: &CardDecision,
    verified: Verified,
    icc: &[u8],
) -> Next {
    if let Some(chip) = s.chip.take_if(|c| c.is_tapped()) {
        chip.end(cx);
    }
    holder(s, verified);
    match (last_word(decision, icc), Icc::parse(icc)) {
        (Ok(()), Ok(icc)) if offline::accept_card(cx, s, OfflineAuthority::Card, &icc) => Next::Stay,
        (Err(code), _) => Next::End(Status::Declined, code, Class::C),
        (Ok(()), _) => Next::End(Status::Declined, "card-declined", Class::C),
    }
}

/// How the card's holder was verified, for its paper.
fn holder(s: &mut Serving, verified: Verified) {
    if verified == Verified::Device {
        s.pin = Pin::ByDevice;
    }
    if let Some(shown) = s.presented.as_mut().and_then(|p| p.shown.as_mut()) {
        shown.sign = verified == Verified::Signature;
        shown.pin = verified == Verified::CardPin;
    }
}

/// Nothing could be sent: the card may approve by itself, or is asked to decline. One that was tapped is not
/// asked.
pub(super) fn not_sent(cx: &mut Context, s: &mut Serving) -> Next {
    let id = s.account().clone();
    let (Some(account), Some(presented)) = (cx.account(&id), &s.presented) else {
        unreachable!("a card runs without an account, or was not read")
    };
    let mut outcome = (*cx.running().view).clone();
    view::with_account(&mut outcome, account);
    view::with_instrument(&mut outcome, presented);
    view::ended(&mut outcome, Status::Failed, cx.line_code(&id), Class::E, cx.now);
    let contact = s.chip.as_ref().is_some_and(|c| c.interface == Interface::Contact);
    let offline = contact && offline::allows(cx, s, OfflineAuthority::CardUnableOnline);
    if !completing::tell_host(cx, s, HostWord::NotSent { offline }) {
        cx.finish(outcome);
        return Next::Stay;
    }
    completing::last_heard(
        cx,
        s,
        outcome,
        None,
        if offline { AfterCard::MayApprove } else { AfterCard::Ends },
    )
}

/// What the card made of it that the host could not be asked.
fn unable_online(cx: &mut Context, s: &mut Serving, decision: &CardDecision, icc: &[u8]) -> Next {
    let by = OfflineAuthority::CardUnableOnline;
    if let (Ok(()), Ok(tc)) = (last_word(decision, icc), Icc::parse(icc)) {
        note(s, &tc);
        if offline::accept_card(cx, s, by, &tc) {
            return Next::Stay;
        }
    }
    if let (Stage::CardHears { then: AfterCard::MayApprove(outcome), .. }, CardDecision::Declined) =
        (&mut s.stage, decision)
    {
        view::ended(Arc::make_mut(outcome), Status::Declined, "card-declined", Class::C, cx.now);
    }
    completing::heard(cx, s, Some(icc))
}

/// A key of the customer who chooses an application: its number on the page, the next page, or yes to the
/// first.
pub(super) fn choose(cx: &mut Context, s: &mut Serving, key: Key) -> Next {
    let Stage::Choosing { until, names, first } = s.stage.clone() else {
        unreachable!("{:?}: nobody chooses", s.stage)
    };
    let chosen = match key {
        Key::Confirm => Some(first),
        Key::Digit(digit) => digit.checked_sub(b'1').map(|n| first + usize::from(n)),
        Key::Clear | Key::Cancel => None,
    };
    match chosen.filter(|n| *n < names.len() && *n < first + APPLICATIONS) {
        Some(n) => tell(cx, s, CardWord::Chosen(Some(n))),
        None if matches!(key, Key::Clear | Key::Digit(b'0')) && names.len() > APPLICATIONS => {
            let first = if first + APPLICATIONS < names.len() { first + APPLICATIONS } else { 0 };
            s.enter(cx, Stage::Choosing { until, names, first });
            Next::Stay
        }
        None => Next::Stay,
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
    let full = s.chip.as_ref().is_some_and(|c| c.depth == Depth::Full);
    // Its chip can be read.
    s.fallback = None;
    s.language = read.language;
    let tap = s.chip.as_ref().is_some_and(Chip::is_tapped);
    // Of a card that is read only nobody has asked how its holder is verified.
    let chip = outcome::Chip {
        aid: read.aid,
        label: read.label,
        sequence: read.sequence,
        sign: !full,
        ..outcome::Chip::default()
    };
    let presented = Presented {
        mode: if tap { EntryMode::Contactless } else { EntryMode::Chip },
        wallet: None,
        masked: read.pan.masked(),
        expiry: Some(read.expiry.clone()),
        chip: true,
        fallback: false,
        on_card: Some(read.expiry),
        card: token,
        shown: Some(Box::new(chip)),
        secrets: CardSecrets { pan: Some(read.pan), tracks: read.track2, ..CardSecrets::default() },
    };
    let next = present::take(cx, s, devices, presented);
    let kind = s.kind();
    let sends = |id: &AccountId| cx.account(id).is_some_and(|a| a.rules.icc.contains(&kind));
    if next == Next::Prepare && full && !s.account.as_ref().is_some_and(sends) {
        return Next::fail("chip-not-supported", Class::C);
    }
    // Its number was all that was wanted; or another card may be presented: this one's run is over.
    let over = matches!(next, Next::Present(_)) || (next == Next::Prepare && !full);
    if over && let Some(chip) = s.chip.take() {
        chip.end(cx);
    }
    next
}

/// The card's last cryptogram so far, as slips show it.
pub(super) fn note(s: &mut Serving, icc: &Icc) {
    let Some(chip) = s.presented.as_mut().and_then(|p| p.shown.as_mut()) else { return };
    let value = |tag| Tag::new(tag).and_then(|tag| icc.values(tag).next());
    let text = |tag| value(tag).map(hex);
    chip.cryptogram = text(0x9F26);
    chip.cryptogram_kind = value(0x9F27).and_then(|v| v.first()).map(|kind| match kind & 0xC0 {
        0x80 => Cryptogram::Arqc,
        0x40 => Cryptogram::Tc,
        _ => Cryptogram::Aac,
    });
    chip.atc = value(0x9F36).and_then(|v| v.try_into().ok()).map(u16::from_be_bytes);
    (chip.tvr, chip.tsi) = (text(0x95), text(0x9B));
}
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect()
}
