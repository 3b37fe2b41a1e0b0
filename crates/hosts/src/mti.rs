//! Message type indicators: repeats and replies.

/// The MTI with its repeat digit cleared (0201 -> 0200, 0231 -> 0230).
pub(crate) fn first_mti(mti: &str) -> String {
    let mut digits = mti.as_bytes().to_vec();
    if let Some(last) = digits.last_mut() {
        *last &= !1;
    }
    String::from_utf8(digits).unwrap_or_default()
}

/// MTI of the reply: the request's with the repeat digit cleared, + 10.
pub(crate) fn reply_mti(mti: &str) -> String {
    let mut digits = first_mti(mti).into_bytes();
    if let Some(third) = digits.get_mut(2) {
        *third += 1;
    }
    String::from_utf8(digits).unwrap_or_default()
}
