//! BER-TLV as cards and hosts write it (EMV 4.4 Book 3 Annex B): tags of up to three bytes, definite lengths
//! of up to two, 00 bytes between objects skipped. Unknown tags are kept; what does not add up is an error
//! that names the rule.
use crate::Tag;

/// Constructed objects in one another. 8: the deepest that EMV has are four (6F, A5, BF0C, 61).
pub const DEPTH_MAX: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlvError {
    #[error("a tag ends too soon")]
    TagCut,
    #[error("a tag has more than three bytes")]
    TagLong,
    #[error("{0}: its length is missing or ends too soon")]
    LengthCut(Tag),
    #[error("{0}: the length is indefinite or has more than two bytes")]
    LengthForm(Tag),
    #[error("{tag}: {need} bytes are announced, {left} are there")]
    ValueCut { tag: Tag, need: usize, left: usize },
    #[error("{0}: it is there twice")]
    Double(Tag),
    #[error("{0}: it lies in more than {DEPTH_MAX} others")]
    Deep(Tag),
}

/// One data object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tlv<'a> {
    pub tag: Tag,
    pub value: &'a [u8],
}

/// The objects of one level, in order. Behind an error nothing follows.
pub fn read(bytes: &[u8]) -> Reader<'_> {
    Reader { rest: bytes }
}

