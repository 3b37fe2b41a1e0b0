//! `paytermctl emv`: data objects, certificates and cards, without the terminal; and the lists that it works
//! with.
//!
//! Invariant: no card number, track or name is shown but masked, and no cryptogram of a card that is run.
mod card;
mod cert;
mod decode;
mod lists;
mod log;
mod objects;

use crate::{Failure, args::Global, secret, ui::Ui};
use clap::Subcommand;
use payterm_schema::{Fault, Time, zone::Zone};
use zeroize::Zeroizing;

/// Exit status when a certificate is not good, or a card did not end as it was told.
const NOT_GOOD: u8 = 23;

#[derive(Subcommand)]
pub enum EmvAction {
    Decode(decode::Decode),
    Cert(cert::Cert),
    Card(card::Card),
    Log(log::Log),
    Lists(lists::Lists),
}

pub async fn run(global: &Global, ui: &Ui, action: EmvAction) -> Result<u8, Failure> {
    secret::keep_in()?;
    match action {
        EmvAction::Decode(c) => c.run(ui),
        EmvAction::Cert(c) => c.run(ui),
        EmvAction::Card(c) => c.run(ui),
        EmvAction::Log(c) => c.run(ui),
        EmvAction::Lists(c) => c.run(global, ui).await,
    }
}

/// Bytes of hex digits, from the argument or, when it is `-`, from all of stdin. Space between digits is left
/// out.
fn bytes_of(argument: String, what: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let text = if argument == "-" { secret::all(what)? } else { Zeroizing::new(argument) };
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    let mut high = None;
    for (at, c) in text.char_indices().filter(|(_, c)| !c.is_whitespace()) {
        let Some(digit) = c.to_digit(16).map(|d| d as u8) else {
            return Err(Fault::invalid(what, &format!("character {}: no hexadecimal digit", at + 1)));
        };
        match high.take() {
            None => high = Some(digit << 4),
            Some(high) => bytes.push(high | digit),
        }
    }
    if high.is_some() {
        return Err(Fault::invalid(what, "pairs of hexadecimal digits"));
    }
    if bytes.is_empty() {
        return Err(Fault::invalid(what, "is needed"));
    }
    Ok(bytes)
}

fn now() -> Time {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Time(now.as_millis().try_into().unwrap_or(0))
}
/// Date and time of the zone, YYMMDD and HHMMSS in BCD.
fn local(zone: &Zone, at: Time) -> ([u8; 3], [u8; 3]) {
    let t = zone.local(at);
    let bcd = |n: u8| n / 10 * 16 + n % 10;
    let date = [t.year().rem_euclid(100) as u8, t.month().into(), t.day()];
    (date.map(bcd), [t.hour(), t.minute(), t.second()].map(bcd))
}
