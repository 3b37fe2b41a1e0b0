//! A paper as abstract lines, and as text. How lines fit a width is decided here once, for text and printer
//! alike.
use crate::{Letters, clean};
use qrcode::{Color, EcLevel, QrCode};
use std::cell::Cell as Count;

/// Place of a text on its line.
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
impl Size {
    pub(crate) const fn factor(self) -> usize {
        match self {
            Size::Normal => 1,
            Size::Double => 2,
        }
    }
}

/// Line of a paper. Too long texts are wrapped, never cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Text {
        text: String,
        align: Align,
        size: Size,
        bold: bool,
    },
    /// A label at the left edge and a value at the right one; the value goes to lines of its own when both do
    /// not fit.
    Row {
        left: String,
        right: String,
        bold: bool,
    },
    /// Cells side by side, one space between them; each is wrapped in its own share of the width.
    Columns {
        cells: Vec<Cell>,
        bold: bool,
    },
    Rule,
    Barcode(Barcode),
    Image(Image),
    /// QR code, model 2; printable ASCII, up to [`QR_MAX`] bytes.
    Qr(String),
    /// Empty lines.
    Feed(u8),
    Cut,
    /// The pulse that opens the cash drawer; where it is shown as text, this one.
    Drawer(String),
}

/// A cell of [`Line::Columns`]; `width` is its share of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    pub text: String,
    pub align: Align,
    pub width: u8,
}

/// A bar code; see [`Barcode::fits`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Barcode {
    /// Printable ASCII.
    Code128(String),
    /// 13 digits.
    Ean13(String),
}
impl Barcode {
    pub(crate) fn content(&self) -> &str {
        match self {
            Barcode::Code128(c) | Barcode::Ean13(c) => c,
        }
    }
    /// Pairs of digits take one symbol (code set C).
    pub(crate) fn pairs(content: &str) -> bool {
        content.len().is_multiple_of(2) && content.bytes().all(|b| b.is_ascii_digit())
    }
    /// Tells whether it can be printed 2 dots a module, with start, check and stop symbols.
    pub(crate) fn fits(&self, dots: usize) -> bool {
        let c = self.content();
        match self {
            Barcode::Code128(_) if c.is_empty() || !c.bytes().all(|b| matches!(b, b' '..=b'~')) => false,
            Barcode::Code128(_) => (11 * if Self::pairs(c) { c.len() / 2 } else { c.len() } + 35) * 2 <= dots,
            Barcode::Ean13(_) => c.len() == 13 && c.bytes().all(|b| b.is_ascii_digit()),
        }
    }
}

/// Black and white dots, rows of whole bytes from the top, the left dot in the highest bit; 1 = black.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) rows: Vec<u8>,
}

/// Dots of a paper width: 12 a column.
pub const fn dots_of(paper_mm: u8) -> usize {
    columns_of(paper_mm) * 12
}

/// Longest content of a QR code in bytes: level M, version 12, 65 modules of 5 dots, which fit the 384 dots
/// of 58 mm.
pub const QR_MAX: usize = 256;

/// A paper, independent of its width and printer. Rendering cleans every text ([`Letters::printable`]), so a
/// paper built from hostile texts is safe too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paper {
    pub lines: Vec<Line>,
}

/// Columns of a paper width: 32 at 58 mm, 48 at 80 mm (font A, 12 dots).
pub const fn columns_of(paper_mm: u8) -> usize {
    if paper_mm >= 80 { 48 } else { 32 }
}

/// A line laid out for a width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Printed {
    Text { text: String, align: Align, size: Size, bold: bool },
    Barcode(Barcode),
    Image(Image),
    Qr(String),
    Feed(u8),
    Cut,
    Drawer(String),
}

/// The widest word that is not broken at will: of a script with spaces.
fn widest_word(text: &str) -> usize {
    text.split(' ').filter(|word| word.is_ascii()).map(str::len).max().unwrap_or(0)
}

/// Widths of the cells: their shares, but that a word that is wider than its cell gets what others spare.
fn widths_of(cells: &[Cell], columns: usize) -> Vec<usize> {
    let mut widths = shares(cells, columns);
    let needs: Vec<usize> = cells.iter().map(|c| widest_word(&clean(&c.text)).max(1)).collect();
    for wide in 0..cells.len() {
        for spare in (0..cells.len()).filter(|i| *i != wide) {
            let lacks = needs[wide].saturating_sub(widths[wide]);
            let moved = lacks.min(widths[spare].saturating_sub(needs[spare]));
            widths[wide] += moved;
            widths[spare] -= moved;
        }
    }
    widths
}

/// Shares of the cells, in columns: at least 1 each.
fn shares(cells: &[Cell], columns: usize) -> Vec<usize> {
    let all: usize = cells.iter().map(|c| usize::from(c.width)).sum();
    let free = columns.saturating_sub(cells.len().saturating_sub(1));
    let mut widths: Vec<usize> =
        cells.iter().map(|c| (free * usize::from(c.width) / all.max(1)).max(1)).collect();
    let rest = free.saturating_sub(widths.iter().sum());
    widths.iter_mut().take(rest).for_each(|w| *w += 1);
    widths
}

