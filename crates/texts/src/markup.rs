//! The line markup that templates write, and the engine that runs them.
//!
//! One line is `words|text`. `|` and `\` of values arrive escaped (`\|`, `\\`) and control characters as
//! spaces, so a value can neither begin a line nor a field. Blank lines are left out, and so is a line whose
//! text or value is empty.
//!
//! | line | gives |
//! |---|---|
//! | `[center\|right] [big] [bold] [text] \| TEXT` | a text |
//! | `row [bold] \| LABEL \| VALUE` | label left, value right |
//! | `rule` | a line across |
//! | `qr \| CONTENT` | a QR code |
//! | `feed \| N` | N empty lines, 1 to 20 |
//! | `cut` | a cut |
use crate::{Align, Line, Paper, Size, clean};
use minijinja::{Environment, Value};
use std::io::{self, Write};

/// Steps and output bytes of one template; the built-in ones use under a tenth.
pub(crate) const FUEL: u64 = 100_000;
/// Lines of one paper; two metres at 58 mm are no slip.
const LINES_MAX: usize = 400;

#[derive(Debug, thiserror::Error)]
pub(crate) enum MarkupError {
    #[error("template: {0}")]
    Template(#[from] minijinja::Error),
    #[error("template line {line}: {rule}")]
    Source { line: usize, rule: String },
    #[error("template output line {line}: {rule}")]
    Line { line: usize, rule: &'static str },
}

impl MarkupError {
    /// Line of the template, where one is at fault.
    pub(crate) fn line(&self) -> Option<usize> {
        match self {
            MarkupError::Template(e) => e.line(),
            MarkupError::Source { line, .. } => Some(*line),
            MarkupError::Line { .. } => None,
        }
    }
    pub(crate) fn rule(&self) -> String {
        match self {
            MarkupError::Template(e) => [Some(e.kind().to_string()), e.detail().map(str::to_owned)]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(": "),
            MarkupError::Source { rule, .. } => rule.clone(),
            MarkupError::Line { line, rule } => format!("output line {line}: {rule}"),
        }
    }
}

/// An engine with limits whose values come out escaped. Templates see nothing but the values that they are
/// given.
pub(crate) fn engine() -> Environment<'static> {
    limited(Environment::new())
}

/// Engine for a shop's template: without filters, tests and functions.
pub(crate) fn bare_engine<'a>() -> Environment<'a> {
    limited(Environment::empty())
}

fn limited(mut env: Environment<'_>) -> Environment<'_> {
    env.set_fuel(Some(FUEL));
    env.set_formatter(|out, _, value| {
        if value.is_undefined() || value.is_none() {
            return Ok(());
        }
        let text = value.to_string();
        let escaped: String = clean(&text)
            .chars()
            .flat_map(|c| matches!(c, '\\' | '|').then_some('\\').into_iter().chain([c]))
            .collect();
        out.write_str(&escaped).map_err(minijinja::Error::from)
    });
    env
}

/// Bytes that a template may write.
const OUTPUT_MAX: usize = 64 * 1024;
struct Bounded(Vec<u8>);
impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a template that `env` knows by name.
pub(crate) fn render(env: &Environment<'_>, name: &str, values: Value) -> Result<Paper, MarkupError> {
    let mut out = Bounded(Vec::new());
    env.get_template(name)?.render_captured_to(values, &mut out)?;
    parse(&String::from_utf8_lossy(&out.0))
}

fn parse(markup: &str) -> Result<Paper, MarkupError> {
    let mut lines = Vec::new();
    for (i, line) in markup.lines().enumerate() {
        let wrong = |rule| MarkupError::Line { line: i + 1, rule };
        if line.trim().is_empty() {
            continue;
        }
        if lines.len() == LINES_MAX {
            return Err(wrong("more lines than a paper has"));
        }
        let fields = fields(line);
        let (words, rest) = fields.split_first().ok_or_else(|| wrong("no words"))?;
        let parsed = match (words.split_whitespace().collect::<Vec<_>>().as_slice(), rest) {
            (["rule"], []) => Line::Rule,
            (["cut"], []) => Line::Cut,
            (["feed"], [n]) => Line::Feed(
                n.trim()
                    .parse()
                    .ok()
                    .filter(|n| (1..=20).contains(n))
                    .ok_or_else(|| wrong("feed: 1 to 20"))?,
            ),
            (["qr"], [content]) => Line::Qr(content.clone()),
            (["row", style @ ..], [left, right]) if matches!(style, [] | ["bold"]) => {
                Line::Row { left: left.clone(), right: right.trim().into(), bold: !style.is_empty() }
            }
            (words, [text]) => {
                let mut parsed = (Align::Left, Size::Normal, false);
                for word in words {
                    match *word {
                        "text" => {}
                        "center" => parsed.0 = Align::Center,
                        "right" => parsed.0 = Align::Right,
                        "big" => parsed.1 = Size::Double,
                        "bold" => parsed.2 = true,
                        _ => return Err(wrong("unknown word")),
                    }
                }
                Line::Text { text: text.trim().into(), align: parsed.0, size: parsed.1, bold: parsed.2 }
            }
            _ => return Err(wrong("wrong number of fields")),
        };
        let empty = match &parsed {
            Line::Text { text, .. } => text.is_empty(),
            Line::Row { right, .. } => right.is_empty(),
            Line::Qr(content) => content.is_empty(),
            Line::Rule
            | Line::Feed(_)
            | Line::Cut
            | Line::Columns { .. }
            | Line::Barcode(_)
            | Line::Image(_)
            | Line::Drawer(_) => false,
        };
        if !empty {
            lines.push(parsed);
        }
    }
    Ok(Paper { lines })
}

/// Splits at `|` and takes the escapes back.
fn fields(line: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, out.last_mut()) {
            ('|', _) => out.push(String::new()),
            ('\\', Some(field)) => field.extend(chars.next()),
            (c, Some(field)) => field.push(c),
            (_, None) => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::context;

    fn run(source: &'static str, values: Value) -> Result<Paper, MarkupError> {
        let mut env = engine();
        env.add_template("t", source)?;
        render(&env, "t", values)
    }

    #[test]
    fn a_value_stays_inside_its_field() {
        for (hostile, shown) in [
            ("a|b", "a|bx"),
            ("a\\|b", "a\\|bx"),
            ("a\\", "a\\x"),
            ("\ncut", "cutx"),
            ("x\r\nqr|http://evil", "x  qr|http://evilx"),
            ("\u{2028}cut", "cutx"),
            ("\u{0}\u{1b}@", "@x"),
        ] {
            let paper = run("row|L|{{ v }}x\ntext|{{ v }}x\n", context! { v => hostile }).expect("renders");
            let text = Line::Text { text: shown.into(), align: Align::Left, size: Size::Normal, bold: false };
            assert_eq!(
                paper.lines,
                [Line::Row { left: "L".into(), right: shown.into(), bold: false }, text],
                "{hostile:?}"
            );
        }
    }

    #[test]
    fn every_word_of_the_markup() {
        let paper = run(
            "center big bold|A\n\nright|B\nbold|C\ntext|\nrow|L|\nrow bold|L|R\nrule\nqr|Q\nfeed|3\ncut\n",
            ().into(),
        )
        .expect("parses");
        let text = |text: &str, align, size, bold| Line::Text { text: text.into(), align, size, bold };
        let expected = [
            text("A", Align::Center, Size::Double, true),
            text("B", Align::Right, Size::Normal, false),
            text("C", Align::Left, Size::Normal, true),
            Line::Row { left: "L".into(), right: "R".into(), bold: true },
            Line::Rule,
            Line::Qr("Q".into()),
            Line::Feed(3),
            Line::Cut,
        ];
        assert_eq!(paper.lines, expected);
    }

    #[test]
    fn wrong_markup_names_its_line() {
        for (source, rule) in [
            ("rule\nblink|x", "unknown word"),
            ("rule\nrow|x", "unknown word"),
            ("rule\ncut|x|y", "wrong number of fields"),
            ("rule\nfeed|21", "feed: 1 to 20"),
            ("rule\nx", "wrong number of fields"),
        ] {
            match run(source, ().into()) {
                Err(MarkupError::Line { line: 2, rule: r }) => assert_eq!(r, rule, "{source}"),
                other => panic!("{source}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_template_runs_out_of_fuel_and_lines() {
        assert!(matches!(
            run("{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}", ().into()),
            Err(MarkupError::Template(_))
        ));
        assert!(matches!(
            run("{% for a in range(401) %}rule\n{% endfor %}", ().into()),
            Err(MarkupError::Line { line: 401, .. })
        ));
    }
}
