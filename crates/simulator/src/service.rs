//! The way of a request from its frame to its reply: who sends it, what befalls it, is it signed in, is its
//! MAC right, what does the bank say.
use crate::{
    ask::{Ask, PinGiven, What},
    bank::{self, BankError, Clock},
    journal::{self, Seen},
    keys::{self, Mak, Session},
    mishap::Mishap,
    shared::Shared,
    wire::{Demand, Wire},
    world::Account,
};
use payterm_hosts::Decoded;
use payterm_primitives::{Algorithm, Key, decode_pin_block};
use payterm_schema::{HostAnswer, Kind, download::EmvAsk, host::MacVerdict, secret::SecretBytes};
use std::sync::atomic::Ordering;
use tracing::{info, warn};

/// A request that was read and understood; not yet answered.
pub struct Heard {
    pub mishap: Option<Mishap>,
    decoded: Decoded,
    demand: Demand,
    /// Place of the account in the world.
    account: Option<usize>,
}

/// Next act of the connection.
pub enum Reply {
    Nothing,
    Now(Vec<u8>),
    /// Then the connection is closed.
    Torn(Vec<u8>),
    Late(u32, Vec<u8>),
}

/// Finds the account and what befalls the request.
pub(crate) fn meet(shared: &Shared, wire: &Wire, decoded: Decoded) -> Heard {
    let field = |n| decoded.message.text(n).unwrap_or_default().trim_end();
    let (terminal, merchant) = (field(41), field(42));
    let mut ours = shared
        .world
        .accounts
        .iter()
        .enumerate()
        .filter(|(_, a)| a.profile == wire.name() && a.mid == *merchant)
        .peekable();
    let known_merchant = ours.peek().is_some();
    let account = ours.find(|(_, a)| a.tid == *terminal);
    let demand = match (account, known_merchant) {
        (Some(_), _) => wire.understand(&decoded.message),
        (None, true) => Demand::Refused("97"),
        (None, false) => Demand::Refused("03"),
    };
    let kind = match &demand {
        Demand::Network(k, _) => Some(*k),
        Demand::Download(_) => Some(Kind::Parameters),
        Demand::Batch(_) => Some(Kind::Settlement),
        Demand::Money(ask) => match ask.what {
            What::Do(k) => Some(k),
            What::Query | What::Reversal | What::Notice => None,
        },
        Demand::Refused(_) => None,
    };
    let ordered = shared.mishaps.take(account.map(|(_, a)| a.name.as_str()), kind, decoded.message.mti());
    let mishap = ordered.or_else(|| match (&demand, account) {
        (Demand::Money(ask), Some((_, a))) => {
            let (i, rule) = shared.world.rule(a, ask)?;
            rule.mishap.clone().filter(|_| rule.times.is_none_or(|times| shared.befalls(i, times)))
        }
        (
            Demand::Money(_)
            | Demand::Network(..)
            | Demand::Download(_)
            | Demand::Batch(_)
            | Demand::Refused(_),
            _,
        ) => None,
    });
    if mishap.is_some() {
        shared.counters.mishaps.fetch_add(1, Ordering::Relaxed);
    }
    Heard { mishap, demand, account: account.map(|(i, _)| i), decoded }
}

/// An answer, the working keys that go with it, and whether it may carry a MAC.
struct Decided {
    answer: HostAnswer,
    keys: Option<SecretBytes>,
    mak: Option<Mak>,
}

