//! Cardholder verification (EMV 4.4 Book 3 §10.5): the card's list of methods, rule by rule. The kernel sees
//! no PIN: it asks for one, and is told what became of it.
use super::{Go, Phase, Run, Turn, risk};
use crate::{
    Command, Reply, Tag, oda,
    step::{Note, PinAsk, PinWord, RuleEnd, Step, Why},
    tlv,
    verification::{Tsi, Tvr},
};
use std::collections::VecDeque;

/// A way through the list.
pub(super) struct Search {
    rules: VecDeque<[u8; 2]>,
    /// Amounts of the list, in minor units of the application's currency.
    x: u32,
    y: u32,
    rule: [u8; 2],
    /// The last whose method was carried out.
    last: Option<[u8; 2]>,
    /// Why no PIN is to be had in this run.
    without: Option<Tvr>,
    /// Tries that the card has said.
    left: Option<u8>,
}

pub(super) struct Wait {
    search: Search,
    /// Else for its try counter.
    challenge: bool,
    enciphered: bool,
    sign: bool,
}

/// A PIN that is asked for.
pub(super) enum Ask {
    Online(Search),
    Offline { search: Search, enciphered: bool, sign: bool },
}

/// CVM codes (Book 3 Annex C3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cvm {
    Fail,
    Offline { enciphered: bool, sign: bool },
    Online,
    Signature,
    Nothing,
}
impl Cvm {
    fn of(code: u8) -> Option<Self> {
        Some(match code & 0x3F {
            0x00 => Self::Fail,
            0x01 => Self::Offline { enciphered: false, sign: false },
            0x02 => Self::Online,
            0x03 => Self::Offline { enciphered: false, sign: true },
            0x04 => Self::Offline { enciphered: true, sign: false },
            0x05 => Self::Offline { enciphered: true, sign: true },
            0x1E => Self::Signature,
            0x1F => Self::Nothing,
            _ => return None,
        })
    }
    /// The terminal has it (9F33 byte 2). Failing is always had.
    fn is_had(self, capabilities: u8) -> bool {
        let needs = match self {
            Self::Fail => 0,
            Self::Offline { enciphered: false, sign } => 0x80 | if sign { 0x20 } else { 0 },
            Self::Offline { enciphered: true, sign } => 0x10 | if sign { 0x20 } else { 0 },
            Self::Online => 0x40,
            Self::Signature => 0x20,
            Self::Nothing => 0x08,
        };
        capabilities & needs == needs
    }
    /// It asks for a kind of PIN of which the terminal has no form.
    fn lacks_pad(self, capabilities: u8) -> bool {
        match self {
            Self::Offline { .. } => capabilities & 0x90 == 0,
            Self::Online => capabilities & 0x40 == 0,
            Self::Fail | Self::Signature | Self::Nothing => false,
        }
    }
}

pub(super) fn begin(run: &mut Run) -> Turn {
    // AIP byte 1 bit 5.
    if !run.aip_has(0x10) {
        return end(run, [0x3F, 0, 0]);
    }
    let list = run.tags.get(Tag(0x8E)).unwrap_or_default();
    let ([x, y, ..], Some(rules)) = (list.as_chunks::<4>().0, list.get(8..).filter(|r| !r.is_empty())) else {
        run.tvr(Tvr::DataMissing);
        return end(run, [0x3F, 0, 0]);
    };
    let (rules, []) = rules.as_chunks::<2>() else { return Err(Why::Malformed(Tag(0x8E))) };
    let search = Search {
        rules: rules.iter().copied().collect(),
        x: u32::from_be_bytes(*x),
        y: u32::from_be_bytes(*y),
        rule: [0; 2],
        last: None,
        without: None,
        left: None,
    };
    next(run, search)
}

