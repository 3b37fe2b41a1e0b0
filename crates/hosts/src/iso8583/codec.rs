//! Packing and unpacking by the table.
use super::message::{Bits, bit};
use super::{
    Align, Bitmap, Class, Digits, FIELDS, Format, IsoError, MAX_MESSAGE, Message, Part, Prefix, Rule, fault,
};
use std::ops::Range;

/// An unpacked message and where its last field stood (the MAC covers what is before it).
#[derive(Debug)]
pub struct Unpacked {
    pub message: Message,
    /// Start of the last field's value in the packed bytes.
    pub last: usize,
    /// Fields that are not of the table's form, in order: they are not in the message.
    pub left_out: Vec<LeftOut>,
    /// Fault after which nothing more could be read, and where its bytes begin.
    pub broken: Option<(IsoError, usize)>,
}
impl Unpacked {
    /// The first fault.
    pub fn fault(&self) -> Option<IsoError> {
        let left_out = self.left_out.first().map(|l| IsoError { part: Part::Field(l.field), rule: l.rule });
        left_out.or(self.broken.as_ref().map(|(e, _)| *e))
    }
}

/// A field that is not of the table's form, but whose length is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    pub field: u8,
    pub rule: Rule,
    /// Its value in the packed bytes.
    pub at: Range<usize>,
}

/// Length indicator and class (characters are bytes) of a field of variable length in ISO 8583:1987: a field
/// that a table does not list can be passed over.
const fn of_the_standard(field: u8) -> Option<(Prefix, Class)> {
    match field {
        2 | 32 | 33 => Some((Prefix::Ll, Class::N)),
        35 => Some((Prefix::Ll, Class::Z)),
        36 => Some((Prefix::Lll, Class::Z)),
        34 | 44 | 45 => Some((Prefix::Ll, Class::B)),
        46..=48 | 54..=63 => Some((Prefix::Lll, Class::B)),
        _ => None,
    }
}

/// Two ASCII characters of a packed byte; the bit `BAD`, which no ASCII character has, marks a nibble that is
/// no digit. Z allows D as `=`.
const BAD: u8 = 0x80;
const fn pairs(track: bool) -> [[u8; 2]; 256] {
    const fn nibble(n: u8, track: bool) -> u8 {
        match n {
            0..=9 => b'0' + n,
            0xD if track => b'=',
            _ => BAD,
        }
    }
    let mut table = [[BAD; 2]; 256];
    let mut i = 0;
    while i < 256 {
        let (a, b) = (nibble((i >> 4) as u8, track), nibble((i & 15) as u8, track));
        table[i] = if a == BAD || b == BAD { [BAD; 2] } else { [a, b] };
        i += 1;
    }
    table
}
static DIGIT_PAIRS: [[u8; 2]; 256] = pairs(false);
static TRACK_PAIRS: [[u8; 2]; 256] = pairs(true);

/// Nibble of an ASCII character; 0xFF for none. `=` and `D` are the track separator.
const fn nibbles(track: bool) -> [u8; 256] {
    let mut table = [0xFF; 256];
    let mut i = 0;
    while i < 10 {
        table[b'0' as usize + i] = i as u8;
        i += 1;
    }
    if track {
        table[b'=' as usize] = 0xD;
        table[b'D' as usize] = 0xD;
    }
    table
}
static DIGIT_NIBBLES: [u8; 256] = nibbles(false);
static TRACK_NIBBLES: [u8; 256] = nibbles(true);

const ALNUM: u8 = 1;
const PRINT: u8 = 2;
const GBK: u8 = 4;
const fn kinds() -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        if b.is_ascii_alphanumeric() || b == b' ' {
            table[i] |= ALNUM;
        }
        if b >= 0x20 && b <= 0x7E {
            table[i] |= PRINT | GBK;
        }
        if b >= 0x80 {
            table[i] |= GBK;
        }
        i += 1;
    }
    table
}
static KINDS: [u8; 256] = kinds();

fn check_text(class: Class, value: &[u8]) -> Result<(), Rule> {
    let (mask, rule) = match class {
        Class::An => (ALNUM, Rule::NotAlnum),
        Class::Ans => (PRINT, Rule::NotText),
        Class::Gbk => (GBK, Rule::NotText),
        Class::B | Class::N | Class::Z => return Ok(()),
    };
    if value.iter().fold(mask, |all, b| all & KINDS[usize::from(*b)]) == mask { Ok(()) } else { Err(rule) }
}

