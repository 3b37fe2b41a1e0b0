//! A paper as abstract lines, and as text.

/// Where a text stands on its line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Align {
    #[default]
    Left,
    Center,
    Right,
}

/// `Double` is twice as wide and high: a line holds half the columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Size {
    #[default]
    Normal,
    Double,
}

/// One line of a paper; its texts are printable (see [`Paper`]). Too long texts are wrapped, never cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Text {
        text: String,
        align: Align,
        size: Size,
        bold: bool,
    },
    /// A label at the left edge and a value at the right one; the value goes to a line of its own when both do not fit.
    Row {
        left: String,
        right: String,
        bold: bool,
    },
    Rule,
    /// QR code, model 2.
    Qr(String),
    /// Empty lines.
    Feed(u8),
    Cut,
}

/// A paper, independent of its width and printer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paper {
    pub lines: Vec<Line>,
}

/// Columns of a paper width: 32 at 58 mm, 48 at 80 mm (font A, 12 dots).
pub const fn columns_of(paper_mm: u8) -> usize {
    if paper_mm >= 80 { 48 } else { 32 }
}

impl Paper {
    /// The paper as plain text, `columns` wide (16 to 96); a non-ASCII character takes two columns, as on the printer.
    pub fn to_text(&self, columns: usize) -> String {
        let _ = columns;
        String::new()
    }
}