pub(crate) fn answer(shared: &Shared, wire: &Wire, heard: Heard) -> Result<Reply, BankError> {
    let Heard { mishap, decoded, demand, account } = heard;
    let clock = Clock { now: shared.now(), utc_offset_minutes: wire.utc_offset_minutes() };
    let account = account.and_then(|i| shared.world.accounts.get(i));
    let reversal = matches!(&demand, Demand::Money(a) if a.what == What::Reversal);
    let mut bank = shared.bank();
    let mut seen = Seen {
        id: 0,
        at: clock.now.0,
        account: account.map(|a| a.name.to_string()),
        mti: decoded.message.mti().to_owned(),
        stan: decoded.message.text(11).and_then(|s| s.parse().ok()),
        code: None,
        mishap: mishap.as_ref().map(|m| format!("{m:?}")),
        request: if shared.options.log {
            wire.trace(&decoded.envelope, &decoded.message)
        } else {
            Vec::new()
        },
        reply: Vec::new(),
    };
    let ends = matches!(&demand, Demand::Download(EmvAsk::End { .. }));
    let reply = if mishap == Some(Mishap::DropRequest) || (ends && mishap == Some(Mishap::NoEnd)) {
        Reply::Nothing
    } else {
        let mut d = decide(&mut bank, account, demand, &decoded, wire, mishap.as_ref(), clock)?;
        d.answer.code = shared.world.translate(wire.name(), &d.answer.code, reversal).to_owned();
        if let Some(Mishap::Requirement { digit }) = &mishap {
            d.answer.requirement = *digit;
        }
        match wire.reply(&decoded, &d.answer, d.keys.as_ref(), d.mak.as_ref(), mishap.as_ref()) {
            Ok((bytes, view)) => {
                seen.code = Some(d.answer.code);
                seen.reply = view;
                deliver(mishap, bytes)
            }
            // A request whose echo cannot be packed: said, not answered.
            Err(e) => {
                warn!("no reply could be written: {e}");
                Reply::Nothing
            }
        }
    };
    info!(
        account = seen.account,
        mti = seen.mti,
        stan = seen.stan,
        code = seen.code,
        mishap = seen.mishap,
        "message"
    );
    if shared.options.log {
        journal::write(&bank.db, clock.now, &seen)?;
    }
    Ok(reply)
}

fn deliver(mishap: Option<Mishap>, mut bytes: Vec<u8>) -> Reply {
    match mishap {
        Some(Mishap::DropReply | Mishap::DropRequest) => Reply::Nothing,
        Some(Mishap::DuplicateReply) => {
            bytes.extend_from_within(..);
            Reply::Now(bytes)
        }
        Some(Mishap::CloseMidFrame) => {
            bytes.truncate(bytes.len() / 2);
            Reply::Torn(bytes)
        }
        Some(Mishap::LateReply { ms }) => Reply::Late(ms, bytes),
        Some(
            Mishap::Delay { .. }
            | Mishap::CorruptReply
            | Mishap::BadMac
            | Mishap::NoMac
            | Mishap::Busy
            | Mishap::WrongStan
            | Mishap::Code { .. }
            | Mishap::Requirement { .. }
            | Mishap::NotBalanced
            | Mishap::SettleError
            | Mishap::BadTotals
            | Mishap::EndlessList
            | Mishap::ZeroChecksum
            | Mishap::TruncatedTlv
            | Mishap::NoEntry
            | Mishap::NoEnd,
        )
        | None => Reply::Now(bytes),
    }
}