impl super::Table {
    /// Appends the packed message to `out`. Fixed AN, ANS and GBK fields are filled up with spaces at the
    /// right; everything else must have its exact form.
    pub fn pack(&self, message: &Message, out: &mut Vec<u8>) -> Result<(), IsoError> {
        let start = out.len();
        // An upper bound: values, prefixes, padding, MTI and bitmap.
        out.reserve(message.arena.len() + 64 + 4 * message.present.count_ones() as usize);
        let mti = message.mti_digits();
        match self.mti {
            Digits::Ascii => out.extend_from_slice(&mti),
            Digits::Bcd => out.extend_from_slice(&[mti[0] << 4 | mti[1] & 15, mti[2] << 4 | mti[3] & 15]),
        }
        match self.bitmap {
            Bitmap::Binary => out.extend_from_slice(&message.present.to_be_bytes()),
            Bitmap::Hex => out.extend_from_slice(hex::encode_upper(message.present.to_be_bytes()).as_bytes()),
        }
        for field in Bits(message.present) {
            let part = Part::Field(field);
            let Some(format) = self.formats[usize::from(field)] else { return fault(part, Rule::Unknown) };
            let (a, b) = message.at[usize::from(field)];
            let value = message.arena.get(usize::from(a)..usize::from(b)).unwrap_or_default();
            self.pack_field(format, value, out).map_err(|rule| IsoError { part, rule })?;
        }
        if out.len() - start > MAX_MESSAGE {
            return fault(Part::Message, Rule::TooLong { max: MAX_MESSAGE, found: out.len() - start });
        }
        Ok(())
    }

    #[inline]
    fn pack_field(&self, format: Format, value: &[u8], out: &mut Vec<u8>) -> Result<(), Rule> {
        let (max, len) = (usize::from(format.max), value.len());
        let mut fill = 0;
        match format.prefix {
            Prefix::Fixed if len != max => match format.class {
                Class::An | Class::Ans | Class::Gbk if len < max => fill = max - len,
                Class::N | Class::Z | Class::An | Class::Ans | Class::Gbk | Class::B => {
                    return Err(Rule::WrongLength { want: max, found: len });
                }
            },
            Prefix::Ll | Prefix::Lll if len > max => return Err(Rule::TooLong { max, found: len }),
            Prefix::Fixed | Prefix::Ll | Prefix::Lll => {}
        }
        // The table's own check holds `max` to 99 or 999.
        let (hundreds, tens, ones) = ((len / 100) as u8, (len / 10 % 10) as u8, (len % 10) as u8);
        match (format.prefix, self.lengths) {
            (Prefix::Fixed, _) => {}
            (Prefix::Ll, Digits::Bcd) => out.push(tens << 4 | ones),
            (Prefix::Lll, Digits::Bcd) => out.extend_from_slice(&[hundreds, tens << 4 | ones]),
            (Prefix::Ll, Digits::Ascii) => out.extend_from_slice(&[b'0' + tens, b'0' + ones]),
            (Prefix::Lll, Digits::Ascii) => {
                out.extend_from_slice(&[b'0' + hundreds, b'0' + tens, b'0' + ones])
            }
        }
        let (table, rule) = match format.class {
            Class::N => (&DIGIT_NIBBLES, Rule::NotDigit),
            Class::Z => (&TRACK_NIBBLES, Rule::NotTrack),
            Class::An | Class::Ans | Class::Gbk | Class::B => {
                check_text(format.class, value)?;
                out.extend_from_slice(value);
                out.extend(std::iter::repeat_n(b' ', fill));
                return Ok(());
            }
        };
        let mut bad = 0;
        match self.numeric {
            Digits::Ascii => {
                bad = value.iter().fold(0, |bad, c| bad | table[usize::from(*c)]);
                out.extend(value.iter().map(|c| if *c == b'D' { b'=' } else { *c }));
            }
            Digits::Bcd => {
                let mut nibble = |c: u8| {
                    let n = table[usize::from(c)];
                    bad |= n;
                    n & 15
                };
                let mut rest = value;
                if let (Align::Right, 1, [first, more @ ..]) = (format.align, len % 2, value) {
                    out.push(nibble(*first));
                    rest = more;
                }
                let (whole, odd) = rest.as_chunks::<2>();
                out.extend(whole.iter().map(|[a, b]| nibble(*a) << 4 | nibble(*b)));
                if let [last] = odd {
                    out.push(nibble(*last) << 4);
                }
            }
        }
        if bad & 0xF0 == 0 { Ok(()) } else { Err(rule) }
    }

    /// Unpacks a whole message (MTI to the last field), of which all is as the table says; bytes after it are
    /// refused.
    pub fn unpack(&self, bytes: &[u8]) -> Result<Unpacked, IsoError> {
        let unpacked = self.take_apart(bytes)?;
        unpacked.fault().map_or(Ok(unpacked), Err)
    }

