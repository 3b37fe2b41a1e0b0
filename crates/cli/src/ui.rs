//! Output for people and scripts: tables, JSON, errors. Text from outside is cleaned before it reaches a
//! terminal.
use crate::args::Global;
use comfy_table::{Table, presets};
use payterm_schema::{Fault, Time, zone::Zone};
use payterm_texts::{Audience, ScreenContext, Texts, clean};
use serde::Serialize;
use std::{fmt::Display, io::Write, sync::OnceLock};

pub struct Ui {
    pub json: bool,
    pub quiet: bool,
    pub texts: Texts,
    zone: OnceLock<Zone>,
}

impl Ui {
    pub fn new(global: &Global) -> Self {
        Self {
            json: global.json,
            quiet: global.quiet,
            texts: Texts::new(global.language()),
            zone: global.zone.clone().map_or_else(OnceLock::new, OnceLock::from),
        }
    }
    pub fn text(&self, id: &str) -> String {
        self.texts.get(id, &[])
    }
    /// The text of `id` with its places filled in.
    pub fn say(&self, id: &str, args: &[(&str, &dyn Display)]) -> String {
        let args: Vec<_> = args.iter().map(|(name, value)| (*name, value.to_string())).collect();
        self.texts.get(id, &args.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>())
    }
    pub fn yes_no(&self, on: bool) -> String {
        self.text(if on { "yes" } else { "cli-no" })
    }
    pub fn time(&self, t: Time) -> String {
        self.zone().text(t)
    }
    /// The user's zone, else the terminal's, else (where no terminal is asked) China's.
    pub fn zone(&self) -> &Zone {
        self.zone.get_or_init(Zone::default)
    }
    pub fn has_zone(&self) -> bool {
        self.zone.get().is_some()
    }
    /// Sets the terminal's zone, once.
    pub fn set_zone(&self, zone: Zone) {
        self.zone.set(zone).ok();
    }
    pub fn screen_context(&self, test: bool, shop: &str) -> ScreenContext {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        ScreenContext {
            audience: Audience::Cashier,
            now: Time(now.as_millis().try_into().unwrap_or(0)),
            test,
            columns: 60,
            lines: 8,
            zone: self.zone().clone(),
            shop: shop.into(),
            service_phone: String::new(),
        }
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
        self.result(&serde_json::json!({"ok": true}), || self.text("cli-done"));
    }
    /// Rows under a header of the texts with these ids.
    pub fn table<const N: usize>(
        &self,
        header: [&str; N],
        rows: impl IntoIterator<Item = [String; N]>,
    ) -> String {
        let mut t = Table::new();
        t.set_header(header.map(|id| self.text(id)));
        drawn(t, rows)
    }
    /// Writes progress to stderr, unless quiet.
    pub fn progress(&self, text: &str) {
        if !self.quiet {
            err(text);
        }
    }
    pub fn fault(&self, fault: &Fault) {
        if self.json {
            out(&serde_json::to_string(fault).unwrap_or_default());
        }
        err(&format!("paytermctl: {}", self.texts.fault(fault)));
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

fn drawn<const N: usize>(mut t: Table, rows: impl IntoIterator<Item = [String; N]>) -> String {
    t.load_style(presets::NOTHING);
    for row in rows {
        t.add_row(row.map(|cell| clean(&cell)));
    }
    t.lines().map(|l| format!("{}\n", l.strip_prefix(' ').unwrap_or(&l).trim_end())).collect()
}

/// Rows without a header.
pub fn rows<const N: usize>(rows: impl IntoIterator<Item = [String; N]>) -> String {
    drawn(Table::new(), rows)
}

/// Label and value, one a line.
pub fn pairs(all: impl IntoIterator<Item = (String, String)>) -> String {
    rows(all.into_iter().map(|(k, v)| [k, v]))
}

/// Lines of a slip or screen, each cleaned.
pub fn block(text: &str) -> String {
    text.lines().map(|l| format!("{}\n", clean(l))).collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use payterm_schema::config::Language;

    /// English and Chinese.
    pub fn each_language() -> [Ui; 2] {
        [Language::En, Language::ZhCn].map(|l| Ui {
            json: false,
            quiet: false,
            texts: Texts::new(l),
            zone: OnceLock::new(),
        })
    }
}