/// A first cell whose word would still be broken stands above the others.
fn columns_text(cells: &[Cell], columns: usize, letters: &Letters, replaced: &Count<u32>) -> Vec<String> {
    let widths = widths_of(cells, columns);
    let wrap_in = |text: &str, w| wrap(&letters.printable(text, replaced), w, |c| letters.width(c));
    if let [first, others @ ..] = cells
        && !others.is_empty()
        && widest_word(&clean(&first.text)) > widths[0]
    {
        let first = Cell { text: String::new(), ..first.clone() };
        let rest: Vec<Cell> = [first].into_iter().chain(others.iter().cloned()).collect();
        let above = wrap_in(&cells[0].text, columns);
        return above.into_iter().chain(columns_text(&rest, columns, letters, replaced)).collect();
    }
    let wrapped: Vec<Vec<String>> = cells.iter().zip(&widths).map(|(c, w)| wrap_in(&c.text, *w)).collect();
    let rows = wrapped.iter().map(Vec::len).max().unwrap_or(0);
    let pad = |text: &str, align: Align, width: usize| {
        let free = width.saturating_sub(letters.width_of(text));
        let before = match align {
            Align::Left => 0,
            Align::Center => free / 2,
            Align::Right => free,
        };
        format!("{}{text}{}", " ".repeat(before), " ".repeat(free - before))
    };
    let cell =
        |row: usize, i: usize| pad(wrapped[i].get(row).map_or("", String::as_str), cells[i].align, widths[i]);
    (0..rows)
        .map(|row| (0..cells.len()).map(|i| cell(row, i)).collect::<Vec<_>>().join(" ").trim_end().to_owned())
        .collect()
}

impl Paper {
    /// Lines of at most `columns` columns, all texts printable with these characters; and how many were
    /// replaced.
    pub(crate) fn layout(&self, columns: usize, letters: &Letters) -> (Vec<Printed>, u32) {
        let replaced = Count::new(0);
        let printable = |text: &str| letters.printable(text, &replaced);
        let wrap = |text: &str, columns| wrap(text, columns, |c| letters.width(c));
        let plain = |text: String, align, bold| Printed::Text { text, align, size: Size::Normal, bold };
        let mut out = Vec::new();
        for line in &self.lines {
            match line {
                Line::Text { text, align, size, bold } => {
                    let wrapped = wrap(&printable(text), columns / size.factor());
                    out.extend(wrapped.into_iter().map(|text| Printed::Text {
                        text,
                        align: *align,
                        size: *size,
                        bold: *bold,
                    }));
                }
                Line::Row { left, right, bold } => {
                    let (left, right) = (printable(left), printable(right));
                    match columns.checked_sub(letters.width_of(&left) + letters.width_of(&right) + 1) {
                        Some(gap) => out.push(plain(
                            format!("{left}{}{right}", " ".repeat(gap + 1)),
                            Align::Left,
                            *bold,
                        )),
                        None => {
                            let lines = |text: &str, align| {
                                wrap(text, columns).into_iter().map(move |l| plain(l, align, *bold))
                            };
                            out.extend(lines(&left, Align::Left));
                            out.extend(lines(&right, Align::Right));
                        }
                    }
                }
                Line::Columns { cells, bold } => {
                    let texts = columns_text(cells, columns, letters, &replaced);
                    out.extend(texts.into_iter().map(|l| plain(l, Align::Left, *bold)))
                }
                // What a scanner could not read whole is left out, as with a QR code.
                Line::Barcode(code) => {
                    out.extend(code.fits(columns * 12).then(|| Printed::Barcode(code.clone())))
                }
                Line::Image(image) => out.extend(
                    (usize::from(image.width) <= columns * 12).then(|| Printed::Image(image.clone())),
                ),
                Line::Rule => out.push(plain("-".repeat(columns), Align::Left, false)),
                Line::Qr(content) => {
                    // What a scanner reads must be what was meant: a content that had to be changed is no
                    // code at all.
                    if (1..=QR_MAX).contains(&content.len())
                        && content.bytes().all(|b| matches!(b, b' '..=b'~'))
                    {
                        out.push(Printed::Qr(content.clone()));
                    }
                }
                Line::Feed(n) => out.push(Printed::Feed((*n).min(20))),
                Line::Cut => out.push(Printed::Cut),
                Line::Drawer(text) => out.push(Printed::Drawer(text.clone())),
            }
        }
        (out, replaced.get())
    }

