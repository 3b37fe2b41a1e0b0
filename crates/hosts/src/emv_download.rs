//! Downloads of CA keys and applications (host-protocol §3): names of their rows in a profile, and their
//! content as BER-TLV, read strictly: each fault names tag and rule.
use crate::iso8583::Message;
use crate::profile::{EmvForm, Expiry, Profile};
use crate::reply::{answers_row, is_date};
use crate::request::RequestView;
use crate::template::Var;
use payterm_schema::download::{EmvAid, EmvAnswer, EmvAsk, EmvKey, EmvList, EmvName, EmvRow};
use payterm_schema::icc::{IccError, Tag, elements};
use sha1::{Digest, Sha1};

/// Rows of a profile that has downloads: list, entry and end of the keys, then of the applications.
pub(crate) const ROWS: [&str; 6] =
    ["emv_key_list", "emv_key", "emv_key_end", "emv_aid_list", "emv_aid", "emv_aid_end"];

/// Name of the row of a message.
pub(crate) fn row(ask: &EmvAsk) -> &'static str {
    let of = |list: &EmvList, keys, aids| match list {
        EmvList::Keys => keys,
        EmvList::Aids => aids,
    };
    let [key_list, key, key_end, aid_list, aid, aid_end] = ROWS;
    match ask {
        EmvAsk::List { of: list, .. } => of(list, key_list, aid_list),
        EmvAsk::Entry { name } => of(&name.list(), key, aid),
        EmvAsk::End { of: list } => of(list, key_end, aid_end),
    }
}

/// Greatest size of a content. F62 holds 512 bytes; a profile's may hold more.
const BYTES_MAX: usize = 1_024;
/// Bytes of a modulus: 512 to 1984 bits, so that a certificate fits a card's answer.
const MODULUS: std::ops::RangeInclusive<usize> = 64..=248;
/// Bytes of a DDOL: what one GET DATA element of a card could hold.
const DDOL_MAX: usize = 252;

/// Why a content of a download says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DownloadFault {
    #[error("absent, but the answer to a list or an entry is in it")]
    Absent,
    #[error("more than {BYTES_MAX} bytes")]
    Long,
    #[error("its first character is none of those that a list (0, 1, 2) or an entry (0, 1) has")]
    First,
    #[error("it says that more follows, and names no entry")]
    Endless,
    #[error("it says that there is none, and goes on")]
    Behind,
    #[error(transparent)]
    Tlv(IccError),
    #[error("more than {most} entries", most = EmvAsk::LIST_MAX)]
    Many,
    #[error("tag {tag}: {rule}")]
    Tag { tag: Tag, rule: TagRule },
}

/// Rule that an element breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagRule {
    #[error("missing")]
    Missing,
    #[error("twice")]
    Twice,
    #[error("not the element that stands there")]
    Place,
    #[error("the same entry twice")]
    SameEntry,
    #[error("{0} bytes")]
    Size(usize),
    #[error("{0} to {1} bytes")]
    Sizes(usize, usize),
    #[error("digits (BCD)")]
    Digits,
    #[error("at most 99 percent")]
    Percent,
    #[error("0 or 1")]
    Flag,
    #[error("a date in the profile's form")]
    Date,
    #[error("a modulus is odd, and its first bit is 1")]
    Modulus,
    #[error("03 or 010001")]
    Exponent,
    #[error("the checksum is zeros")]
    NoChecksum,
    #[error("not the SHA-1 of RID, index, modulus and exponent")]
    Checksum,
    #[error("the target is above the greatest percentage")]
    Target,
    #[error("a list of tags and lengths, with the unpredictable number (9F37) in it")]
    Ddol,
}

