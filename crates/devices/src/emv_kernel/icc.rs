//! What of a run's data objects goes into messages and onto slips.
use payterm_emv::{
    Tag, Tags,
    tag::{Row, Source},
    tlv,
};
use payterm_schema::icc::{self, Icc};

/// Data objects of which no message has a use, and which are long: certificates and keys, signatures, lists
/// of a card, addresses.
const LEFT_OUT: [u32; 23] = [
    0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x92, 0x93, 0x94, 0x97, 0x5F50, 0x9F2D, 0x9F2E, 0x9F2F, 0x9F32, 0x9F38,
    0x9F46, 0x9F47, 0x9F48, 0x9F49, 0x9F4A, 0x9F4B, 0x9F4F, 0x83,
];
/// Data objects of a card's records that messages and slips name.
const NAMED: [u32; 8] = [0x50, 0x84, 0x5F28, 0x5F34, 0x9F08, 0x9F12, 0x9F63, 0x9F74];

/// The data objects as BER-TLV, at most [`Icc::MAX`] bytes; nothing that names card or holder, and nothing
/// unknown, which might. Of more, those of the card's records that are left out are the last.
pub(super) fn of(tags: &Tags) -> Vec<u8> {
    let (first, last): (Vec<&Row>, Vec<&Row>) =
        tags.tags().filter_map(Tag::row).filter(|row| goes(row)).partition(|row| is_needed(row));
    let mut out = Vec::new();
    for row in first.iter().chain(&last) {
        let mut object = Vec::new();
        tlv::write(&mut object, row.tag, tags.get(row.tag).unwrap_or_default());
        if out.len() + object.len() <= Icc::MAX {
            out.extend(object);
        }
    }
    out
}

fn goes(row: &Row) -> bool {
    let Tag(tag) = row.tag;
    !row.sensitive && !LEFT_OUT.contains(&tag) && icc::Tag::new(tag).is_some_and(|tag| tag.check().is_ok())
}

/// It is the terminal's or the issuer's, or the card's own word on this payment.
fn is_needed(row: &Row) -> bool {
    row.source != Source::Card || row.templates.contains(&Tag(0x80)) || NAMED.contains(&row.tag.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use payterm_emv::tag::DICTIONARY;

    #[test]
    fn whatever_a_card_says_they_fit_and_name_nobody() {
        let mut tags = Tags::new();
        for row in &DICTIONARY {
            tags.put(row.tag, &vec![0x33; row.len.1.into()]).unwrap();
        }
        tags.put(Tag(0xDF_8129), &[0x62; 8]).unwrap();
        let icc = Icc::parse(&of(&tags)).unwrap();
        let found: Vec<String> = icc.iter().map(|(tag, _)| tag.to_string()).collect();
        let sensitive = DICTIONARY.iter().filter(|row| row.sensitive).map(|row| row.tag.to_string());
        for tag in sensitive.chain(LEFT_OUT.iter().map(|t| Tag(*t).to_string())).chain(["DF8129".into()]) {
            assert!(!found.contains(&tag), "{tag}");
        }
        // What is needed is there though all would not fit.
        for row in DICTIONARY.iter().filter(|row| goes(row) && is_needed(row)) {
            assert!(found.contains(&row.tag.to_string()), "{}", row.tag);
        }
        assert!(found.len() < DICTIONARY.iter().filter(|row| goes(row)).count(), "else the bound is untried");
    }
}