    /// Unpacks what can be: a field that is not of the table's form, or that the table does not have, is left
    /// out where its length is known.
    pub fn take_apart(&self, bytes: &[u8]) -> Result<Unpacked, IsoError> {
        if bytes.len() > MAX_MESSAGE {
            return fault(Part::Message, Rule::TooLong { max: MAX_MESSAGE, found: bytes.len() });
        }
        let (mti, mut pos) = self.unpack_mti(bytes)?;
        let (present, read) = self.unpack_bitmap(bytes.get(pos..).unwrap_or_default())?;
        pos += read;
        // A packed byte becomes two characters at most.
        let mut message = Message::with_room(mti, 0);
        message.arena = vec![0; 2 * bytes.len()];
        let (mut last, mut used) = (pos, 0);
        let (mut left_out, mut broken) = (Vec::new(), None);
        for field in Bits(present) {
            let format = self.formats[usize::from(field)];
            let (at, length) = match self.extent(field, format, bytes, pos) {
                Ok(found) => found,
                Err(rule) => {
                    broken = Some((IsoError { part: Part::Field(field), rule }, pos));
                    break;
                }
            };
            (last, pos) = (at.start, at.end);
            let room = message.arena.get_mut(used..used + length).unwrap_or_default();
            let raw = bytes.get(at.clone()).unwrap_or_default();
            match format.map_or(Err(Rule::Unknown), |f| self.content(f, length, raw, room)) {
                Ok(()) => {
                    message.at[usize::from(field)] = (used as u16, (used + length) as u16);
                    message.present |= bit(field);
                    used += length;
                }
                Err(rule) => {
                    room.fill(0);
                    left_out.push(LeftOut { field, rule, at });
                }
            }
        }
        if broken.is_none() && pos != bytes.len() {
            let rule = Rule::Trailing(bytes.len() - pos);
            broken = Some((IsoError { part: Part::Message, rule }, pos));
        }
        message.arena.truncate(used);
        Ok(Unpacked { message, last, left_out, broken })
    }

    fn unpack_mti(&self, bytes: &[u8]) -> Result<([u8; 4], usize), IsoError> {
        let need = match self.mti {
            Digits::Bcd => 2,
            Digits::Ascii => 4,
        };
        let mti = match (self.mti, bytes) {
            (Digits::Bcd, [a, b, ..]) => [b'0' + (a >> 4), b'0' + (a & 15), b'0' + (b >> 4), b'0' + (b & 15)],
            (Digits::Ascii, [a, b, c, d, ..]) => [*a, *b, *c, *d],
            (Digits::Bcd | Digits::Ascii, _) => {
                return fault(Part::Mti, Rule::Truncated { need, have: bytes.len() });
            }
        };
        if mti.iter().all(u8::is_ascii_digit) { Ok((mti, need)) } else { fault(Part::Mti, Rule::NotDigit) }
    }

    fn unpack_bitmap(&self, bytes: &[u8]) -> Result<(u64, usize), IsoError> {
        let need = match self.bitmap {
            Bitmap::Binary => 8,
            Bitmap::Hex => 16,
        };
        let Some(raw) = bytes.get(..need) else {
            return fault(Part::Bitmap, Rule::Truncated { need, have: bytes.len() });
        };
        let mut map = [0; 8];
        match self.bitmap {
            Bitmap::Binary => map.copy_from_slice(raw),
            Bitmap::Hex => {
                if raw.iter().any(u8::is_ascii_lowercase) || hex::decode_to_slice(raw, &mut map).is_err() {
                    return fault(Part::Bitmap, Rule::NotHex);
                }
            }
        }
        let present = u64::from_be_bytes(map);
        if present & bit(1) != 0 { fault(Part::Bitmap, Rule::SecondBitmap) } else { Ok((present, need)) }
    }

    /// Where the value of a field stands, and its decoded length.
    #[inline]
    fn extent(
        &self,
        field: u8,
        format: Option<Format>,
        bytes: &[u8],
        pos: usize,
    ) -> Result<(Range<usize>, usize), Rule> {
        let (prefix, class) = match format {
            Some(f) => (f.prefix, f.class),
            None => of_the_standard(field).ok_or(Rule::Unknown)?,
        };
        let max = format.map_or(usize::MAX, |f| usize::from(f.max));
        let (len, pos) = match prefix {
            Prefix::Fixed => (max, pos),
            Prefix::Ll => self.length(bytes, pos, 2)?,
            Prefix::Lll => self.length(bytes, pos, 3)?,
        };
        let packed = matches!(class, Class::N | Class::Z) && self.numeric == Digits::Bcd;
        let size = if packed { len.div_ceil(2) } else { len };
        let have = bytes.len().saturating_sub(pos);
        if size <= have {
            Ok((pos..pos + size, len))
        } else if len > max {
            Err(Rule::TooLong { max, found: len })
        } else {
            Err(Rule::Truncated { need: size, have })
        }
    }

