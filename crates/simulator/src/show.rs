//! Output of the program: JSON, one value a line or one list, or text for people.
use payterm_schema::{Time, zone::Zone};
use payterm_simulator::{
    World,
    bank::{chip::Chip, settlement::Settled},
    journal::Seen,
    keys::Components,
    ledger::{Balance, Hold, Posting, Report},
};
use serde::Serialize;
use std::{error::Error, io::Write};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The bank's time: China's.
pub fn time(at: Time) -> String {
    Zone::default().text(at)
}

/// Prints a list: as one JSON value, or each row by `line`.
pub fn rows<W: Write, T: Serialize>(
    out: &mut W,
    as_json: bool,
    all: Vec<T>,
    mut line: impl FnMut(&mut W, T) -> Result<()>,
) -> Result<()> {
    if as_json { json(out, &all) } else { all.into_iter().try_for_each(|row| line(out, row)) }
}

pub fn posting(out: &mut impl Write, p: Posting) -> Result<()> {
    let of = p.account.as_deref().map(|a| {
        format!(
            " {a} batch {:06} stan {:06} rrn {}",
            p.batch.unwrap_or(0),
            p.stan.unwrap_or(0),
            p.rrn.as_deref().unwrap_or("-")
        )
    });
    let undoes = p.undoes.map(|u| format!(" undoes {u}")).unwrap_or_default();
    let at = time(Time(p.at));
    let chip = p.chip.map(|c| {
        let atc = c.atc.map(|n| format!(" ATC {n}")).unwrap_or_default();
        format!(" chip {}{atc}", c.cryptogram.as_deref().unwrap_or("-"))
    });
    let of = format!("{}{undoes}{}", of.unwrap_or_default(), chip.unwrap_or_default());
    writeln!(out, "{:>6}  {at}  {}{of}", p.id, p.kind)?;
    for (account, amount) in p.lines {
        writeln!(out, "        {account:<28} {:>16} {}", decimal(amount, &p.currency), p.currency)?;
    }
    Ok(())
}

pub fn chip(out: &mut impl Write, c: Chip) -> Result<()> {
    let atc = c.atc.map(|n| format!(" ATC {n}")).unwrap_or_default();
    let of = c.kind.as_deref().unwrap_or("-");
    write!(
        out,
        "{}  {:<10} batch {:06} {} stan {:06} {} of {of} {} {}: {}{atc}",
        time(Time(c.at)),
        c.account,
        c.batch,
        c.mti,
        c.stan,
        c.what,
        c.code.as_deref().unwrap_or("--"),
        c.state.as_deref().unwrap_or("-"),
        c.cryptogram.as_deref().unwrap_or("-"),
    )?;
    let results = c.results.map(|r| format!(", scripts {r}")).unwrap_or_default();
    let why = c.why.map(|w| format!(", refused: {w}")).unwrap_or_default();
    writeln!(out, "{results}{why}")?;
    Ok(())
}

pub fn balance(out: &mut impl Write, b: Balance) -> Result<()> {
    writeln!(out, "{:<28} {:>18} {}", b.account, decimal(b.balance, &b.currency), b.currency)?;
    Ok(())
}

pub fn hold(out: &mut impl Write, h: Hold) -> Result<()> {
    let (amount, auth) = (decimal(h.amount, &h.currency), h.auth.as_deref().unwrap_or("-"));
    writeln!(
        out,
        "{:<28} {amount:>16} {} auth {auth} date {} {} batch {:06} stan {:06}",
        h.payer, h.currency, h.date, h.account, h.batch, h.stan
    )?;
    Ok(())
}

pub fn settlement(out: &mut impl Write, s: Settled) -> Result<()> {
    let word =
        |digit| ["", "balanced", "not balanced", "error"].get(usize::from(digit)).copied().unwrap_or("?");
    let state = if s.closed { "closed" } else { "open" };
    let at = time(Time(s.at));
    writeln!(
        out,
        "{at}  {:<10} batch {:06} {state}, domestic {}, foreign {}, {} uploaded, {} certificates",
        s.account,
        s.batch,
        word(s.domestic),
        word(s.foreign),
        s.uploaded,
        s.certificates
    )?;
    if !s.difference.is_empty() {
        writeln!(out, "        {}", s.difference)?;
    }
    Ok(())
}

