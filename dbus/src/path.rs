//! Object paths. A transaction's path is made from its key alone, so a client that lost the reply of `Start`
//! knows it.
use payterm_schema::{Caller, Fault, RequestKey};
use std::fmt::Write;

/// The root object.
pub const ROOT: &str = "/org/payterm/Terminal1";

/// Path of a transaction: `ROOT/transaction/<app>/<id>`. A path element holds `A-Z a-z 0-9` as they are and
/// every other byte as `_` with two lower-case hex digits (D-Bus allows no `-` and `.` in paths):
/// `shop-1/a.b` is `shop_2d1/a_2eb`.
pub fn path(key: &RequestKey) -> String {
    format!("{ROOT}/transaction/{}/{}", escape(&key.app), escape(&key.id))
}

/// The key of a transaction's path; `None` for every text that [`path`] does not make.
pub fn parse(text: &str) -> Option<RequestKey> {
    let (app, id) = text.strip_prefix(ROOT)?.strip_prefix("/transaction/")?.split_once('/')?;
    RequestKey::new(&unescape(app)?, &unescape(id)?).ok()
}

/// Path of a device: `ROOT/device/<name>`, escaped like [`path`].
pub fn device_path(name: &str) -> String {
    format!("{ROOT}/device/{}", escape(name))
}

pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "_{b:02x}");
        }
    }
    out
}

/// Reads what [`escape`] makes, and nothing else: each text has one spelling.
pub(crate) fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b == b'_' {
            let mut digit = || bytes.next().and_then(|d| char::from(d).to_digit(16));
            out.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
        } else {
            out.push(b);
        }
    }
    String::from_utf8(out).ok().filter(|t| !t.is_empty() && escape(t) == text)
}

/// The key that a caller means: an object path, the id of an own request, or (managers) `app/id`. What
/// belongs to another app is not found, as if it did not exist.
pub(crate) fn key_of(caller: &Caller, text: &str) -> Result<RequestKey, Fault> {
    let shown = || text.chars().take(64).collect::<String>();
    let key = if text.starts_with('/') {
        parse(text).ok_or_else(|| Fault::not_found("transaction", &shown()))?
    } else if let Some((app, id)) = text.split_once('/') {
        RequestKey::new(app, id)?
    } else {
        RequestKey::new(&caller.app, text)?
    };
    if caller.sees(&key.app) { Ok(key) } else { Err(Fault::not_found("transaction", &shown())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_its_key_are_one_to_one() {
        for (app, id) in [("shop", "order-1"), ("a-_b", "A.b_c-9"), ("9", "_5f")] {
            let key = RequestKey::new(app, id).unwrap();
            let text = path(&key);
            assert!(zbus::ObjectPath::try_from(text.as_str()).is_ok(), "{text}");
            assert_eq!(parse(&text), Some(key));
        }
        assert_eq!(
            path(&RequestKey::new("shop-1", "a.b").unwrap()),
            "/org/payterm/Terminal1/transaction/shop_2d1/a_2eb"
        );
        for bad in [
            "",
            "/",
            ROOT,
            "/x/transaction/a/b",
            "/transaction/a",
            "/transaction/a/_2D",
            "/transaction/a/_61",
            "/transaction/a/_2",
            "/transaction/a/b/c",
        ] {
            assert_eq!(parse(&format!("{ROOT}{bad}")), None, "{bad}");
        }
    }
}
