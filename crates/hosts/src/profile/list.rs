//! Field numbers, lists and values of a profile's text.
use super::{ProfileError, Slot, bad, field};
use crate::iso8583::{FIELDS, Table};
use crate::template::Template;
use std::collections::BTreeMap;

pub(super) fn is_mti(mti: &str) -> bool {
    mti.len() == 4 && mti.bytes().all(|b| b.is_ascii_digit())
}
pub(super) fn values(
    key: &str,
    from: &BTreeMap<String, String>,
    table: &Table,
) -> Result<BTreeMap<u8, Template>, ProfileError> {
    from.iter()
        .map(|(n, text)| {
            let key = format!("{key}.{n}");
            let n = number(&key, n)?;
            known(&key, n, table)?;
            Template::parse(text).map(|t| (n, t)).or_else(|rule| bad(key, rule))
        })
        .collect()
}
pub(super) fn number(key: &str, text: &str) -> Result<u8, ProfileError> {
    match text.parse::<u8>() {
        Ok(n) if (2..=FIELDS as u8).contains(&n) => Ok(n),
        Ok(_) | Err(_) => bad(
            key,
            format!("'{}' is no field number from 2 to 64", text.chars().take(16).collect::<String>()),
        ),
    }
}
pub(super) fn known(key: &str, n: u8, table: &Table) -> Result<(), ProfileError> {
    match table.formats.get(usize::from(n)) {
        Some(Some(_)) => Ok(()),
        Some(None) | None => bad(key, format!("F{n} is not in [fields]")),
    }
}
/// `"C2 M3 M4"`: field numbers, M always, C when it applies.
pub(super) fn field_list(key: &str, text: &str, table: &Table) -> Result<Vec<(u8, bool)>, ProfileError> {
    let mut list: Vec<(u8, bool)> = Vec::new();
    for word in text.split_whitespace() {
        let (must, n) = match word.split_at_checked(1) {
            Some(("M", n)) => (true, number(key, n)?),
            Some(("C", n)) => (false, number(key, n)?),
            Some(_) | None => return bad(key, "each field is M or C and a number, as in \"C2 M3 M4\""),
        };
        known(key, n, table)?;
        if list.last().is_some_and(|(last, _)| *last >= n) {
            return bad(key, format!("F{n} is out of order"));
        }
        list.push((n, must));
    }
    Ok(list)
}
pub(super) fn slots(
    key: &str,
    list: &[(u8, bool)],
    values: &BTreeMap<u8, Template>,
) -> Result<Vec<Slot>, ProfileError> {
    list.iter()
        .map(|&(field, must)| {
            let value = values.get(&field).cloned();
            if must && value.is_none() && field != field::MAC {
                return bad(key, format!("F{field} is always sent, but no value is given for it"));
            }
            Ok(Slot { field, must, value })
        })
        .collect()
}