const AID: u32 = 0x9F06;
const INDEX: u32 = 0x9F22;
const CARD_VERSION: u32 = 0x9F08;
const VERSION: u32 = 0x9F09;
const FLOOR: u32 = 0x9F1B;
const CASH_LIMIT: u32 = 0x9F7B;
const PARTIAL: u32 = 0xDF01;
const MODULUS_TAG: u32 = 0xDF02;
const CHECKSUM: u32 = 0xDF03;
const EXPONENT: u32 = 0xDF04;
const EXPIRY: u32 = 0xDF05;
const DEFAULT: u32 = 0xDF11;
const ONLINE: u32 = 0xDF12;
const DENIAL: u32 = 0xDF13;
const DDOL: u32 = 0xDF14;
const THRESHOLD: u32 = 0xDF15;
const MOST: u32 = 0xDF16;
const TARGET: u32 = 0xDF17;
const ONLINE_PIN: u32 = 0xDF18;
const TAP_FLOOR: u32 = 0xDF19;
const TAP_LIMIT: u32 = 0xDF20;
const TAP_NO_CVM: u32 = 0xDF21;

fn named(number: u32) -> Tag {
    let Some(tag) = Tag::new(number) else { unreachable!("{number:X} is a tag") };
    tag
}
fn broken<T>(number: u32, rule: TagRule) -> Result<T, DownloadFault> {
    Err(DownloadFault::Tag { tag: named(number), rule })
}

/// Content of a reply, where it is one to a list or an entry.
pub(crate) fn read(profile: &Profile, m: &Message) -> Option<Result<EmvAnswer, DownloadFault>> {
    let form = profile.emv?;
    let asked = ROWS.into_iter().find(|row| answers_row(profile, row, m, false))?;
    let [key_list, key, _, aid_list, aid, _] = ROWS;
    let read = |parse: &dyn Fn(&[u8]) -> Result<EmvAnswer, DownloadFault>| {
        let value = m.get(profile.reply.parameters).ok_or(DownloadFault::Absent)?;
        if value.len() > BYTES_MAX { Err(DownloadFault::Long) } else { parse(value) }
    };
    match asked {
        _ if asked == key_list => Some(read(&|value| page(form, EmvList::Keys, value))),
        _ if asked == aid_list => Some(read(&|value| page(form, EmvList::Aids, value))),
        _ if asked == key => {
            Some(read(&|value| entry(value, |body| Ok(EmvAnswer::Key(key_of(form, body)?)))))
        }
        _ if asked == aid => {
            Some(read(&|value| entry(value, |body| Ok(EmvAnswer::Aid(aid_of(form, body)?)))))
        }
        // The end: its code is its answer.
        _ => None,
    }
}

fn page(form: EmvForm, of: EmvList, value: &[u8]) -> Result<EmvAnswer, DownloadFault> {
    let (more, body) = match value {
        [b'0'] => return Ok(EmvAnswer::Page { more: false, rows: Vec::new() }),
        [b'0', ..] => return Err(DownloadFault::Behind),
        [b'1', body @ ..] => (false, body),
        [b'2', body @ ..] => (true, body),
        [] | [_, ..] => return Err(DownloadFault::First),
    };
    let mut rows: Vec<EmvRow> = Vec::new();
    let mut all = elements(body).map_err(DownloadFault::Tlv)?.into_iter().peekable();
    while let Some((first, name)) = all.next() {
        if first != named(AID) {
            return Err(DownloadFault::Tag { tag: first, rule: TagRule::Place });
        }
        let mut own = vec![(first, name)];
        while let Some(next) = all.next_if(|(t, _)| *t != first) {
            own.push(next);
        }
        let own = Elements::new(own)?;
        let row = match of {
            EmvList::Keys => EmvRow {
                name: EmvName::Key { rid: own.fixed(AID)?, index: own.byte(INDEX)? },
                expiry: own.get(EXPIRY).map(|day| date(form, day)).transpose()?,
            },
            EmvList::Aids => EmvRow { name: EmvName::Aid { aid: own.aid()? }, expiry: None },
        };
        if rows.iter().any(|other| other.name == row.name) {
            return broken(AID, TagRule::SameEntry);
        }
        if rows.len() == usize::from(EmvAsk::LIST_MAX) {
            return Err(DownloadFault::Many);
        }
        rows.push(row);
    }
    if rows.is_empty() { Err(DownloadFault::Endless) } else { Ok(EmvAnswer::Page { more, rows }) }
}

