//! A message with every field decoded. It holds PAN, track and codes: no `Display`, a masked `Debug`,
//! zeroised on drop.
use super::{FIELDS, IsoError, MAX_MESSAGE, Part, Rule, fault};
use std::fmt;
use zeroize::Zeroize;

/// Room for the values of an ordinary message, so that they are never moved while it is built.
const ROOM: usize = 512;

/// MTI and fields 2 to 64, decoded: N and Z as ASCII (`=` is the separator), all others as their bytes.
pub struct Message {
    mti: [u8; 4],
    pub(super) present: u64,
    /// (start, end) in `arena`, by field number; meaningful where `present` says so.
    pub(super) at: [(u16, u16); FIELDS + 1],
    pub(super) arena: Vec<u8>,
}

/// The bit of a field in the bitmap: field 1 is the most significant.
pub(super) const fn bit(field: u8) -> u64 {
    1 << (64 - field as u32)
}

impl Message {
    /// `mti`: four ASCII digits.
    pub fn new(mti: &str) -> Result<Self, IsoError> {
        match <[u8; 4]>::try_from(mti.as_bytes()) {
            Ok(mti) if mti.iter().all(u8::is_ascii_digit) => Ok(Self::with_room(mti, ROOM)),
            Ok(_) => fault(Part::Mti, Rule::NotDigit),
            Err(_) => fault(Part::Mti, Rule::WrongLength { want: 4, found: mti.len() }),
        }
    }
    pub(super) fn with_room(mti: [u8; 4], room: usize) -> Self {
        Self { mti, present: 0, at: [(0, 0); FIELDS + 1], arena: Vec::with_capacity(room) }
    }
    pub fn mti(&self) -> &str {
        std::str::from_utf8(&self.mti).unwrap_or_default()
    }
    pub(super) fn mti_digits(&self) -> [u8; 4] {
        self.mti
    }
    /// Gives a field its decoded value, in place of an earlier one. The table judges it when the message is
    /// packed.
    pub fn set(&mut self, field: u8, value: impl AsRef<[u8]>) -> Result<(), IsoError> {
        let value = value.as_ref();
        if !(2..=FIELDS as u8).contains(&field) {
            return fault(Part::Field(field), Rule::FieldNumber);
        }
        let (start, end) = (self.arena.len(), self.arena.len() + value.len());
        if end > 2 * MAX_MESSAGE {
            return fault(Part::Field(field), Rule::TooLong { max: MAX_MESSAGE, found: value.len() });
        }
        if end > self.arena.capacity() {
            self.grow(end);
        }
        self.arena.extend_from_slice(value);
        self.at[usize::from(field)] = (start as u16, end as u16);
        self.present |= bit(field);
        Ok(())
    }
    pub fn unset(&mut self, field: u8) {
        if (2..=FIELDS as u8).contains(&field) {
            self.present &= !bit(field);
        }
    }
    pub fn has(&self, field: u8) -> bool {
        (2..=FIELDS as u8).contains(&field) && self.present & bit(field) != 0
    }
    pub fn get(&self, field: u8) -> Option<&[u8]> {
        if !self.has(field) {
            return None;
        }
        let (start, end) = self.at[usize::from(field)];
        self.arena.get(usize::from(start)..usize::from(end))
    }
    /// The value of a field that is ASCII; `None` too when it is not.
    pub fn text(&self, field: u8) -> Option<&str> {
        self.get(field).and_then(|v| std::str::from_utf8(v).ok())
    }
    /// Numbers of the fields that are there, in order.
    pub fn fields(&self) -> impl Iterator<Item = u8> + use<> {
        Bits(self.present)
    }
    /// A larger arena; the old one is wiped, which `Vec`'s own growth would not do.
    fn grow(&mut self, need: usize) {
        let mut larger = Vec::with_capacity(need.next_power_of_two());
        larger.extend_from_slice(&self.arena);
        wipe(&mut self.arena);
        self.arena = larger;
    }
}

pub(super) struct Bits(pub u64);
impl Iterator for Bits {
    type Item = u8;
    #[inline]
    fn next(&mut self) -> Option<u8> {
        let zeros = self.0.leading_zeros();
        if zeros == 64 {
            return None;
        }
        self.0 &= !(1 << (63 - zeros));
        Some(zeros as u8 + 1)
    }
}

/// Wipes by words: `Vec::zeroize` writes byte by byte, which would cost as much as the whole unpacking.
fn wipe(bytes: &mut [u8]) {
    let (head, words, tail) = bytemuck::pod_align_to_mut::<u8, u64>(bytes);
    head.zeroize();
    words.zeroize();
    tail.zeroize();
}

impl Drop for Message {
    fn drop(&mut self) {
        wipe(&mut self.arena);
    }
}

/// MTI and field numbers with lengths; no value.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({}", self.mti())?;
        for n in self.fields() {
            write!(f, " F{n}[{}]", self.get(n).map_or(0, <[u8]>::len))?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wipes_every_byte_at_any_alignment() {
        for (start, end) in [(0, 64), (1, 63), (7, 9), (3, 3), (5, 60)] {
            let mut bytes = [0xA5; 64];
            wipe(&mut bytes[start..end]);
            assert!(
                bytes.iter().enumerate().all(|(i, b)| (*b == 0) == (start..end).contains(&i)),
                "{start}..{end}"
            );
        }
    }

    #[test]
    fn a_message_outgrows_its_room() {
        let mut m = Message::new("0200").unwrap();
        m.set(2, "6222021234567890128").unwrap();
        m.set(62, [7; 2000]).unwrap();
        m.set(2, "1").unwrap();
        assert_eq!((m.text(2), m.get(62)), (Some("1"), Some([7; 2000].as_slice())));
        assert_eq!(m.fields().collect::<Vec<_>>(), [2, 62]);
        assert_eq!(format!("{m:?}"), "Message(0200 F2[1] F62[2000])");
    }
}