    /// Writes the decoded value to `out`, which is as long as that.
    #[inline]
    fn content(&self, format: Format, len: usize, raw: &[u8], out: &mut [u8]) -> Result<(), Rule> {
        let max = usize::from(format.max);
        if len > max {
            return Err(Rule::TooLong { max, found: len });
        }
        let packed = matches!(format.class, Class::N | Class::Z) && self.numeric == Digits::Bcd;
        let (pairs, nibbles, rule) = match format.class {
            Class::N => (&DIGIT_PAIRS, &DIGIT_NIBBLES, Rule::NotDigit),
            Class::Z => (&TRACK_PAIRS, &TRACK_NIBBLES, Rule::NotTrack),
            Class::An | Class::Ans | Class::Gbk | Class::B => {
                out.copy_from_slice(raw);
                if format.for_people {
                    out.iter_mut().filter(|b| b.is_ascii_control()).for_each(|b| *b = b' ');
                }
                return check_text(format.class, out);
            }
        };
        let mut bad = 0;
        if !packed {
            for (place, c) in out.iter_mut().zip(raw) {
                *place = if *c == b'D' { b'=' } else { *c };
                bad |= nibbles[usize::from(*c)];
            }
            return if bad & BAD == 0 { Ok(()) } else { Err(rule) };
        }
        let (mut whole, mut places) = (raw, out);
        if len % 2 == 1 {
            // The free nibble must be 0; the digit beside it is read as the pair (0, digit).
            let (digit, free, place) = match (format.align, raw, places) {
                (Align::Right, [first, more @ ..], [place, rest @ ..]) => {
                    (whole, places) = (more, rest);
                    (first & 15, first >> 4, place)
                }
                (Align::Left, [more @ .., last], [rest @ .., place]) => {
                    (whole, places) = (more, rest);
                    (last >> 4, last & 15, place)
                }
                (Align::Left | Align::Right, _, _) => unreachable!("an odd length above 0 has a byte"),
            };
            if free != 0 {
                return Err(Rule::Padding);
            }
            let [zero, digit] = pairs[usize::from(digit)];
            bad |= zero;
            *place = digit;
        }
        for (place, byte) in places.as_chunks_mut::<2>().0.iter_mut().zip(whole) {
            *place = pairs[usize::from(*byte)];
            bad |= place[0];
        }
        if bad & BAD == 0 { Ok(()) } else { Err(rule) }
    }

    /// The length indicator of so many digits; gives the length and where the value starts.
    #[inline]
    fn length(&self, bytes: &[u8], pos: usize, digits: usize) -> Result<(usize, usize), Rule> {
        let size = match self.lengths {
            Digits::Bcd => digits.div_ceil(2),
            Digits::Ascii => digits,
        };
        let Some(raw) = bytes.get(pos..pos + size) else {
            return Err(Rule::Truncated { need: size, have: bytes.len().saturating_sub(pos) });
        };
        let (mut length, mut bad) = (0, 0);
        for byte in raw {
            match self.lengths {
                Digits::Bcd => {
                    let [tens, ones] = DIGIT_PAIRS[usize::from(*byte)];
                    bad |= tens;
                    length = length * 100 + usize::from(tens & 15) * 10 + usize::from(ones & 15);
                }
                Digits::Ascii => {
                    bad |= DIGIT_NIBBLES[usize::from(*byte)];
                    length = length * 10 + usize::from(byte & 15);
                }
            }
        }
        if bad & BAD == 0 { Ok((length, pos + size)) } else { Err(Rule::LengthIndicator) }
    }

    /// The rules of a field table, by field: a fixed length above 0, LL to 99, LLL to 999, at most
    /// [`MAX_MESSAGE`].
    pub fn check(&self) -> Result<(), IsoError> {
        for (field, format) in self.formats.iter().enumerate() {
            let Some(format) = format else { continue };
            let max = match format.prefix {
                Prefix::Fixed | Prefix::Lll => 999,
                Prefix::Ll => 99,
            };
            let part = Part::Field(field as u8);
            if !(2..=FIELDS).contains(&field) {
                return fault(part, Rule::FieldNumber);
            }
            if !(1..=max).contains(&usize::from(format.max)) {
                return fault(part, Rule::TooLong { max, found: usize::from(format.max) });
            }
        }
        Ok(())
    }
}