fn entry(
    value: &[u8],
    parse: impl FnOnce(&[u8]) -> Result<EmvAnswer, DownloadFault>,
) -> Result<EmvAnswer, DownloadFault> {
    match value {
        [b'0'] => Ok(EmvAnswer::NoEntry),
        [b'0', ..] => Err(DownloadFault::Behind),
        [b'1', body @ ..] => parse(body),
        [] | [_, ..] => Err(DownloadFault::First),
    }
}

fn key_of(form: EmvForm, body: &[u8]) -> Result<EmvKey, DownloadFault> {
    let own = Elements::parse(body)?;
    let key = EmvKey {
        rid: own.fixed(AID)?,
        index: own.byte(INDEX)?,
        expiry: date(form, own.must(EXPIRY)?)?,
        modulus: own.must(MODULUS_TAG)?.to_vec(),
        exponent: own.must(EXPONENT)?.to_vec(),
        checksum: own.fixed(CHECKSUM)?,
    };
    if !MODULUS.contains(&key.modulus.len()) {
        return broken(MODULUS_TAG, TagRule::Sizes(*MODULUS.start(), *MODULUS.end()));
    }
    if key.modulus.first().is_none_or(|b| b & 0x80 == 0) || key.modulus.last().is_none_or(|b| b & 1 == 0) {
        return broken(MODULUS_TAG, TagRule::Modulus);
    }
    if !matches!(key.exponent.as_slice(), [3] | [1, 0, 1]) {
        return broken(EXPONENT, TagRule::Exponent);
    }
    if key.checksum == [0; 20] {
        return broken(CHECKSUM, TagRule::NoChecksum);
    }
    if key.checksum != checksum(&key) {
        return broken(CHECKSUM, TagRule::Checksum);
    }
    Ok(key)
}

fn checksum(key: &EmvKey) -> [u8; 20] {
    let parts = [&key.rid[..], &[key.index], &key.modulus, &key.exponent];
    parts.iter().fold(Sha1::new(), |hash, part| hash.chain_update(part)).finalize().into()
}

fn aid_of(form: EmvForm, body: &[u8]) -> Result<EmvAid, DownloadFault> {
    let own = Elements::parse(body)?;
    let version = match (own.get(CARD_VERSION), own.get(VERSION)) {
        (Some(_), Some(_)) => return broken(VERSION, TagRule::Twice),
        (Some(_), None) => CARD_VERSION,
        (None, _) => VERSION,
    };
    let word = |number| own.fixed(number).map(u32::from_be_bytes);
    let aid = EmvAid {
        aid: own.aid()?,
        partial: own.flag(PARTIAL)? == form.partial,
        version: own.fixed(version)?,
        default: own.fixed(DEFAULT)?,
        online: own.fixed(ONLINE)?,
        denial: own.fixed(DENIAL)?,
        floor: word(FLOOR)?,
        threshold: word(THRESHOLD)?,
        most: own.percent(MOST)?,
        target: own.percent(TARGET)?,
        ddol: own.must(DDOL)?.to_vec(),
        online_pin: own.flag(ONLINE_PIN)? == 1,
        cash_limit: own.amount(CASH_LIMIT)?,
        tap_floor: own.amount(TAP_FLOOR)?,
        tap_limit: own.amount(TAP_LIMIT)?,
        tap_no_cvm: own.amount(TAP_NO_CVM)?,
    };
    if aid.target > aid.most {
        return broken(TARGET, TagRule::Target);
    }
    if !is_ddol(&aid.ddol) {
        return broken(DDOL, TagRule::Ddol);
    }
    Ok(aid)
}

/// Tags of one to three bytes with a length of one byte each; the unpredictable number is among them (EMV
/// Book 2, dynamic data authentication).
fn is_ddol(mut list: &[u8]) -> bool {
    let mut unpredictable = false;
    if list.len() > DDOL_MAX {
        return false;
    }
    while let [first, rest @ ..] = list {
        let more = if first & 0x1F == 0x1F {
            rest.iter().position(|b| b & 0x80 == 0).map(|at| at + 1)
        } else {
            Some(0)
        };
        let Some((tag, after)) = more.filter(|n| *n <= 2).and_then(|n| rest.split_at_checked(n)) else {
            return false;
        };
        let [_, after @ ..] = after else { return false };
        unpredictable |= (*first, tag) == (0x9F, &[0x37]);
        list = after;
    }
    unpredictable
}

