//! How the rows of a page fit a display. What matters is never lost; the rest makes room, and what of it is
//! shown in part says so.
use crate::{clean, paper};
use unicode_width::UnicodeWidthChar;

/// Ends a text of which a part is not shown. ASCII: every display has it.
const ELLIPSIS: &str = "...";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    /// Matters: always shown.
    Must,
    /// Shown as far as there is room, with an ellipsis.
    Cut,
    /// Shown whole or not at all: a part of it would be read as another thing.
    Whole,
}

/// A text of a page and how it makes room; an empty one takes none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub text: String,
    keep: Keep,
}

pub(super) fn must(text: impl Into<String>) -> Row {
    Row { text: text.into(), keep: Keep::Must }
}
pub(super) fn cut(text: impl Into<String>) -> Row {
    Row { text: text.into(), keep: Keep::Cut }
}
pub(super) fn whole(text: impl Into<String>) -> Row {
    Row { text: text.into(), keep: Keep::Whole }
}

impl Row {
    pub fn matters(&self) -> bool {
        self.keep == Keep::Must
    }
}

/// At most `height` lines of at most `columns` columns.
pub(super) fn lay_out(rows: &[Row], columns: usize, height: usize) -> Vec<String> {
    let wrapped: Vec<Vec<String>> =
        rows.iter().map(|r| paper::wrap(&clean(&r.text), columns, width)).collect();
    let needed: usize = rows.iter().zip(&wrapped).filter(|(r, _)| r.matters()).map(|(_, w)| w.len()).sum();
    let mut free = height.saturating_sub(needed);
    let mut lines = Vec::new();
    for (row, mut text) in rows.iter().zip(wrapped) {
        if !row.matters() {
            if text.len() > free {
                if row.keep == Keep::Whole || free == 0 {
                    continue;
                }
                text.truncate(free);
                end(text.last_mut(), columns);
            }
            free -= text.len();
        }
        lines.extend(text);
    }
    // A display of two lines, on which not even what matters fits: its first lines, whole.
    lines.truncate(height);
    lines
}

fn end(line: Option<&mut String>, columns: usize) {
    let Some(line) = line else { return };
    while line.chars().map(width).sum::<usize>() + ELLIPSIS.len() > columns {
        line.pop();
    }
    line.truncate(line.trim_end().len());
    line.push_str(ELLIPSIS);
}

/// Columns of a character on a display.
fn width(c: char) -> usize {
    c.width_cjk().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ellipsis_stays_within_the_columns() {
        for (text, shown) in
            [("12345678", "12345..."), ("\u{4ed8}\u{6b3e}\u{4ed8}\u{6b3e}", "\u{4ed8}\u{6b3e}...")]
        {
            let mut line = text.to_owned();
            end(Some(&mut line), 8);
            assert_eq!(line, shown);
            assert!(line.chars().map(width).sum::<usize>() <= 8, "{line}");
        }
    }
    #[test]
    fn what_matters_stays_and_the_rest_makes_room() {
        let rows = [must("CNY 12.34"), cut("a text of three lines here"), whole("in words"), must("go on?")];
        assert_eq!(lay_out(&rows, 10, 2), ["CNY 12.34", "go on?"]);
        assert_eq!(lay_out(&rows, 10, 3), ["CNY 12.34", "a text...", "go on?"]);
        assert_eq!(
            lay_out(&rows, 10, 6),
            ["CNY 12.34", "a text of", "three", "lines here", "in words", "go on?"]
        );
        assert_eq!(lay_out(&rows, 10, 1), ["CNY 12.34"]);
    }
}
