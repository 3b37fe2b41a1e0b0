//! Data object lists (EMV 4.4 Book 3 §5.4): what a card wants to be told, tag and length each, and the bytes
//! that it is told.
use crate::{
    Tag, Tags,
    tag::Format,
    tlv::{self, TlvError},
};
use zeroize::Zeroizing;

/// Bytes that a list may ask for. 252: with tag and length of its template they fit one command.
pub const FILLED_MAX: usize = 252;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DolError {
    #[error(transparent)]
    Tag(#[from] TlvError),
    #[error("it asks for {0} bytes, {FILLED_MAX} are the most")]
    Long(usize),
}

/// The entries of a list: tag, and length in one byte.
pub fn entries(list: &[u8]) -> Result<Vec<(Tag, usize)>, DolError> {
    let (mut all, mut rest, mut sum) = (Vec::new(), list, 0);
    while !rest.is_empty() {
        let (tag, behind) = tlv::tag_of(rest)?;
        let [len, behind @ ..] = behind else { return Err(TlvError::LengthCut(tag).into()) };
        sum += usize::from(*len);
        all.push((tag, usize::from(*len)));
        rest = behind;
    }
    if sum > FILLED_MAX { Err(DolError::Long(sum)) } else { Ok(all) }
}

/// What the card is told: each value cut or filled up to the length that the list gives it.
///
/// A tag that the dictionary does not know, a template and a value that is not there become zeros. Too long,
/// a number loses its first bytes, all else its last. Too short, a number is filled up with zeros in front,
/// compressed numeric with FF behind, all else with zeros behind. One tag twice is filled twice.
pub fn fill(list: &[u8], tags: &Tags) -> Result<Zeroizing<Vec<u8>>, DolError> {
    let entries = entries(list)?;
    let mut out = Zeroizing::new(Vec::with_capacity(entries.iter().map(|(_, len)| len).sum()));
    for (tag, len) in entries {
        let known = tag.row().filter(|_| !tag.is_constructed());
        let (format, value) = match (known, tags.get(tag)) {
            (Some(row), Some(value)) => (row.format, value),
            (None, _) | (_, None) => (Format::B, &[][..]),
        };
        let end = out.len() + len;
        match format {
            Format::N => {
                out.resize(end - value.len().min(len), 0);
                out.extend_from_slice(&value[value.len().saturating_sub(len)..]);
            }
            Format::Cn => {
                out.extend_from_slice(&value[..value.len().min(len)]);
                out.resize(end, 0xFF);
            }
            Format::An | Format::Ans | Format::B => {
                out.extend_from_slice(&value[..value.len().min(len)]);
                out.resize(end, 0);
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tags(all: &[(u32, &[u8])]) -> Tags {
        let mut tags = Tags::new();
        all.iter().for_each(|(tag, value)| tags.put(Tag(*tag), value).unwrap());
        tags
    }

    #[test]
    fn book_3_5_4_each_value_is_cut_or_filled_up_by_its_format() {
        let tags = tags(&[
            (0x9F02, &[0, 0, 0, 1, 0x23, 0x45]),
            (0x5A, &[0x62, 0x12, 0x34]),
            (0x8A, b"00"),
            (0x95, &[1, 2, 3, 4, 5]),
        ]);
        for (list, filled) in [
            (&[0x9F, 0x02, 6][..], &[0, 0, 0, 1, 0x23, 0x45][..]),
            // n: cut in front, filled up in front.
            (&[0x9F, 0x02, 2], &[0x23, 0x45]),
            (&[0x9F, 0x02, 8], &[0, 0, 0, 0, 0, 1, 0x23, 0x45]),
            // cn: cut behind, filled up with FF.
            (&[0x5A, 2], &[0x62, 0x12]),
            (&[0x5A, 5], &[0x62, 0x12, 0x34, 0xFF, 0xFF]),
            // an and b: cut behind, filled up behind.
            (&[0x8A, 1], b"0"),
            (&[0x8A, 3], &[b'0', b'0', 0]),
            (&[0x95, 3], &[1, 2, 3]),
            (&[0x95, 6], &[1, 2, 3, 4, 5, 0]),
            // Not there, not known, a template, nothing asked for.
            (&[0x9F, 0x37, 4], &[0; 4]),
            (&[0xDF, 0x7F, 3], &[0; 3]),
            (&[0x70, 2], &[0; 2]),
            (&[0x95, 0], &[]),
            // Twice.
            (&[0x8A, 2, 0x8A, 2], b"0000"),
            (&[], &[]),
        ] {
            assert_eq!(fill(list, &tags).map(|f| f.to_vec()), Ok(filled.to_vec()), "{list:02X?}");
        }
    }

    #[test]
    fn a_list_that_ends_too_soon_or_asks_for_too_much_is_none() {
        let none = Tags::new();
        for (list, error) in [
            (&[0x9F][..], DolError::Tag(TlvError::TagCut)),
            (&[0x9F, 0x02], DolError::Tag(TlvError::LengthCut(Tag(0x9F02)))),
            (&[0x95, 5, 0x9F, 0x37], DolError::Tag(TlvError::LengthCut(Tag(0x9F37)))),
            (&[0x95, 0xFC, 0x9A, 1], DolError::Long(253)),
        ] {
            assert_eq!(fill(list, &none), Err(error), "{list:02X?}");
        }
        assert_eq!(fill(&[0x95, 0xFC], &none).map(|f| f.len()), Ok(FILLED_MAX));
    }

    proptest! {
        #[test]
        fn what_is_filled_has_the_length_that_is_asked_for(
            list in prop::collection::vec(any::<u8>(), 0..100),
            value in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let tags = tags(&[(0x95, &value), (0x9F02, &value), (0x5A, &value), (0x8A, &value)]);
            if let Ok(entries) = entries(&list) {
                let asked: usize = entries.iter().map(|(_, len)| len).sum();
                prop_assert_eq!(fill(&list, &tags).map(|f| f.len()), Ok(asked));
            }
        }
    }
}
