//! Records of an application, and what they say of the card (EMV 4.4 Book 3, functions: read application
//! data; Book 3 §7.2 and §7.5 on data that is missing, doubled or malformed).
use crate::{
    Command, Hidden, Reply, Tag,
    fci::only,
    run::Run,
    step::{CardRead, Why},
    tag::Format,
    terminal,
    tlv::read,
};
use zeroize::Zeroizing;

/// Bytes of an application file locator. 252: what a template of one answer holds.
pub const AFL_MAX: usize = 252;

/// Some records of a file.
#[derive(Clone, Copy)]
pub(crate) struct Records {
    pub(crate) sfi: u8,
    pub(crate) first: u8,
    pub(crate) last: u8,
    /// So many from the first on are signed.
    pub(crate) signed: u8,
}

/// Reads a locator: entries of four bytes, files 1 to 30, records from 1 in order, not more signed than read.
pub(crate) fn locate(afl: &[u8]) -> Result<Vec<Records>, Why> {
    let wrong = Why::Malformed(Tag(0x94));
    let (entries, rest) = afl.as_chunks::<4>();
    if entries.is_empty() || !rest.is_empty() || afl.len() > AFL_MAX {
        return Err(wrong);
    }
    let entry = |&[file, first, last, signed]: &[u8; 4]| {
        let sfi = file >> 3;
        let count = last.checked_sub(first).ok_or(wrong)?;
        let holds =
            (1..=30).contains(&sfi) && file & 0x07 == 0 && first > 0 && signed.saturating_sub(1) <= count;
        if holds { Ok(Records { sfi, first, last, signed }) } else { Err(wrong) }
    };
    entries.iter().map(entry).collect()
}

/// Records that are read, in the locator's order.
pub(crate) struct Reading {
    files: std::vec::IntoIter<Records>,
    /// File that is read, and its next record.
    now: Option<(Records, u8)>,
    seen: Vec<Tag>,
}

impl Reading {
    /// `seen`: objects that came before, and may not come again.
    pub(crate) fn new(afl: Vec<Records>, seen: Vec<Tag>) -> Self {
        let mut files = afl.into_iter();
        let now = files.next().map(|file| (file, file.first));
        Self { files, now, seen }
    }
    /// READ RECORD of the next one; none: all are read.
    pub(crate) fn command(&self) -> Option<Command> {
        self.now.as_ref().map(|(file, record)| Command::read_record(file.sfi, *record))
    }

    /// Takes the record that was asked for.
    pub(crate) fn take<Own>(&mut self, run: &mut Run<Own>, reply: &Reply) -> Result<(), Why> {
        let (Records { sfi, first, last, signed }, record) = self.now.take().ok_or(Why::OutOfOrder)?;
        if reply.sw != 0x9000 {
            return Err(Why::Status { ins: 0xB2, sw: reply.sw });
        }
        let template = match only(&reply.data, Tag(0x70)) {
            Ok(template) => template,
            Err(why) if sfi <= 10 => return Err(why.into()),
            Err(_) => None,
        };
        if sfi <= 10 && template.is_none() {
            return Err(Why::Malformed(Tag(0x70)));
        }
        if record.saturating_sub(first) < signed {
            // Book 3 §10.3: files 11 to 30 are signed with their template, and one without it cannot be.
            run.signed = match (run.signed.take(), template) {
                (Some(all), Some(inner)) => Some(joined(&all, if sfi <= 10 { inner } else { &reply.data })),
                (None, _) | (_, None) => None,
            };
        }
        for tlv in template.map(read).into_iter().flatten() {
            run.keep(tlv?, Tag(0x70), &mut self.seen)?;
        }
        self.now = match record < last {
            true => Some((Records { sfi, first, last, signed }, record + 1)),
            false => self.files.next().map(|file| (file, file.first)),
        };
        Ok(())
    }
}

impl<Own> Run<Own> {
    /// All that is signed is there. Book 3 §10.3: the list may name the AIP and nothing else.
    pub(crate) fn close_signed(&mut self) {
        self.signed = match (self.signed.take(), self.tags.get(Tag(0x9F4A))) {
            (Some(all), Some([0x82])) => Some(joined(&all, &self.aip)),
            (all, None) => all,
            (_, Some(_)) => None,
        };
    }

    /// What was read of the card: its number from 5A, else from 57, and so its expiry.
    pub(crate) fn card_read(&self) -> Result<CardRead, Why> {
        let track2 = self.tags.get(Tag(0x57)).and_then(track2);
        let of_track = |at| track2.as_ref().and_then(|t| t.split('=').nth(at));
        let pan = match (self.tags.get(Tag(0x5A)), of_track(0)) {
            (Some(number), _) => pan(number).ok_or(Why::Malformed(Tag(0x5A)))?,
            (None, Some(number)) => Zeroizing::new(number.to_owned()),
            (None, None) => return Err(Why::Missing(Tag(0x5A))),
        };
        // An account that the terminal finds by one number must be the one that the host is told.
        if of_track(0).is_some_and(|number| number != &**pan) {
            return Err(Why::Malformed(Tag(0x57)));
        }
        let expiry = match self.tags.get(Tag(0x5F24)).and_then(|e| e.get(..2)) {
            Some(expiry) => nibbles(expiry),
            None => {
                let digits = of_track(1).and_then(|rest| rest.get(..4)).ok_or(Why::Missing(Tag(0x5F24)))?;
                Zeroizing::new(digits.to_owned())
            }
        };
        let psn = self.tags.get(Tag(0x5F34)).and_then(|v| v.first()).map(|b| (b >> 4) * 10 + (b & 0x0F));
        let (pairs, _) = self.tags.get(Tag(0x5F2D)).unwrap_or_default().as_chunks::<2>();
        let known =
            |pair: &&[u8; 2]| self.terminal.data.languages.contains(&pair.map(|b| b.to_ascii_lowercase()));
        Ok(CardRead {
            pan: Hidden::new(pan),
            psn,
            expiry: Hidden::new(expiry),
            track2: track2.clone().map(Hidden::new),
            language: pairs.iter().find(known).map(|pair| pair.map(|b| b.to_ascii_lowercase())),
            application: self.tags.get(Tag(0x84)).unwrap_or_default().to_vec(),
            name: self.name.clone(),
            table: self.table,
        })
    }
}

/// A Vec that grows by itself leaves its bytes behind.
fn joined(all: &[u8], more: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([all, more].concat())
}

/// Length and digits are right. Texts are nobody's to judge but the reader's; a CVM list without rules is as
/// one that is not there (Book 3 §10.5).
pub(crate) fn is_formed(tag: Tag, format: Format, (least, most): (u8, u8), value: &[u8]) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn book_3_10_2_a_locator_has_so_many_bytes_and_no_more() {
        let of = |entries: usize| locate(&[0x08, 1, 2, 2].repeat(entries)).map(|all| all.len());
        assert_eq!(of(AFL_MAX / 4), Ok(AFL_MAX / 4));
        assert_eq!(of(AFL_MAX / 4 + 1), Err(Why::Malformed(Tag(0x94))));
        assert_eq!(of(0), Err(Why::Malformed(Tag(0x94))));
        // All of a file may be signed, not more.
        assert!(locate(&[0x08, 3, 3, 1]).is_ok() && locate(&[0x08, 3, 3, 2]).is_err());
        assert!(locate(&[0x08, 1, 255, 255]).is_ok());
    }
}
