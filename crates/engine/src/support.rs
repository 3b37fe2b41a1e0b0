//! The bundle for customer service: what the terminal is, how it is, and what it did last, as a tar.gz.
//!
//! Invariant: no secret and no card data. Its parts hold none by their types; of a masked number the last
//! four digits stay; what an app wrote, what passwords are checked against and the names of people are left
//! out.
use crate::{card_log, terminal_service::TerminalService};
use flate2::{Compression, write::GzEncoder};
use payterm_schema::{
    Caller, Entry, Fault, Record, Terminal, config::Config, icc::Icc, record::RECORD_VERSION,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::io::Write;

/// Greatest size, as one answer on the bus. 2 MiB.
const MAX_BYTES: usize = 2 << 20;
/// Journal records in it. 200: some tens of transactions.
const RECORDS: u32 = 200;
/// Runs of cards whose decisions are in it. 50: some 5 KiB each.
const CARD_RUNS: usize = 50;
/// Names of fields that are left out: an app's notes, pages and invoices, verifiers of passwords, a person
/// to talk to.
const LEFT_OUT: [&str; 7] = ["note", "page", "invoice", "verifier", "contact", "phone", "email"];
/// The bundle's one folder.
const FOLDER: &str = "payterm-support";

impl TerminalService {
    pub(crate) async fn bundle(&self) -> Result<Vec<u8>, Fault> {
        let me = Caller::payterm();
        let info = self.info().await?;
        let entries = self
            .store
            .last_entries(RECORDS)
            .await
            .map_err(|e| Fault::WrongState { rule: format!("the journal cannot be read: {e}") })?;
        let versions = json!({
            "program": info.version,
            "api": info.api,
            "record": RECORD_VERSION,
            "schema": payterm_journal::SCHEMA,
            "os": os_name(),
            "kernel": std::fs::read_to_string("/proc/version").unwrap_or_default().trim(),
            "at": self.clock.now(),
        });
        let mut files = vec![
            ("versions.json", pretty(&versions)),
            ("terminal.json", pretty(&info)),
            ("config.toml", config_text(&self.config)),
            ("devices.json", pretty(&self.devices().await?)),
            ("self-test.json", pretty(&self.last_self_test().await?)),
            ("obligations.json", pretty(&self.obligations(&me).await?)),
            ("papers.json", pretty(&self.papers(&me).await?)),
            ("totals.json", pretty(&self.totals(&me).await?)),
        ];
        let dir = self.config.store.dir.clone();
        let runs = tokio::task::spawn_blocking(move || card_log::last_runs(&dir, CARD_RUNS));
        let runs = runs.await.unwrap_or_default();
        let logs = self.log_lines.map(|lines| lines()).unwrap_or_default();
        // Very long lines and records: the older half goes until it fits.
        let mut part = 1;
        loop {
            let newest = |n: usize| n - n / part;
            let journal: String = entries.iter().skip(newest(entries.len())).map(journal_line).collect();
            let tail = |lines: &[String]| -> String {
                lines.iter().skip(newest(lines.len())).map(|l| last_four(l) + "\n").collect()
            };
            files.extend([("journal.jsonl", journal), ("log.txt", tail(&logs)), ("cards.log", tail(&runs))]);
            let bytes = packed(&files, self.clock.now().0)
                .map_err(|e| Fault::WrongState { rule: format!("the bundle cannot be packed: {e}") })?;
            if bytes.len() <= MAX_BYTES || part > 1 << 12 {
                return Ok(bytes);
            }
            files.truncate(files.len() - 3);
            part *= 2;
        }
    }
}

fn os_name() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    text.lines().find_map(|l| l.strip_prefix("PRETTY_NAME=")).unwrap_or_default().trim_matches('"').to_owned()
}

/// Names files with keys, never what is in them.
fn config_text(config: &Config) -> String {
    toml::to_string(config).unwrap_or_default()
}

fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(&stripped(value)).unwrap_or_default()
}

fn journal_line(entry: &Entry) -> String {
    format!("{}\n", stripped(entry))
}

fn stripped(value: &impl Serialize) -> Value {
    let mut json = serde_json::to_value(value).unwrap_or_default();
    hide_scripts(&mut json);
    strip(&mut json);
    json
}

/// Record as JSON in its stored form, with what is in issuer scripts (`icc`) left out.
pub(crate) fn shown(record: &Record) -> serde_json::Result<Value> {
    let mut json = serde_json::to_value(record)?;
    hide_scripts(&mut json);
    Ok(json)
}

fn hide_scripts(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(hide_scripts),
        Value::Object(map) => {
            if let Some(icc) = map.get_mut("icc").filter(|icc| icc.is_string()) {
                let shown = serde_json::from_value(icc.take()).map(Icc::without_scripts);
                *icc = shown.and_then(serde_json::to_value).unwrap_or_default();
            }
            map.values_mut().for_each(hide_scripts);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Numbers to their last four digits; [`LEFT_OUT`] is not ours to pass on.
fn strip(value: &mut Value) {
    match value {
        Value::String(text) => *text = last_four(text),
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Object(map) => {
            LEFT_OUT.iter().for_each(|name| drop(map.remove(*name)));
            map.values_mut().for_each(strip);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// `621234*********0003` becomes `***************0003`, wherever it stands.
fn last_four(text: &str) -> String {
    let mut out: Vec<char> = text.chars().collect();
    for at in 1..out.len() {
        if out[at] == '*' && out[at - 1].is_ascii_digit() {
            out[..at].iter_mut().rev().take_while(|c| c.is_ascii_digit()).for_each(|c| *c = '*');
        }
    }
    out.into_iter().collect()
}

fn packed(files: &[(&str, String)], now_ms: i64) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(now_ms / 1000).unwrap_or(0));
        tar.append_data(&mut header, format!("{FOLDER}/{name}"), text.as_bytes())?;
    }
    let mut gz = tar.into_inner()?;
    gz.flush()?;
    gz.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_number_the_last_four_stay() {
        assert_eq!(last_four("F2 PAN 621234*********0003 x"), "F2 PAN ***************0003 x");
        assert_eq!(last_four("13************7788"), "**************7788");
        assert_eq!(last_four("*** TEST *** 12 * 3"), "*** TEST *** 12 * 3");
        let json = json!({
            "outcome": {"masked_pan": "621234*********0003", "note": "from the app"},
            "a": ["13**7788", 1, null],
            "set": {"operator": "01", "verifier": "$argon2id$x"},
            "content": {"invoice": {"title": "t"}},
            "answer": {"icc": "8A02303072098607842400020211FF"},
            "draft": {"city": "s", "contact": "w", "phone": "1", "email": "e"},
        });
        assert_eq!(
            stripped(&json),
            json!({"outcome": {"masked_pan": "***************0003"}, "a": ["****7788", 1, null],
            "set": {"operator": "01"}, "content": {}, "draft": {"city": "s"},
            "answer": {"icc": "8A0230307200"}})
        );
    }
}