    /// The paper as plain text, `columns` wide (16 to 96); a non-ASCII character takes two columns, as on the
    /// printer. A QR code is drawn where it fits, else its content is written; a cut is an empty line.
    pub fn to_text(&self, columns: usize) -> String {
        let columns = columns.clamp(16, 96);
        let mut out = String::new();
        let letters = Letters::default();
        for line in self.layout(columns, &letters).0 {
            match line {
                Printed::Text { text, align, size, .. } => {
                    let free = columns.saturating_sub(letters.width_of(&text));
                    let (pad, text) = match (align, size) {
                        (Align::Left, _) => (0, text),
                        (Align::Center, _) => (free / 2, text),
                        (Align::Right, _) => (free, text),
                    };
                    out.push_str(format!("{}{text}", " ".repeat(pad)).trim_end());
                    out.push('\n');
                }
                Printed::Barcode(code) => {
                    let text = format!("[{}]", code.content());
                    out.push_str(&format!("{}{text}\n", " ".repeat(columns.saturating_sub(text.len()) / 2)));
                }
                Printed::Image(image) => {
                    let text = format!("[{} x {}]", image.width, image.height);
                    out.push_str(&format!("{}{text}\n", " ".repeat(columns.saturating_sub(text.len()) / 2)));
                }
                Printed::Qr(content) => out.push_str(&qr_text(&content, columns)),
                Printed::Feed(n) => out.extend(std::iter::repeat_n('\n', n.into())),
                Printed::Cut => out.push('\n'),
                Printed::Drawer(text) => out.push_str(&format!("[{text}]\n")),
            }
        }
        out
    }
}

/// Two modules a character by half blocks, with a quiet zone of one column.
fn qr_text(content: &str, columns: usize) -> String {
    let Ok(code) = QrCode::with_error_correction_level(content, EcLevel::L) else { return String::new() };
    let n = code.width();
    if n + 2 > columns {
        return wrap(&format!("[QR] {content}"), columns, |_| 1).join("\n") + "\n";
    }
    let dark = |x: usize, y: usize| y < n && code[(x, y)] == Color::Dark;
    let mut out = String::new();
    for y in (0..n).step_by(2) {
        let row: String = (0..n)
            .map(|x| match (dark(x, y), dark(x, y + 1)) {
                (true, true) => '\u{2588}',
                (true, false) => '\u{2580}',
                (false, true) => '\u{2584}',
                (false, false) => ' ',
            })
            .collect();
        out.push_str(format!("{}{row}", " ".repeat((columns - n) / 2)).trim_end());
        out.push('\n');
    }
    out
}

/// Punctuation of GB/T 15834 that does not stand at the beginning of a line, full width or, after a wide
/// character, ASCII.
fn closes(c: char, after: char) -> bool {
    let ascii = matches!(c, ',' | '.' | ';' | ':' | '?' | '!' | ')') && !after.is_ascii();
    ascii
        || matches!(
            c,
            '\u{ff0c}'
                | '\u{3002}'
                | '\u{3001}'
                | '\u{ff1b}'
                | '\u{ff1a}'
                | '\u{ff1f}'
                | '\u{ff01}'
                | '\u{ff09}'
                | '\u{201d}'
                | '\u{300b}'
        )
}

/// Breaks `text` into lines of at most `columns` columns: at spaces, else between or beside wide characters,
/// else anywhere.
pub(crate) fn wrap(text: &str, columns: usize, width: impl Fn(char) -> usize) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut line, mut used) = (String::new(), 0);
    for c in text.trim_end().chars() {
        let w = width(c);
        if used + w > columns {
            if c == ' ' {
                lines.push(std::mem::take(&mut line));
                used = 0;
                continue;
            }
            if let Some(last) = line.chars().next_back().filter(|last| closes(c, *last)) {
                // Closing punctuation does not begin a line: the character before it goes along.
                line.pop();
                lines.push(std::mem::replace(&mut line, last.to_string()).trim_end().to_owned());
                line.push(c);
                used = width(last) + w;
                continue;
            }
            // A word that began on this line moves to the next one, unless it fills the line or is of wide
            // characters.
            let cut = line
                .rfind(' ')
                .filter(|_| c.is_ascii() && line.chars().next_back().is_some_and(|l| l.is_ascii()));
            let rest = cut.map(|at| line.split_off(at + 1)).unwrap_or_default();
            lines.push(std::mem::replace(&mut line, rest).trim_end().to_owned());
            used = line.chars().map(&width).sum();
        }
        line.push(c);
        used += w;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paper_width(c: char) -> usize {
        Letters::default().width(c)
    }

    #[test]
    fn closing_punctuation_does_not_begin_a_line() {
        for mark in [',', '\u{ff0c}', '.', '\u{3002}', ':', '!'] {
            assert_eq!(
                wrap(&format!("最终结果{mark}不要"), 8, paper_width),
                ["最终结".to_owned(), format!("果{mark}不要")],
                "{mark}"
            );
        }
        assert_eq!(wrap("结果 (1.5)", 5, paper_width), ["结果", "(1.5)"]);
    }
}
