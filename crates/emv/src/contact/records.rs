//! Read application data (EMV 4.4 Book 3, functions: read application data; Book 3 §7.2 and §7.5 on data that
//! is missing, doubled or malformed).
use super::{Go, Phase, Run, Turn, initiate::Records, selection::only};
use crate::{
    Command, Hidden, Reply, Tag,
    step::{Bound, CardRead, Note, Step, Why},
    tag::Format,
    terminal,
    tlv::{Tlv, TlvError, read},
};
use zeroize::Zeroizing;

/// Data objects that a card may give in one run. 1,024: ten times what a card with all of them gives.
pub const OBJECTS_MAX: u16 = 1024;

pub(super) struct Wait {
    files: std::vec::IntoIter<Records>,
    file: Records,
    /// Record that is read.
    record: u8,
    seen: Vec<Tag>,
}

pub(super) fn begin(run: &mut Run, afl: Vec<Records>, seen: Vec<Tag>) -> Turn {
    let mut files = afl.into_iter();
    match files.next() {
        Some(file) => Ok(ask(Wait { files, file, record: file.first, seen })),
        None => end(run),
    }
}

fn ask(wait: Wait) -> Go {
    Go::Send(Command::read_record(wait.file.sfi, wait.record), Phase::Records(wait))
}

pub(super) fn answer(run: &mut Run, mut wait: Wait, reply: &Reply) -> Turn {
    if reply.sw != 0x9000 {
        return Err(Why::Status { ins: 0xB2, sw: reply.sw });
    }
    let Records { sfi, first, last, signed } = wait.file;
    let template = match only(&reply.data, Tag(0x70)) {
        Ok(template) => template,
        Err(why) if sfi <= 10 => return Err(why.into()),
        Err(_) => None,
    };
    if sfi <= 10 && template.is_none() {
        return Err(Why::Malformed(Tag(0x70)));
    }
    if wait.record.saturating_sub(first) < signed {
        // Book 3 §10.3: files 11 to 30 are signed with their template, and one without it cannot be signed.
        run.signed = match (run.signed.take(), template) {
            (Some(all), Some(inner)) => Some(joined(&all, if sfi <= 10 { inner } else { &reply.data })),
            (None, _) | (_, None) => None,
        };
    }
    for tlv in template.map(read).into_iter().flatten() {
        run.keep(tlv?, Tag(0x70), &mut wait.seen)?;
    }
    if wait.record < last {
        wait.record += 1;
        return Ok(ask(wait));
    }
    match wait.files.next() {
        Some(file) => Ok(ask(Wait { file, record: file.first, ..wait })),
        None => end(run),
    }
}

/// A Vec that grows by itself leaves its bytes behind.
fn joined(all: &[u8], more: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([all, more].concat())
}

impl Run {
    /// Takes a data object that the card gave in a template: one that belongs there or that nobody knows,
    /// once, in its form. Others are left out: no card sets what is the terminal's or the issuer's.
    pub(super) fn keep(&mut self, tlv: Tlv<'_>, template: Tag, seen: &mut Vec<Tag>) -> Result<(), Why> {
        if self.objects == OBJECTS_MAX {
            return Err(Why::Bound(Bound::Objects));
        }
        self.objects += 1;
        let tag = tlv.tag;
        let row = tag.row();
        let belongs = row.is_none_or(|row| {
            let answer = row.templates.contains(&Tag(0x80)) && ![Tag(0x82), Tag(0x94)].contains(&tag);
            row.templates.contains(&template) && !answer
        });
        if tag.is_constructed() || !belongs {
            self.log.push(Note::Ignored(tag));
            return Ok(());
        }
        if seen.contains(&tag) {
            return Err(TlvError::Double(tag).into());
        }
        seen.push(tag);
        if tlv.value.is_empty() {
            return Ok(());
        }
        if let Some(row) = row
            && !is_formed(tag, row.format, row.len, tlv.value)
        {
            return Err(Why::Malformed(tag));
        }
        Ok(self.tags.put(tag, tlv.value)?)
    }
}

