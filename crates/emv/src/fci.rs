//! What a SELECT answers with, and the names in it (EMV 4.4 Book 1, file control information; Book 4,
//! application names).
use crate::{Tag, step::Choice, terminal::Terminal, tlv};

/// Applications of a card that fit. 64: more than a person can choose from.
pub const APPLICATIONS_MAX: usize = 64;

/// UnionPay.
pub(crate) const UNION_PAY: &[u8] = &[0xA0, 0x00, 0x00, 0x03, 0x33];
/// UnionPay's electronic cash, which is not built.
pub(crate) const CASH: &[u8] = &[0xA0, 0x00, 0x00, 0x03, 0x33, 0x01, 0x01, 0x06];

/// What a SELECT answered with.
pub(crate) struct Fci<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) proprietary: &'a [u8],
}
/// A file control information that is sound and has a name.
pub(crate) fn fci(data: &[u8]) -> Option<Fci<'_>> {
    let template = only(data, Tag(0x6F)).ok()??;
    let name = tlv::find(template, Tag(0x84)).ok()??;
    let proprietary = tlv::find(template, Tag(0xA5)).ok()?.unwrap_or_default();
    tlv::read(proprietary).all(|t| t.is_ok()).then_some(Fci { name, proprietary })
}

/// The value of the one object that there is.
pub(crate) fn only(data: &[u8], tag: Tag) -> Result<Option<&[u8]>, tlv::TlvError> {
    let mut all = tlv::read(data);
    let (first, second) = (all.next().transpose()?, all.next().transpose()?);
    Ok(first.filter(|first| first.tag == tag && second.is_none()).map(|first| first.value))
}

/// Code table of the names (9F11).
pub(crate) fn table(objects: &[u8]) -> Option<u8> {
    match tlv::find(objects, Tag(0x9F11)) {
        Ok(Some(&[table @ 1..=9])) => Some(table),
        Ok(Some(&[0x10])) => Some(10),
        Ok(_) | Err(_) => None,
    }
}

/// The preferred name where the terminal has its characters, else the label, else the name's digits.
pub(crate) fn choice(terminal: &Terminal, name: &[u8], objects: &[u8], table: Option<u8>) -> Choice {
    let get = |tag| {
        let value = tlv::find(objects, Tag(tag)).ok().flatten()?;
        (1..=16).contains(&value.len()).then_some(value)
    };
    let (preferred, label) = (get(0x9F12), get(0x50));
    let shown = table.filter(|table| terminal.shows(*table)).zip(preferred);
    let (table, text) = match (shown, label) {
        (Some((table, text)), _) => (Some(table), text.to_vec()),
        (None, Some(label)) => (None, label.to_vec()),
        (None, None) => (None, name.iter().map(|b| format!("{b:02X}")).collect::<String>().into_bytes()),
    };
    let priority = get(0x87).and_then(|v| v.first().copied()).unwrap_or_default();
    Choice {
        name: text,
        table,
        priority: Some(priority & 0x0F).filter(|p| *p > 0),
        confirm: priority & 0x80 != 0,
    }
}
