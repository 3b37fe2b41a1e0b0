//! The data objects of one run: what card, terminal and issuer gave.
use crate::{
    Tag,
    tlv::{self, TlvError},
};
use std::fmt;
use zeroize::Zeroize;

/// Bytes that all values of a run may have together. 64 KiB: 20 times what a card with three certificates
/// gives.
pub const BYTES_MAX: usize = 64 << 10;
/// Room that is there from the start. 4 KiB: a run of most cards without a second allocation.
const BYTES_FIRST: usize = 4 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagsError {
    #[error("{0}: more than {BYTES_MAX} bytes in all")]
    Full(Tag),
    #[error(transparent)]
    Tlv(#[from] TlvError),
}

/// A bounded arena with an index. Zeroised when dropped; its debug text leaves out what is sensitive.
#[derive(Clone, Default)]
pub struct Tags {
    bytes: Arena,
    /// (tag, begin, end), in the order in which they came.
    index: Vec<(Tag, usize, usize)>,
}

/// Bytes that only get more; what was ever used is zeroised when it is dropped. (Zeroizing clears all the
/// room that there is, byte by byte: that took longer than to fill it.)
#[derive(Clone, Default)]
struct Arena(Vec<u8>);
impl Drop for Arena {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

impl Tags {
    pub fn new() -> Self {
        Self { bytes: Arena(Vec::with_capacity(BYTES_FIRST)), index: Vec::with_capacity(64) }
    }
    pub fn get(&self, tag: Tag) -> Option<&[u8]> {
        let (_, begin, end) = self.index.iter().find(|(t, ..)| *t == tag)?;
        self.bytes.0.get(*begin..*end)
    }
    pub fn has(&self, tag: Tag) -> bool {
        self.index.iter().any(|(t, ..)| *t == tag)
    }
    /// Sets a value, in place of the one before.
    pub fn put(&mut self, tag: Tag, value: &[u8]) -> Result<(), TagsError> {
        let place = self.index.iter_mut().find(|(t, ..)| *t == tag);
        if let Some((_, begin, end)) = &place
            && *end - *begin == value.len()
            && let Some(old) = self.bytes.0.get_mut(*begin..*end)
        {
            old.copy_from_slice(value);
            return Ok(());
        }
        let begin = self.bytes.0.len();
        let end = begin + value.len();
        if end > BYTES_MAX {
            return Err(TagsError::Full(tag));
        }
        match place {
            Some(place) => *place = (tag, begin, end),
            None => self.index.push((tag, begin, end)),
        }
        if end > self.bytes.0.capacity() {
            // A Vec that grows by itself leaves its bytes behind.
            let mut more = Vec::with_capacity((2 * end).min(BYTES_MAX));
            more.extend_from_slice(&self.bytes.0);
            self.bytes = Arena(more);
        }
        self.bytes.0.extend_from_slice(value);
        Ok(())
    }
    /// Sets a value that may come only once (Book 3 §7.5: a tag that is there twice ends the run).
    pub fn add(&mut self, tag: Tag, value: &[u8]) -> Result<(), TagsError> {
        if self.has(tag) { Err(TlvError::Double(tag).into()) } else { self.put(tag, value) }
    }
    /// Takes a value away.
    pub fn remove(&mut self, tag: Tag) {
        self.index.retain(|(t, ..)| *t != tag);
    }
    /// Tags, in the order in which they came.
    pub fn tags(&self) -> impl Iterator<Item = Tag> {
        self.index.iter().map(|(tag, ..)| *tag)
    }
    /// Those of a list that are there, as BER-TLV in the list's order.
    pub fn list(&self, wanted: &[Tag]) -> Vec<u8> {
        let mut out = Vec::new();
        for (tag, value) in wanted.iter().filter_map(|t| Some((*t, self.get(*t)?))) {
            tlv::write(&mut out, tag, value);
        }
        out
    }
}
impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_map();
        for tag in self.tags() {
            let value = self.get(tag).unwrap_or_default();
            if tag.is_sensitive() {
                all.entry(&tag, &format_args!("({} bytes)", value.len()));
            } else {
                all.entry(&tag, &format_args!("{value:02X?}"));
            }
        }
        all.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_set_once_or_replaced() {
        let mut tags = Tags::new();
        tags.add(Tag(0x95), &[0; 5]).unwrap();
        assert_eq!(tags.add(Tag(0x95), &[1; 5]), Err(TlvError::Double(Tag(0x95)).into()));
        tags.put(Tag(0x95), &[1; 5]).unwrap();
        tags.put(Tag(0x9F10), &[7; 3]).unwrap();
        tags.put(Tag(0x9F10), &[8; 9]).unwrap();
        assert_eq!((tags.get(Tag(0x95)), tags.get(Tag(0x9F10))), (Some(&[1; 5][..]), Some(&[8; 9][..])));
        assert_eq!(tags.tags().collect::<Vec<_>>(), [Tag(0x95), Tag(0x9F10)]);
        assert_eq!(tags.list(&[Tag(0x9F36), Tag(0x9F10), Tag(0x95)])[..5], [0x9F, 0x10, 9, 8, 8]);
        tags.remove(Tag(0x95));
        assert_eq!((tags.has(Tag(0x95)), tags.get(Tag(0x9F10))), (false, Some(&[8; 9][..])));
    }

    #[test]
    fn all_values_together_are_bounded() {
        let mut tags = Tags::new();
        for n in 0..BYTES_MAX as u32 / 128 {
            tags.put(Tag(0xDF_8100 + n % 0x80 + (n / 0x80) * 0x1_0000), &[0; 128]).unwrap();
        }
        assert_eq!(tags.put(Tag(0x50), &[1]), Err(TagsError::Full(Tag(0x50))));
        assert!(!tags.has(Tag(0x50)));
    }

    #[test]
    fn its_text_holds_no_card_number() {
        let mut tags = Tags::new();
        tags.put(Tag(0x5A), &[0x62, 0x12, 0x34]).unwrap();
        tags.put(Tag(0x9F27), &[0x80]).unwrap();
        assert_eq!(format!("{tags:?}"), "{5A: (3 bytes), 9F27: [80]}");
    }
}