fn date(form: EmvForm, day: &[u8]) -> Result<String, DownloadFault> {
    let text = match (form.expiry, day.len()) {
        (Expiry::Ascii, 8) => String::from_utf8_lossy(day).into_owned(),
        (Expiry::Bcd, 4) => hex::encode(day),
        (Expiry::ShortBcd, 3) => format!("20{}", hex::encode(day)),
        (Expiry::Ascii | Expiry::Bcd | Expiry::ShortBcd, _) => return broken(EXPIRY, TagRule::Date),
    };
    let good = text.bytes().all(|b| b.is_ascii_digit()) && text.get(4..).is_some_and(is_date);
    if good { Ok(text) } else { broken(EXPIRY, TagRule::Date) }
}

/// Elements of one entry, each tag once; those that are none of ours are left out.
struct Elements(Vec<(Tag, Vec<u8>)>);

impl Elements {
    fn parse(body: &[u8]) -> Result<Self, DownloadFault> {
        Self::new(elements(body).map_err(DownloadFault::Tlv)?)
    }
    fn new(all: Vec<(Tag, Vec<u8>)>) -> Result<Self, DownloadFault> {
        let twice = all.iter().enumerate().find(|(i, (t, _))| all.iter().take(*i).any(|(o, _)| o == t));
        match twice {
            Some((_, (tag, _))) => Err(DownloadFault::Tag { tag: *tag, rule: TagRule::Twice }),
            None => Ok(Self(all)),
        }
    }
    fn get(&self, number: u32) -> Option<&[u8]> {
        let wanted = named(number);
        self.0.iter().find(|(t, _)| *t == wanted).map(|(_, value)| value.as_slice())
    }
    fn must(&self, number: u32) -> Result<&[u8], DownloadFault> {
        self.get(number).map_or_else(|| broken(number, TagRule::Missing), Ok)
    }
    fn fixed<const N: usize>(&self, number: u32) -> Result<[u8; N], DownloadFault> {
        self.must(number)?.try_into().or_else(|_| broken(number, TagRule::Size(N)))
    }
    fn byte(&self, number: u32) -> Result<u8, DownloadFault> {
        self.fixed(number).map(|[byte]| byte)
    }
    fn aid(&self) -> Result<Vec<u8>, DownloadFault> {
        let aid = self.must(AID)?;
        if (5..=16).contains(&aid.len()) { Ok(aid.to_vec()) } else { broken(AID, TagRule::Sizes(5, 16)) }
    }
    fn flag(&self, number: u32) -> Result<u8, DownloadFault> {
        self.byte(number).and_then(|b| if b <= 1 { Ok(b) } else { broken(number, TagRule::Flag) })
    }
    /// Two digits.
    fn percent(&self, number: u32) -> Result<u8, DownloadFault> {
        let digits = hex::encode(self.fixed::<1>(number)?);
        let percent = digits.parse().or_else(|_| broken(number, TagRule::Digits))?;
        if percent <= 99 { Ok(percent) } else { broken(number, TagRule::Percent) }
    }
    /// Twelve digits, minor units; none where the entry has no such limit.
    fn amount(&self, number: u32) -> Result<Option<u64>, DownloadFault> {
        if self.get(number).is_none() {
            return Ok(None);
        }
        let digits = hex::encode(self.fixed::<6>(number)?);
        digits.parse().map(Some).or_else(|_| broken(number, TagRule::Digits))
    }
}

fn put(number: u32, value: &[u8], out: &mut Vec<u8>) {
    out.extend(number.to_be_bytes().into_iter().skip_while(|b| *b == 0));
    match value.len() {
        n @ 0..0x80 => out.push(n as u8),
        n @ 0x80..0x100 => out.extend([0x81, n as u8]),
        n => out.extend([0x82, (n >> 8) as u8, n as u8]),
    }
    out.extend_from_slice(value);
}

/// Appends the name of an entry.
pub(crate) fn put_name(name: &EmvName, out: &mut Vec<u8>) {
    match name {
        EmvName::Key { rid, index } => {
            put(AID, rid, out);
            put(INDEX, &[*index], out);
        }
        EmvName::Aid { aid } => put(AID, aid, out),
    }
}