fn next(run: &mut Run, mut search: Search) -> Turn {
    while let Some(rule @ [code, condition]) = search.rules.pop_front() {
        search.rule = rule;
        let cvm = Cvm::of(code);
        if !holds(run, &search, condition, cvm) {
            run.log.push(Note::Rule(rule, RuleEnd::Skipped));
            continue;
        }
        let [_, capabilities, _] = run.capabilities;
        let end = match cvm {
            None => {
                run.tvr(Tvr::UnknownCvm);
                RuleEnd::Unknown
            }
            Some(cvm) if !cvm.is_had(capabilities) => {
                if cvm.lacks_pad(capabilities) {
                    run.tvr(Tvr::NoPad);
                }
                RuleEnd::Unsupported
            }
            Some(Cvm::Fail) => {
                search.last = Some(rule);
                run.log.push(Note::Rule(rule, RuleEnd::Failed));
                return none(run, &search);
            }
            Some(Cvm::Nothing) => return done(run, &search, 2),
            Some(Cvm::Signature) => {
                run.cvm.sign = true;
                return done(run, &search, 0);
            }
            Some(Cvm::Online) if search.without.is_none() && run.proceed.online_pin => {
                return Ok(Go::Ask(Step::Pin(PinAsk::Online), Phase::Pin(Ask::Online(search))));
            }
            Some(Cvm::Offline { enciphered, sign }) if search.without.is_none() => {
                let wait = Wait { search, challenge: false, enciphered, sign };
                return Ok(Go::Send(Command::get_data(Tag(0x9F17)), Phase::Cardholder(wait)));
            }
            // No key for it, no pad, or bypassed before.
            Some(Cvm::Online | Cvm::Offline { .. }) => {
                run.tvr(search.without.unwrap_or(Tvr::NoPad));
                search.last = Some(rule);
                RuleEnd::Failed
            }
        };
        run.log.push(Note::Rule(rule, end));
        if code & 0x40 == 0 {
            break;
        }
    }
    none(run, &search)
}

/// A method was carried out in vain: the next rule follows, where this one says so.
fn failed(run: &mut Run, mut search: Search) -> Turn {
    let rule @ [code, _] = search.rule;
    search.last = Some(rule);
    run.log.push(Note::Rule(rule, RuleEnd::Failed));
    if code & 0x40 == 0 { none(run, &search) } else { next(run, search) }
}

/// A rule's condition (Book 3 Annex C3). One that is reserved, or lacks its data, does not hold.
fn holds(run: &Run, search: &Search, condition: u8, cvm: Option<Cvm>) -> bool {
    let cash = run.transaction.kind == 0x01;
    let attended = run.terminal.is_attended();
    let [_, capabilities, _] = run.capabilities;
    let own_currency = run.tags.get(Tag(0x9F42)).is_some_and(|c| Some(c) == run.tags.get(Tag(0x5F2A)));
    let (amount, x, y) = (run.transaction.amount, u64::from(search.x), u64::from(search.y));
    match condition {
        0x00 => true,
        0x01 => cash && !attended,
        0x02 => !cash && !run.cash_back(),
        0x03 => cvm.is_some_and(|cvm| cvm.is_had(capabilities)),
        0x04 => cash && attended,
        0x05 => run.cash_back(),
        0x06 => own_currency && amount < x,
        0x07 => own_currency && amount > x,
        0x08 => own_currency && amount < y,
        0x09 => own_currency && amount > y,
        _ => false,
    }
}

pub(super) fn answer(run: &mut Run, wait: Wait, reply: &Reply) -> Turn {
    let Wait { mut search, challenge, enciphered, sign } = wait;
    if !challenge {
        search.left = match tlv::find(&reply.data, Tag(0x9F17)) {
            Ok(Some(&[left])) if reply.sw == 0x9000 => Some(left),
            Ok(_) | Err(_) => None,
        };
        return ask(run, search, enciphered, sign);
    }
    // Book 2, PIN encipherment: eight bytes, or the method has failed.
    let challenge: Option<[u8; 8]> = reply.data[..].try_into().ok().filter(|_| reply.sw == 0x9000);
    match (challenge, pin_key(run)) {
        (Some(challenge), Some(key)) => {
            let ask = PinAsk::Enciphered { key, challenge, left: search.left };
            Ok(Go::Ask(Step::Pin(ask), Phase::Pin(Ask::Offline { search, enciphered, sign })))
        }
        (_, _) => failed(run, search),
    }
}

