//! Displays: they show whole pages of lines.
use crate::DeviceError;
use payterm_schema::selftest::Finding;

/// Display of the customer or the cashier.
pub trait Display: Send {
    /// Shows these lines in place of the previous ones.
    fn show(&mut self, lines: &[String]) -> Result<(), DeviceError>;
    /// Shows [`pattern`] as a test; the caller shows the previous page again. Default: nothing else is
    /// tested.
    fn self_test(&mut self) -> Result<Finding, DeviceError> {
        self.show(&pattern())?;
        Ok(Finding::works())
    }
}

/// Test pattern: every ASCII character, and some that take two columns.
pub fn pattern() -> Vec<String> {
    let ascii: Vec<u8> = (b' '..=b'~').collect();
    let mut lines: Vec<String> =
        ascii.chunks(16).map(|row| String::from_utf8_lossy(row).into_owned()).collect();
    lines.push("\u{4ed8}\u{6b3e}\u{25a0}\u{25a1}\u{00a5}".into());
    lines
}