/// The other side: what a request asks for.
pub(crate) fn asked(row: &str, view: &RequestView) -> Option<EmvAsk> {
    let [key_list, key, key_end, aid_list, aid, aid_end] = ROWS;
    let received = || view.text(Var::Received)?.parse().ok();
    let own = || Elements::parse(view.bytes(Var::EmvName)?).ok();
    Some(match row {
        _ if row == key_list => EmvAsk::List { of: EmvList::Keys, received: received()? },
        _ if row == aid_list => EmvAsk::List { of: EmvList::Aids, received: received()? },
        _ if row == key => {
            let own = own()?;
            EmvAsk::Entry { name: EmvName::Key { rid: own.fixed(AID).ok()?, index: own.byte(INDEX).ok()? } }
        }
        _ if row == aid => EmvAsk::Entry { name: EmvName::Aid { aid: own()?.aid().ok()? } },
        _ if row == key_end => EmvAsk::End { of: EmvList::Keys },
        _ if row == aid_end => EmvAsk::End { of: EmvList::Aids },
        _ => return None,
    })
}

/// The other side: the content of an answer.
pub(crate) fn answer(form: EmvForm, answer: &EmvAnswer) -> Vec<u8> {
    let mut out = Vec::new();
    match answer {
        EmvAnswer::NoEntry => out.push(b'0'),
        EmvAnswer::Page { rows, .. } if rows.is_empty() => out.push(b'0'),
        EmvAnswer::Page { more, rows } => {
            out.push(if *more { b'2' } else { b'1' });
            for row in rows {
                put_name(&row.name, &mut out);
                if let Some(day) = &row.expiry {
                    put(EXPIRY, &day_bytes(form, day), &mut out);
                }
            }
        }
        EmvAnswer::Key(key) => {
            out.push(b'1');
            put_name(&key.name(), &mut out);
            put(EXPIRY, &day_bytes(form, &key.expiry), &mut out);
            put(MODULUS_TAG, &key.modulus, &mut out);
            put(EXPONENT, &key.exponent, &mut out);
            put(CHECKSUM, &key.checksum, &mut out);
        }
        EmvAnswer::Aid(aid) => {
            out.push(b'1');
            put_aid(form, aid, &mut out);
        }
    }
    out
}

fn put_aid(form: EmvForm, aid: &EmvAid, out: &mut Vec<u8>) {
    let partial = if aid.partial { form.partial } else { 1 - form.partial };
    let percent = |n: u8| [n / 10 * 16 + n % 10];
    put(AID, &aid.aid, out);
    put(PARTIAL, &[partial], out);
    put(CARD_VERSION, &aid.version, out);
    put(DEFAULT, &aid.default, out);
    put(ONLINE, &aid.online, out);
    put(DENIAL, &aid.denial, out);
    put(FLOOR, &aid.floor.to_be_bytes(), out);
    put(THRESHOLD, &aid.threshold.to_be_bytes(), out);
    put(MOST, &percent(aid.most), out);
    put(TARGET, &percent(aid.target), out);
    put(DDOL, &aid.ddol, out);
    put(ONLINE_PIN, &[aid.online_pin.into()], out);
    let limits = [
        (CASH_LIMIT, aid.cash_limit),
        (TAP_FLOOR, aid.tap_floor),
        (TAP_LIMIT, aid.tap_limit),
        (TAP_NO_CVM, aid.tap_no_cvm),
    ];
    for (number, limit) in limits {
        if let Some(minor) = limit {
            put(number, &bcd(&format!("{minor:012}")), out);
        }
    }
}

fn day_bytes(form: EmvForm, day: &str) -> Vec<u8> {
    match form.expiry {
        Expiry::Ascii => day.as_bytes().to_vec(),
        Expiry::Bcd => bcd(day),
        Expiry::ShortBcd => bcd(day.get(2..).unwrap_or_default()),
    }
}

/// Digits two a byte.
fn bcd(digits: &str) -> Vec<u8> {
    digits.as_bytes().chunks(2).map(|pair| pair.iter().fold(0, |n, d| n << 4 | (d & 0x0F))).collect()
}