pub fn status(out: &mut impl Write, (account, at, text): (String, i64, String)) -> Result<()> {
    writeln!(out, "{}  {account:<10} {text}", time(Time(at)))?;
    Ok(())
}

pub fn check(out: &mut impl Write, as_json: bool, report: &Report) -> Result<()> {
    if as_json {
        return json(out, report);
    }
    writeln!(out, "{} postings, {} entries", report.postings, report.entries)?;
    for (currency, sum) in &report.sums {
        writeln!(out, "sum {currency} {}", decimal(*sum, currency))?;
    }
    for b in &report.broken {
        writeln!(out, "BROKEN: {b}")?;
    }
    writeln!(out, "{}", if report.broken.is_empty() { "sound" } else { "NOT SOUND" })?;
    Ok(())
}

/// Shows a message of the log; with `fields` every field of it.
pub fn message(out: &mut impl Write, m: Seen, fields: bool) -> Result<()> {
    let (account, code) = (m.account.as_deref().unwrap_or("-"), m.code.as_deref().unwrap_or("--"));
    let (at, stan) = (time(Time(m.at)), m.stan.unwrap_or(0));
    let mishap = m.mishap.unwrap_or_default();
    writeln!(out, "{at}  {account:<10} {} {stan:06} -> {code} {mishap}", m.mti)?;
    let marked = m.request.iter().map(|f| ('>', f)).chain(m.reply.iter().map(|f| ('<', f)));
    for (mark, f) in marked.filter(|_| fields) {
        writeln!(out, "    {mark} {:<6} {:<26} {}", f.field, f.name, f.value)?;
    }
    Ok(())
}

pub fn components(out: &mut impl Write, as_json: bool, parts: &Components) -> Result<()> {
    if as_json {
        return json(out, parts);
    }
    writeln!(
        out,
        "TEST KEY of account {}; never load a real key here, never use this one for real money",
        parts.account
    )?;
    writeln!(out, "component 1  {}  KCV {}", parts.component_1, parts.kcv_1)?;
    writeln!(out, "component 2  {}  KCV {}", parts.component_2, parts.kcv_2)?;
    writeln!(out, "TMK = 1 xor 2                                  KCV {}", parts.kcv)?;
    Ok(())
}

#[derive(Serialize)]
struct CardShown<'a> {
    name: &'a str,
    pan: String,
    status: payterm_simulator::world::CardStatus,
    currency: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    track2: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<String>,
}

pub fn cards(out: &mut impl Write, world: &World, as_json: bool, reveal: bool) -> Result<()> {
    for c in &world.cards {
        let shown = CardShown {
            name: &c.name,
            pan: if reveal { c.pan().to_owned() } else { c.masked() },
            status: c.status,
            currency: c.currency.code(),
            expiry: reveal.then_some(c.expiry.as_str()),
            track2: reveal.then(|| c.track2()),
            pin: if reveal { c.pin().map(|p| p.reveal().to_owned()) } else { None },
        };
        if as_json {
            json(out, &shown)?;
        } else {
            let secret = shown
                .track2
                .map(|t| format!("  {t}  PIN {}", shown.pin.as_deref().unwrap_or("none")))
                .unwrap_or_default();
            writeln!(
                out,
                "{:<18} {:<20} {} {:?}{secret}",
                shown.name, shown.pan, shown.currency, shown.status
            )?;
        }
    }
    Ok(())
}

pub fn json(out: &mut impl Write, value: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)?;
    Ok(())
}

fn decimal(minor: i64, currency: &str) -> String {
    let digits = currency.parse::<payterm_schema::Currency>().map_or(2, |c| usize::from(c.digits()));
    let text = format!("{:0>width$}", minor.unsigned_abs(), width = digits + 1);
    let (whole, frac) = text.split_at(text.len() - digits);
    format!("{}{whole}{}{frac}", if minor < 0 { "-" } else { "" }, if digits > 0 { "." } else { "" })
}
