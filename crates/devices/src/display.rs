//! Displays: whole pages of lines.
use crate::DeviceError;
use payterm_schema::selftest::Finding;

/// A customer's or cashier's display.
pub trait Display: Send {
    /// Replaces what is shown.
    fn show(&mut self, lines: &[String]) -> Result<(), DeviceError>;
    /// Shows a pattern; what was shown before is shown again by the caller. Default: only that.
    fn self_test(&mut self) -> Result<Finding, DeviceError> {
        self.show(&pattern())?;
        Ok(Finding::works())
    }
}

/// What a display shows in its self-test: every ASCII character, and some that take two columns.
pub fn pattern() -> Vec<String> {
    let ascii: Vec<u8> = (b' '..=b'~').collect();
    let mut lines: Vec<String> =
        ascii.chunks(16).map(|row| String::from_utf8_lossy(row).into_owned()).collect();
    lines.push("\u{4ed8}\u{6b3e}\u{25a0}\u{25a1}\u{00a5}".into());
    lines
}