fn decide(
    bank: &mut bank::Bank,
    account: Option<&Account>,
    demand: Demand,
    decoded: &Decoded,
    wire: &Wire,
    mishap: Option<&Mishap>,
    clock: Clock,
) -> Result<Decided, BankError> {
    let plain = |code: &str| Decided {
        answer: bank::answer(account.map(|a| a.acquirer_id.as_str()), code, clock),
        keys: None,
        mak: None,
    };
    let Some(account) = account else {
        // 03 and 97 carry no MAC: there is no key (host-protocol §5).
        return Ok(plain(match demand {
            Demand::Refused(code) => code,
            Demand::Money(_) | Demand::Network(..) | Demand::Download(_) | Demand::Batch(_) => "97",
        }));
    };
    let forced = match mishap {
        Some(Mishap::Busy) => Some("91"),
        Some(Mishap::Code { code }) => Some(code.0.as_str()),
        Some(_) | None => None,
    };
    let mut ask = match demand {
        Demand::Network(kind, text) => return network(bank, account, kind, text.as_deref(), forced, clock),
        Demand::Download(ask) => {
            return Ok(match forced {
                Some(code) => plain(code),
                None => {
                    let answer = bank.download(account, &ask, mishap, clock);
                    Decided { answer, keys: None, mak: None }
                }
            });
        }
        Demand::Batch(ask) => {
            let settled = match forced {
                Some(code) => plain(code),
                None if bank.session(account)?.is_none() => plain("77"),
                None => Decided { answer: bank.batch(account, &ask, mishap, clock)?, keys: None, mak: None },
            };
            return Ok(settled);
        }
        // The MAC before anything else: a reversal that the line has garbled must not be refused under a good
        // one, which would end it.
        Demand::Refused(code) => {
            let Some(session) = bank.session(account)? else { return Ok(plain(code)) };
            let mak = Mak::new(&session)?;
            let verdict = wire.verify(decoded, &mak).map_err(|e| BankError::Crypto(e.to_string()))?;
            let code = if matches!(verdict, MacVerdict::Wrong | MacVerdict::Absent) { "A0" } else { code };
            return Ok(Decided { mak: Some(mak), ..plain(code) });
        }
        Demand::Money(ask) => ask,
    };
    // 77 carries no MAC either: there is no session.
    let Some(session) = bank.session(account)? else { return Ok(plain("77")) };
    let mak = Mak::new(&session)?;
    let verdict = wire.verify(decoded, &mak).map_err(|e| BankError::Crypto(e.to_string()))?;
    match verdict {
        MacVerdict::Good | MacVerdict::NotUsed => {}
        MacVerdict::Wrong | MacVerdict::Absent => return Ok(Decided { mak: Some(mak), ..plain("A0") }),
    }
    // Busy reaches no issuer: an advice or a reversal may come again as it is, a payment comes with another
    // STAN.
    let this = (account.name.to_string(), ask.batch, ask.stan);
    let payment = matches!(ask.mti.as_str(), "0100" | "0200");
    if mishap == Some(&Mishap::Busy) || (payment && bank.turned_away.contains(&this)) {
        if payment {
            bank.turned_away.insert(this);
        }
        return Ok(Decided { mak: Some(mak), ..plain("91") });
    }
    decipher(&mut ask, &session)?;
    Ok(Decided { answer: bank.handle(account, &ask, forced, clock)?, keys: None, mak: Some(mak) })
}

fn network(
    bank: &mut bank::Bank,
    account: &Account,
    kind: Kind,
    text: Option<&str>,
    forced: Option<&str>,
    clock: Clock,
) -> Result<Decided, BankError> {
    let plain = |code: &str| Decided {
        answer: bank::answer(Some(&account.acquirer_id), code, clock),
        keys: None,
        mak: None,
    };
    Ok(match (kind, forced) {
        (_, Some(code)) => plain(code),
        (Kind::SignIn, None) => {
            let (session, f62) = keys::fresh(account, 16, account.mak_bytes)?;
            Decided { answer: bank.sign_in(account, &session, clock)?, keys: Some(f62), mak: None }
        }
        (Kind::SignOff, None) => Decided { answer: bank.sign_off(account, clock)?, keys: None, mak: None },
        (Kind::Parameters, None) => {
            Decided { answer: bank.parameters(account, clock), keys: None, mak: None }
        }
        (Kind::StatusUpload, None) => {
            Decided { answer: bank.status(account, text.unwrap_or_default(), clock)?, keys: None, mak: None }
        }
        (_, None) => plain("00"),
    })
}

/// Opens the PIN block under the session's PIK.
fn decipher(ask: &mut Ask, session: &Session) -> Result<(), BankError> {
    if let PinGiven::Sealed(block) = &ask.pin {
        let pik =
            Key::new(Algorithm::Des, session.pik.reveal()).map_err(|e| BankError::Crypto(e.to_string()))?;
        let pin =
            block.as_ref().zip(ask.pan.as_ref()).and_then(|(b, pan)| decode_pin_block(&pik, b, pan).ok());
        ask.pin = pin.map_or(PinGiven::Malformed, PinGiven::Clear);
    }
    Ok(())
}
