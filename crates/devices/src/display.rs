//! Displays: they show whole pages of lines.
use crate::DeviceError;
use payterm_schema::selftest::Finding;

/// Size of a display in characters; a CJK character takes two columns. Default 40 columns, 8 lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct DisplaySize {
    pub columns: usize,
    pub lines: usize,
}
impl Default for DisplaySize {
    fn default() -> Self {
        Self { columns: 40, lines: 8 }
    }
}
/// `20x4`: columns and lines, as an option says it.
impl TryFrom<String> for DisplaySize {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (columns, lines) = text.split_once('x').unwrap_or_default();
        match (columns.parse(), lines.parse()) {
            (Ok(columns @ 16..=80), Ok(lines @ 2..=8)) => Ok(Self { columns, lines }),
            (_, _) => Err("columns and lines, \"16x2\" to \"80x8\""),
        }
    }
}

/// Display of the customer or the cashier.
pub trait Display: Send {
    /// Size for which pages are laid out; on fewer than 20 columns or 4 lines not all that matters has room.
    /// It does not change while the driver is open.
    fn size(&self) -> DisplaySize {
        DisplaySize::default()
    }
    /// Shows these lines in place of the previous ones.
    fn show(&mut self, lines: &[String]) -> Result<(), DeviceError>;
    /// Shows [`pattern`] as a test; the caller shows the previous page again. Default: nothing else is
    /// tested.
    fn self_test(&mut self) -> Result<Finding, DeviceError> {
        self.show(&pattern(self.size()))?;
        Ok(Finding::works())
    }
}

/// Test pattern of this size: the ASCII characters, as far as there is room, and a line of some that take two
/// columns.
pub fn pattern(size: DisplaySize) -> Vec<String> {
    let ascii: String = (' '..='~').collect();
    let rows = ascii.as_bytes().chunks(size.columns.max(1)).take(size.lines.saturating_sub(1));
    let mut lines: Vec<String> = rows.map(|row| String::from_utf8_lossy(row).into_owned()).collect();
    lines.push("\u{4ed8}\u{6b3e}\u{25a0}\u{25a1}\u{00a5}".into());
    lines
}