#[derive(Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}
impl<'a> Reader<'a> {
    /// What is not read yet; nothing behind an error.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}
impl<'a> Iterator for Reader<'a> {
    type Item = Result<Tlv<'a>, TlvError>;
    fn next(&mut self) -> Option<Self::Item> {
        while let [0, rest @ ..] = self.rest {
            self.rest = rest;
        }
        if self.rest.is_empty() {
            return None;
        }
        let read = one(self.rest);
        self.rest = read.as_ref().map_or(&[], |(_, rest)| rest);
        Some(read.map(|(tlv, _)| tlv))
    }
}

/// The first object, and what is behind it.
fn one(bytes: &[u8]) -> Result<(Tlv<'_>, &[u8]), TlvError> {
    let (tag, rest) = tag_of(bytes)?;
    let (len, rest) = match rest {
        [n @ ..0x80, rest @ ..] => (usize::from(*n), rest),
        [0x81, n, rest @ ..] => (usize::from(*n), rest),
        [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        [] | [0x81] | [0x82, ..] => return Err(TlvError::LengthCut(tag)),
        [0x80 | 0x83.., ..] => return Err(TlvError::LengthForm(tag)),
    };
    match rest.split_at_checked(len) {
        Some((value, rest)) => Ok((Tlv { tag, value }, rest)),
        None => Err(TlvError::ValueCut { tag, need: len, left: rest.len() }),
    }
}

/// The tag in front (Annex B1), and what is behind it.
pub(crate) fn tag_of(bytes: &[u8]) -> Result<(Tag, &[u8]), TlvError> {
    let len = match bytes {
        [a, ..] if a & 0x1F != 0x1F => 1,
        [_, b, ..] if b & 0x80 == 0 => 2,
        [_, _, c, ..] if c & 0x80 == 0 => 3,
        [_, _, _, ..] => return Err(TlvError::TagLong),
        [] | [_] | [_, _] => return Err(TlvError::TagCut),
    };
    let (tag, rest) = bytes.split_at(len);
    Ok((Tag(tag.iter().fold(0, |n, b| n << 8 | u32::from(*b))), rest))
}

/// The value of the object with this tag, on this level. The whole level must be sound, and the tag once
/// there.
pub fn find(bytes: &[u8], tag: Tag) -> Result<Option<&[u8]>, TlvError> {
    let mut found = None;
    for tlv in read(bytes) {
        let tlv = tlv?;
        if tlv.tag == tag && found.replace(tlv.value).is_some() {
            return Err(TlvError::Double(tag));
        }
    }
    Ok(found)
}

/// The objects of one level but those with a tag, as they came; no bytes between them.
pub(crate) fn without(bytes: &[u8], tag: Tag) -> Result<Vec<u8>, TlvError> {
    let (mut out, mut reader) = (Vec::with_capacity(bytes.len()), read(bytes));
    loop {
        while let [0, rest @ ..] = reader.rest {
            reader.rest = rest;
        }
        let before = reader.rest;
        let Some(tlv) = reader.next() else { return Ok(out) };
        if tlv?.tag != tag {
            let len = before.len().saturating_sub(reader.rest.len());
            out.extend_from_slice(before.get(..len).unwrap_or_default());
        }
    }
}

/// Visits each primitive object of all levels, in order.
pub fn each<'a>(bytes: &'a [u8], visit: &mut dyn FnMut(Tlv<'a>)) -> Result<(), TlvError> {
    within(bytes, 0, visit)
}
fn within<'a>(bytes: &'a [u8], depth: usize, visit: &mut dyn FnMut(Tlv<'a>)) -> Result<(), TlvError> {
    for tlv in read(bytes) {
        let tlv = tlv?;
        match tlv.tag.is_constructed() {
            true if depth == DEPTH_MAX => return Err(TlvError::Deep(tlv.tag)),
            true => within(tlv.value, depth + 1, visit)?,
            false => visit(tlv),
        }
    }
    Ok(())
}

/// Appends an object, its length in the fewest bytes.
///
/// # Panics
/// When the value has more than 65,535 bytes: the terminal makes none that long.
pub fn write(out: &mut Vec<u8>, tag: Tag, value: &[u8]) {
    let [a, b, c, d] = tag.0.to_be_bytes();
    let at = [a, b, c].iter().take_while(|b| **b == 0).count();
    out.extend_from_slice(&[a, b, c, d][at..]);
    match value.len() {
        n @ ..0x80 => out.push(n as u8),
        n @ ..0x100 => out.extend_from_slice(&[0x81, n as u8]),
        n => {
            assert!(n <= usize::from(u16::MAX), "{tag}: {n} bytes");
            out.push(0x82);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u32, Vec<u8>)>, TlvError> {
        read(bytes).map(|t| t.map(|t| (t.tag.0, t.value.to_vec()))).collect()
    }

    #[test]
    fn book_3_annex_b_tags_and_lengths() {
        assert_eq!(all(&[0x5A, 1, 7]).unwrap(), [(0x5A, vec![7])]);
        assert_eq!(all(&[0x9F, 0x02, 1, 7, 0x95, 0]).unwrap(), [(0x9F02, vec![7]), (0x95, vec![])]);
        assert_eq!(all(&[0xDF, 0x81, 0x29, 1, 7]).unwrap(), [(0xDF_8129, vec![7])]);
        let mut long = vec![0x70, 0x81, 0x80];
        long.extend([0x55; 0x80]);
        assert_eq!(all(&long).unwrap()[0].1.len(), 0x80);
        let mut longer = vec![0x70, 0x82, 0x01, 0x00];
        longer.extend([0x55; 0x100]);
        assert_eq!(all(&longer).unwrap()[0].1.len(), 0x100);
        // BER allows a length in more bytes than it needs.
        assert_eq!(all(&[0x50, 0x81, 1, 7]).unwrap(), [(0x50, vec![7])]);
    }

    #[test]
    fn book_3_annex_b_zeros_between_objects() {
        assert_eq!(all(&[0, 0, 0x50, 1, 7, 0, 0x95, 1, 8, 0]).unwrap(), [(0x50, vec![7]), (0x95, vec![8])]);
        assert_eq!(all(&[0, 0]).unwrap(), []);
    }

    #[test]
    fn what_does_not_add_up_names_the_rule() {
        let t = Tag;
        for (bytes, error) in [
            (&[0x9F][..], TlvError::TagCut),
            (&[0x9F, 0x81], TlvError::TagCut),
            (&[0x9F, 0x81, 0x82, 0x01, 0], TlvError::TagLong),
            (&[0x50], TlvError::LengthCut(t(0x50))),
            (&[0x50, 0x81], TlvError::LengthCut(t(0x50))),
            (&[0x50, 0x82, 1], TlvError::LengthCut(t(0x50))),
            (&[0x50, 0x80, 0, 0], TlvError::LengthForm(t(0x50))),
            (&[0x50, 0x83, 0, 0, 0], TlvError::LengthForm(t(0x50))),
            (&[0x50, 3, 1, 2], TlvError::ValueCut { tag: t(0x50), need: 3, left: 2 }),
            // Behind a good one.
            (&[0x50, 1, 1, 0x95], TlvError::LengthCut(t(0x95))),
        ] {
            assert_eq!(all(bytes), Err(error), "{bytes:02X?}");
        }
        let mut reader = read(&[0x50, 3, 1, 2]);
        assert!(reader.next().is_some_and(|t| t.is_err()) && reader.next().is_none(), "behind an error");
    }

    #[test]
    fn one_tag_twice_is_found_nowhere() {
        assert_eq!(find(&[0x50, 1, 7, 0x95, 1, 8], Tag(0x95)), Ok(Some(&[8][..])));
        assert_eq!(find(&[0x50, 1, 7], Tag(0x95)), Ok(None));
        assert_eq!(find(&[0x95, 1, 7, 0x95, 1, 8], Tag(0x95)), Err(TlvError::Double(Tag(0x95))));
        assert!(
            find(&[0x95, 1, 7, 0x50], Tag(0x95)).is_err(),
            "the whole level is sound, or nothing is taken"
        );
    }

    #[test]
    fn objects_but_one_stay_as_they_came() {
        // A long form of a length is kept; what lies between objects is not.
        let all = [0x9F, 0x27, 0x81, 1, 0x80, 0, 0x9F, 0x4B, 2, 7, 8, 0x50, 0, 0];
        assert_eq!(without(&all, Tag(0x9F4B)), Ok(vec![0x9F, 0x27, 0x81, 1, 0x80, 0x50, 0]));
        assert!(without(&[0x50, 3, 1], Tag(0x9F4B)).is_err());
    }

    #[test]
    fn objects_lie_in_one_another_to_a_bound() {
        let nested = |depth: usize| {
            let mut bytes = vec![0x50, 1, 7];
            for _ in 0..depth {
                let inner = std::mem::take(&mut bytes);
                write(&mut bytes, Tag(0x70), &inner);
            }
            let mut seen = Vec::new();
            each(&bytes, &mut |t| seen.push(t.tag.0)).map(|()| seen)
        };
        assert_eq!(nested(DEPTH_MAX), Ok(vec![0x50]));
        assert_eq!(nested(DEPTH_MAX + 1), Err(TlvError::Deep(Tag(0x70))));
    }

    fn a_tag() -> impl Strategy<Value = Tag> {
        prop_oneof![
            (1u32..0xFF).prop_filter("one byte", |a| a & 0x1F != 0x1F),
            (0u32..7, 0u32..0x80).prop_map(|(class, b)| (class << 5 | 0x1F) << 8 | b),
            (0u32..7, 0x80u32..0x100, 0u32..0x80).prop_map(|(c, a, b)| (c << 5 | 0x1F) << 16 | a << 8 | b),
        ]
        .prop_map(Tag)
    }
    proptest! {
        #[test]
        fn what_is_written_is_read(
            all in prop::collection::vec((a_tag(), prop::collection::vec(any::<u8>(), 0..300)), 0..8),
        ) {
            let mut bytes = Vec::new();
            all.iter().for_each(|(tag, value)| write(&mut bytes, *tag, value));
            let own = |t: Tlv<'_>| (t.tag, t.value.to_vec());
            let back: Result<Vec<_>, _> = read(&bytes).map(|t| t.map(own)).collect();
            prop_assert_eq!(back, Ok(all));
        }
        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let read: usize = read(&bytes).filter_map(Result::ok).map(|t| t.value.len() + 2).sum();
            prop_assert!(read <= bytes.len());
            each(&bytes, &mut |_| ()).ok();
        }
    }
}
