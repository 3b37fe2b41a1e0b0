//! What people and scripts get to see: tables, JSON, errors. Text from outside is cleaned before it reaches a terminal.
use crate::args::Global;
use comfy_table::{Table, presets};
use payterm_schema::{Fault, Time, config::Language};
use payterm_texts::{ScreenContext, Texts, clean};
use serde::Serialize;
use std::io::Write;

pub struct Ui {
    pub json: bool,
    pub quiet: bool,
    pub texts: Texts,
    pub utc_offset: i32,
}

impl Ui {
    pub fn new(global: &Global) -> Self {
        Self { json: global.json, quiet: global.quiet, texts: Texts::new(global.language()), utc_offset: global.utc_offset }
    }
    /// A text that only this program has, in the language of the user.
    pub fn pick<'a>(&self, zh: &'a str, en: &'a str) -> &'a str {
        match self.texts.language() {
            Language::ZhCn => zh,
            Language::En => en,
        }
    }
    pub fn text(&self, id: &str) -> String {
        self.texts.get(id, &[])
    }
    pub fn time(&self, t: Time) -> String {
        t.text(self.utc_offset)
    }
    pub fn screen_context(&self, test: bool, shop: &str) -> ScreenContext {
        ScreenContext { test, columns: 60, lines: 8, utc_offset_minutes: self.utc_offset, shop: shop.into(), service_phone: String::new() }
    }

    /// The result: JSON, or what `human` writes.
    pub fn result<T: Serialize + ?Sized>(&self, value: &T, human: impl FnOnce() -> String) {
        if self.json {
            out(&serde_json::to_string(value).unwrap_or_default());
        } else {
            out(human().trim_end());
        }
    }
    /// Something was done that has no result.
    pub fn done(&self) {
        self.result(&serde_json::json!({"ok": true}), || self.pick("好", "ok").into());
    }
    /// On stderr, unless quiet.
    pub fn progress(&self, text: &str) {
        if !self.quiet {
            err(text);
        }
    }
    pub fn fault(&self, fault: &Fault) {
        if self.json {
            out(&serde_json::to_string(fault).unwrap_or_default());
        }
        err(&format!("paytermctl: {fault}"));
    }
}

/// A reader that went away (`| head`) is no reason to panic.
pub fn out(text: &str) {
    let mut to = std::io::stdout().lock();
    let _ = writeln!(to, "{text}").and_then(|()| to.flush());
}
pub fn err(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", clean(text));
}

/// Rows under a header, or without one when it is empty.
pub fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut t = Table::new();
    t.load_style(presets::NOTHING);
    if header.iter().any(|h| !h.is_empty()) {
        t.set_header(header);
    }
    for row in rows {
        t.add_row(row.map(|cell| clean(&cell)));
    }
    t.lines().map(|l| format!("{}\n", l.strip_prefix(' ').unwrap_or(&l).trim_end())).collect()
}

/// Label and value, one a line.
pub fn pairs(rows: impl IntoIterator<Item = (String, String)>) -> String {
    table(["", ""], rows.into_iter().map(|(k, v)| [k, v]))
}

/// Lines of a slip or screen, each cleaned.
pub fn block(text: &str) -> String {
    text.lines().map(|l| format!("{}\n", clean(l))).collect()
}