/// Length and digits are right. Texts are nobody's to judge but the reader's; a CVM list without rules is as
/// one that is not there (Book 3 §10.5).
fn is_formed(tag: Tag, format: Format, (least, most): (u8, u8), value: &[u8]) -> bool {
    let fits = (usize::from(least)..=usize::from(most)).contains(&value.len());
    let digit = |b: &u8| b >> 4 < 10 && b & 0x0F < 10;
    match (tag, format) {
        (Tag(0x8E), _) => value.len() >= 8,
        (Tag(0x5F24 | 0x5F25), _) => terminal::day(value).is_some(),
        (Tag(0x5A), _) => fits && pan(value).is_some(),
        (Tag(0x57), _) => fits && track2(value).is_some(),
        (_, Format::N) => fits && value.iter().all(digit),
        (_, Format::Cn | Format::B) => fits,
        (_, Format::An | Format::Ans) => true,
    }
}

/// Hexadecimal digits of a value, its last filler `F`s left out.
fn nibbles(value: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(value.len() * 2));
    for byte in value {
        for nibble in [byte >> 4, byte & 0x0F] {
            text.push(char::from(if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 }));
        }
    }
    let len = text.trim_end_matches('F').len();
    text.truncate(len);
    text
}
/// Digits of a card number: 8 to 19, filled up with F.
fn pan(value: &[u8]) -> Option<Zeroizing<String>> {
    let text = nibbles(value);
    let holds = (8..=19).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    // One filler at most in the last byte, whole bytes of it behind.
    (holds && value.len() >= text.len().div_ceil(2)).then_some(text)
}
/// Number, `=`, and at least expiry and service code.
fn track2(value: &[u8]) -> Option<Zeroizing<String>> {
    let mut text = nibbles(value);
    let at = text.find('D')?;
    let (number, rest) = (text.get(..at)?, text.get(at + 1..)?);
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if !((8..=19).contains(&number.len()) && digits(number) && rest.len() >= 7 && digits(rest)) {
        return None;
    }
    text.replace_range(at..=at, "=");
    Some(text)
}

fn end(run: &mut Run) -> Turn {
    for tag in [0x5A, 0x5F24, 0x8C, 0x8D] {
        if !run.tags.has(Tag(tag)) {
            return Err(Why::Missing(Tag(tag)));
        }
    }
    // Book 3 §10.3: the list may name the AIP and nothing else.
    run.signed = match (run.signed.take(), run.tags.get(Tag(0x9F4A))) {
        (Some(all), Some([0x82])) => Some(joined(&all, &run.aip)),
        (all, None) => all,
        (_, Some(_)) => None,
    };
    let number = |tag, read: fn(&[u8]) -> Option<Zeroizing<String>>| run.tags.get(Tag(tag)).and_then(read);
    let pan = number(0x5A, pan).ok_or(Why::Malformed(Tag(0x5A)))?;
    let track2 = number(0x57, track2);
    // An account that the terminal finds by one number must be the one that the host is told.
    if track2.as_ref().is_some_and(|t| t.split('=').next() != Some(&**pan)) {
        return Err(Why::Malformed(Tag(0x57)));
    }
    let expiry = nibbles(run.tags.get(Tag(0x5F24)).and_then(|e| e.get(..2)).unwrap_or_default());
    let psn = run.tags.get(Tag(0x5F34)).and_then(|v| v.first()).map(|b| (b >> 4) * 10 + (b & 0x0F));
    let (pairs, _) = run.tags.get(Tag(0x5F2D)).unwrap_or_default().as_chunks::<2>();
    let known = |pair: &&[u8; 2]| run.terminal.data.languages.contains(&pair.map(|b| b.to_ascii_lowercase()));
    let read = CardRead {
        pan: Hidden::new(pan),
        psn,
        expiry: Hidden::new(expiry),
        track2: track2.map(Hidden::new),
        language: pairs.iter().find(known).map(|pair| pair.map(|b| b.to_ascii_lowercase())),
        application: run.tags.get(Tag(0x84)).unwrap_or_default().to_vec(),
        name: run.name.clone(),
        table: run.table,
    };
    Ok(Go::Ask(Step::Read(Box::new(read)), Phase::Read))
}
