//! A shop's own templates of the slips. Each is one file, `payment.jinja`, `balance.jinja`, `unknown.jinja`
//! or `stuck.jinja`, in the markup of [`crate::markup`]; what it may show is [`crate::VARIABLES`]. It makes
//! the middle of a paper: what a slip must say stands on it whatever the template says (see [`crate::slip`]).
use crate::{Line, Paper, SlipContext, markup, sample, slip};
use minijinja::{UndefinedBehavior, Value};
use payterm_schema::config::Language;
use std::collections::BTreeMap;

/// Bytes of a file.
pub const TEMPLATE_MAX: usize = 64 * 1024;
/// Lines that a template may make.
const LINES_MAX: usize = 200;
const NAMES: [&str; 4] = ["payment", "balance", "unknown", "stuck"];

/// Why a template is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {rule}", .line.map(|l| format!(", line {l}")).unwrap_or_default())]
pub struct TemplateFault {
    pub file: String,
    /// Line of the template, when it is a line's fault.
    pub line: Option<usize>,
    pub rule: String,
}

/// The templates that were found good.
#[derive(Clone, Debug, Default)]
pub struct Templates {
    sources: BTreeMap<&'static str, String>,
}

impl Templates {
    /// Takes what is good of these files (name, content) and tells what is wrong with the others. Each is run
    /// on a sample of every kind, status and language.
    pub fn load(files: &[(String, Vec<u8>)]) -> (Self, Vec<TemplateFault>) {
        let (mut good, mut faults) = (Self::default(), Vec::new());
        for (file, content) in files {
            let wrong = |line, rule: String| TemplateFault { file: file.clone(), line, rule };
            let Some(name) =
                file.strip_suffix(".jinja").and_then(|n| NAMES.into_iter().find(|known| *known == n))
            else {
                faults.push(wrong(None, format!("a template is one of {}.jinja", NAMES.join(".jinja, "))));
                continue;
            };
            let source = match std::str::from_utf8(content) {
                Ok(_) if content.len() > TEMPLATE_MAX => {
                    Err(wrong(None, format!("up to {TEMPLATE_MAX} bytes")))
                }
                Ok(text) => Ok(text.to_owned()),
                Err(e) => Err(wrong(None, format!("UTF-8: {e}"))),
            };
            let tried = source.and_then(|source| {
                let templates = Self { sources: BTreeMap::from([(name, source)]) };
                templates.try_out(name).map(|()| templates).map_err(|e| wrong(e.line(), e.rule()))
            });
            match tried {
                Ok(one) => good.sources.extend(one.sources),
                Err(e) => faults.push(e),
            }
        }
        (good, faults)
    }

    fn try_out(&self, name: &str) -> Result<(), markup::MarkupError> {
        for (kind, outcome) in sample::all() {
            for language in [Language::ZhCn, Language::En] {
                let ctx = SlipContext { language, ..sample::context() };
                if slip::template_of(kind, &outcome) == name {
                    self.run(name, slip::values(kind, &outcome, &ctx, name))?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.sources.contains_key(name)
    }

    /// Parsed anew for each paper: milliseconds, and a daemon that prints nothing holds nothing.
    pub(crate) fn run(&self, name: &str, values: Value) -> Result<Paper, markup::MarkupError> {
        let mut env = markup::bare_engine();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        if let Some(source) = self.sources.get(name) {
            plain_tags(source)?;
            env.add_template("shop", source)?;
        }
        let mut paper = markup::render(&env, "shop", values)?;
        let feeds = |l: &Line| if let Line::Feed(n) = l { usize::from(*n) } else { 1 };
        if paper.lines.iter().map(feeds).sum::<usize>() > LINES_MAX {
            let wrong = |rule| markup::MarkupError::Line { line: LINES_MAX + 1, rule };
            return Err(wrong("a template makes up to 200 lines"));
        }
        // The paper ends where payterm ends it.
        paper.lines.retain(|l| *l != Line::Cut);
        Ok(paper)
    }
}

/// A template may choose and repeat, and show values as they are. What could make a text grow without a step
/// of the engine (`set`, `~`, `+`, `*`, filters) is refused, and so is every tag that is not known here.
fn plain_tags(source: &str) -> Result<(), markup::MarkupError> {
    const TAGS: [&str; 6] = ["if", "elif", "else", "endif", "for", "endfor"];
    let line_of = |rest: &str| source[..source.len() - rest.len()].matches('\n').count() + 1;
    let mut rest = source;
    while let Some(at) = rest.find("{{").into_iter().chain(rest.find("{%")).chain(rest.find("{#")).min() {
        let tag = &rest[at..];
        let wrong = |rule: &str| markup::MarkupError::Source { line: line_of(tag), rule: rule.into() };
        if tag.starts_with("{#") {
            let end = tag.find("#}").ok_or_else(|| wrong("a comment without its end"))?;
            rest = &tag[end + 2..];
            continue;
        }
        let close = if tag.starts_with("{{") { "}}" } else { "%}" };
        let mut quote = None;
        let mut end = None;
        for (i, c) in tag.char_indices().skip(2) {
            match (quote, c) {
                (Some(q), c) if q == c => quote = None,
                (Some(_), '\\') => return Err(wrong("no escapes in texts")),
                (Some(_), _) => {}
                (None, '"' | '\'') => quote = Some(c),
                (None, '~' | '+' | '*' | '|') => return Err(wrong("no operators ~ + * and no filters")),
                (None, _) if tag[i..].starts_with(close) => {
                    end = Some(i);
                    break;
                }
                (None, _) => {}
            }
        }
        let end = end.ok_or_else(|| wrong("a tag without its end"))?;
        let word = tag[2..end]
            .trim_start_matches('-')
            .trim_end_matches('-')
            .split_whitespace()
            .next()
            .unwrap_or_default();
        if close == "%}" && !TAGS.contains(&word) {
            return Err(wrong(&format!("a tag is one of {}", TAGS.join(", "))));
        }
        rest = &tag[end + 2..];
    }
    Ok(())
}