/// Asks for an offline PIN, unless the card has no tries left.
fn ask(run: &mut Run, search: Search, enciphered: bool, sign: bool) -> Turn {
    if search.left == Some(0) {
        run.tvr(Tvr::TryLimit);
        return failed(run, search);
    }
    if !enciphered {
        let ask = PinAsk::Plain { left: search.left };
        return Ok(Go::Ask(Step::Pin(ask), Phase::Pin(Ask::Offline { search, enciphered, sign })));
    }
    if pin_key(run).is_none() {
        return failed(run, search);
    }
    let wait = Wait { search, challenge: true, enciphered, sign };
    Ok(Go::Send(Command::get_challenge(), Phase::Cardholder(wait)))
}

/// The key that a PIN is enciphered with, of its own certificate or the card's.
fn pin_key(run: &Run) -> Option<oda::CardKey> {
    let own = if run.own.key.is_none() { run.authenticate(oda::card_key)?.ok() } else { None };
    let card = run.own.key.as_ref().or(own.as_ref());
    run.authenticate(|keys, rid, tags, _| oda::pin_key(keys, rid, tags, card))?.ok()
}

pub(super) fn word(run: &mut Run, ask: Ask, word: PinWord) -> Turn {
    match (word, ask) {
        (PinWord::Cancelled, _) => Err(Why::Cancelled),
        (PinWord::Bypassed, Ask::Online(search) | Ask::Offline { search, .. })
            if run.terminal.data.bypass =>
        {
            without(run, search, Tvr::NoPin)
        }
        (PinWord::NoPad, Ask::Online(search) | Ask::Offline { search, .. }) => {
            without(run, search, Tvr::NoPad)
        }
        (PinWord::Entered, Ask::Online(search)) => {
            run.tvr(Tvr::OnlineCvm);
            run.cvm.online_pin = true;
            done(run, &search, 0)
        }
        (PinWord::Status(sw), Ask::Offline { search, enciphered, sign }) => {
            run.log.push(Note::Status(sw));
            verified(run, search, enciphered, sign, sw)
        }
        (PinWord::Bypassed | PinWord::Entered | PinWord::Status(_), _) => Err(Why::OutOfOrder),
    }
}

/// No PIN comes for this rule and all behind it.
fn without(run: &mut Run, search: Search, bit: Tvr) -> Turn {
    run.tvr(bit);
    failed(run, Search { without: Some(bit), ..search })
}

/// What the card says to VERIFY. Tries that do not get fewer are no tries.
fn verified(run: &mut Run, mut search: Search, enciphered: bool, sign: bool, sw: u16) -> Turn {
    match sw {
        0x9000 => {
            run.cvm.offline_pin = true;
            run.cvm.sign = sign;
            done(run, &search, if sign { 0 } else { 2 })
        }
        0x63C0 | 0x6983 | 0x6984 => {
            run.tvr(Tvr::TryLimit);
            failed(run, search)
        }
        0x63C1..=0x63CF => {
            let left = (sw & 0x0F) as u8;
            if search.left.is_some_and(|before| left >= before) {
                return failed(run, search);
            }
            search.left = Some(left);
            ask(run, search, enciphered, sign)
        }
        sw => Err(Why::Status { ins: 0x20, sw }),
    }
}

fn done(run: &mut Run, search: &Search, result: u8) -> Turn {
    let [code, condition] = search.rule;
    run.log.push(Note::Rule(search.rule, RuleEnd::Done));
    run.tsi(Tsi::Verified);
    end(run, [code, condition, result])
}

/// No method was successful (Book 4, CVM results: the last that was carried out, else 3F).
fn none(run: &mut Run, search: &Search) -> Turn {
    run.tvr(Tvr::NotVerified);
    run.tsi(Tsi::Verified);
    let [code, condition] = search.last.unwrap_or([0x3F, 0]);
    end(run, [code, condition, 1])
}

fn end(run: &mut Run, results: [u8; 3]) -> Turn {
    run.results = results;
    run.log.push(Note::Cvm(results));
    risk::begin(run)
}
