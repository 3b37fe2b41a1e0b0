//! What no text may show: card number, tracks, names.
use std::fmt;
use zeroize::Zeroizing;

/// Bytes that are zeroised when dropped and have no debug text. Made with its final capacity: nothing is
/// left behind by a buffer that grew.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(Zeroizing<Vec<u8>>);

impl Hidden {
    pub fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }
    /// The bytes, for who has to use them.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}
impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_text_holds_nothing_of_it() {
        assert_eq!(format!("{:?}", Hidden::new(b"6212345678900000003")), "(19 bytes)");
    }
}
