//! The configuration file: TOML into [`Config`]. Everything that is wrong is named with its key and its line.
use payterm_devices::Drivers;
use payterm_schema::{Fault, config::Config};
use serde_json::Value;
use std::{
    ops::Range,
    path::{Path, PathBuf},
};
use toml::de::{DeTable, DeValue};

/// Path of the configuration without `--config`.
pub const DEFAULT_PATH: &str = "/etc/payterm/payterm.toml";
/// Greatest size of the file.
const MAX_BYTES: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path}: {cause}")]
    Read { path: PathBuf, cause: std::io::Error },
    #[error("{path}: more than {MAX_BYTES} bytes")]
    TooLong { path: PathBuf },
    /// The text is not TOML, or has an unknown key.
    #[error("{path}, line {line}: {rule}")]
    Syntax { path: PathBuf, line: usize, rule: String },
    /// A value is of the wrong type or breaks a rule. Without a line, the key is not in the file and its
    /// default breaks it.
    #[error("{path}{}: {field}: {rule}", .line.map(|l| format!(", line {l}")).unwrap_or_default())]
    Invalid { path: PathBuf, line: Option<usize>, field: String, rule: String },
}

/// Reads and checks a file.
pub fn load(path: &Path, drivers: &Drivers) -> Result<Config, ConfigError> {
    let read = |cause| ConfigError::Read { path: path.to_owned(), cause };
    if std::fs::metadata(path).map_err(read)?.len() > MAX_BYTES {
        return Err(ConfigError::TooLong { path: path.to_owned() });
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    let config = parse(path, &text, drivers)?;
    match unknown_profile(&config) {
        None => Ok(config),
        Some((field, rule)) => Err(ConfigError::Invalid {
            path: path.to_owned(),
            line: span_of(&text, &field).map(|at| line_of(&text, at)),
            field,
            rule,
        }),
    }
}

/// The first profile that this program does not have: its key and why.
fn unknown_profile(config: &Config) -> Option<(String, String)> {
    config.accounts.iter().enumerate().find_map(|(i, a)| {
        let refused = payterm_engine::profiles::load(a).err()?;
        Some((format!("account[{i}].profile"), refused.to_string()))
    })
}

/// Keys of a device that were once the table's own, and are options of its driver.
const MOVED: [&str; 2] = ["paper_mm", "confirm"];
fn with_hint(message: &str) -> String {
    let unknown = |key: &str| message.starts_with(&format!("unknown field `{key}`"));
    let moved = MOVED.iter().find(|key| unknown(key));
    let renamed = RENAMED.iter().find(|(old, new)| unknown(old) && message.contains(&format!("`{new}`")));
    let hint = match (moved, renamed) {
        (_, Some((old, new))) => format!("; {new} was called {old}"),
        (Some(key), None) => format!("; {key} of a device is in [device.options] now"),
        (None, None) => String::new(),
    };
    message.replace('\n', " ") + &hint
}

/// Keys with another name now: old, new.
const RENAMED: [(&str, &str); 6] = [
    ("terminal", "tid"),
    ("merchant", "mid"),
    ("organisation", "scheme"),
    ("instrument", "wallet"),
    ("ways", "modes"),
    ("utc_offset_minutes", "zone"),
];

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1
}

/// `path` only names the text in errors.
pub fn parse(path: &Path, text: &str, drivers: &Drivers) -> Result<Config, ConfigError> {
    let config: Config = toml::from_str(text).map_err(|e| {
        let (path, rule) = (path.to_owned(), with_hint(e.message()));
        let line = e.span().map_or(1, |s| line_of(text, s.start));
        match e.span().and_then(|s| field_at(text, s.start)) {
            Some(field) => ConfigError::Invalid { path, line: Some(line), field, rule },
            None => ConfigError::Syntax { path, line, rule },
        }
    })?;
    match config.check().and_then(|()| drivers.check(&config)) {
        Ok(()) => Ok(config),
        Err(Fault::Invalid { field, rule }) => {
            let line = span_of(text, &field).map(|at| line_of(text, at));
            Err(ConfigError::Invalid { path: path.to_owned(), line, field, rule })
        }
        Err(other) => Err(ConfigError::Invalid {
            path: path.to_owned(),
            line: None,
            field: "config".into(),
            rule: other.to_string(),
        }),
    }
}

/// The key of the value that stands there: `account[1].mid`; none where a key or a table stands.
fn field_at(text: &str, at: usize) -> Option<String> {
    let root = DeTable::parse(text).ok()?;
    field_in(root.get_ref(), at)
}

fn field_in(table: &DeTable<'_>, at: usize) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        place_in(value.get_ref(), value.span(), at).map(|place| format!("{}{place}", key.get_ref()))
    })
}

fn place_in(value: &DeValue<'_>, span: Range<usize>, at: usize) -> Option<String> {
    match value {
        DeValue::Table(inner) => field_in(inner, at).map(|field| format!(".{field}")),
        // What is wrong with an item may be told of the whole list.
        DeValue::Array(_) if span.start == at => Some(String::new()),
        DeValue::Array(rows) => rows.iter().enumerate().find_map(|(i, row)| {
            place_in(row.get_ref(), row.span(), at).map(|place| format!("[{i}]{place}"))
        }),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => span.contains(&at).then(String::new),
    }
}

/// Offset of a field like `account[1].mid` in the text; of a key that is not there, its table.
fn span_of(text: &str, field: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let mut at = None;
    let mut table = root.get_ref();
    for part in field.split('.') {
        let (key, index) = match part.split_once('[') {
            Some((key, index)) => (key, index.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let Some((name, value)) = table.iter().find(|(k, _)| k.get_ref() == key) else { return at };
        let (value, start) = match (value.get_ref(), index) {
            (DeValue::Array(rows), Some(i)) => {
                let Some(row) = rows.get(i) else { return at };
                (row.get_ref(), row.span().start)
            }
            (other, _) => (other, name.span().start),
        };
        at = Some(start);
        match value {
            DeValue::Table(inner) => table = inner,
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => return at,
        }
    }
    at
}

/// Keys by which two configurations differ: `account[0].address`; of a list that is longer or shorter, its
/// own.
pub fn differences(a: &Config, b: &Config) -> Vec<String> {
    let mut all = Vec::new();
    let value = |c| serde_json::to_value(c).unwrap_or_default();
    differ(String::new(), &value(a), &value(b), &mut all);
    all
}

fn differ(at: String, a: &Value, b: &Value, all: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))) {
                let inner = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                differ(inner, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), all);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                differ(format!("{at}[{i}]"), a, b, all);
            }
        }
        (a, b) if a == b => {}
        (_, _) => all.push(at),
    }
}

/// The JSON Schema of the configuration, as committed in `schema/json/config.schema.json`.
pub fn json_schema() -> String {
    let mut text = serde_json::to_string_pretty(&schemars::schema_for!(Config)).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(Path::new("p.toml"), text, &Drivers::default()).err().map(|e| e.to_string()).unwrap_or_default()
    }
    const ACCOUNT: &str = "[[account]]\nid = \"cup\"\nprofile = \"unionpay\"\nmid = \"TESTMERCHANT001\"\n\
        tid = \"TEST0001\"\ncurrency = \"CNY\"\naddress = \"127.0.0.1:1\"\n";

    #[test]
    fn a_key_of_before_is_refused_with_its_new_name() {
        for (old, new) in [("terminal", "tid"), ("merchant", "mid")] {
            let text = ACCOUNT.replace(&format!("{new} ="), &format!("{old} ="));
            let told = with_hint(toml::from_str::<Config>(&text).unwrap_err().message());
            assert!(told.ends_with(&format!("; {new} was called {old}")), "{told}");
        }
        let told = toml::from_str::<Config>("[flow.no_cvm]\nlimit = \"1.00 CNY\"\nways = []\n").unwrap_err();
        assert!(with_hint(told.message()).ends_with("; modes was called ways"), "{told}");
        let told = toml::from_str::<Config>("[terminal]\nutc_offset_minutes = 480\n").unwrap_err();
        assert!(with_hint(told.message()).ends_with("; zone was called utc_offset_minutes"), "{told}");
        // A table that never had the new name gets no hint.
        let other = toml::from_str::<Config>("[paper]\nterminal = \"1\"\n").unwrap_err();
        assert!(!with_hint(other.message()).contains("was called"), "{other}");
    }

    #[test]
    fn what_differs_is_named_by_its_key() {
        let config = |text: &str| parse(Path::new("p.toml"), text, &Drivers::default()).unwrap();
        let (a, b) = (config(ACCOUNT), config(&ACCOUNT.replace("127.0.0.1:1", "127.0.0.1:2")));
        assert_eq!(differences(&a, &a), Vec::<String>::new());
        assert_eq!(differences(&a, &b), ["account[0].address"]);
        assert_eq!(differences(&config(""), &b), ["account"]);
        let c = config("[flow]\nconfirm_above = \"5.00 CNY\"\n[terminal]\nshop = \"x\"\n");
        let mut all = differences(&config(""), &c);
        all.sort();
        assert_eq!(all, ["flow.confirm_above", "terminal.shop"]);
    }

    #[test]
    fn an_empty_file_is_good() {
        assert_eq!(parse(Path::new("p.toml"), "", &Drivers::default()).unwrap(), Config::default());
    }

    #[test]
    fn an_unknown_key_is_refused_by_name_and_line() {
        for (text, line, key) in [
            ("[terminal]\nshop = \"a\"\nshoop = \"b\"\n", 3, "shoop"),
            ("\n\nnonsense = 1\n", 3, "nonsense"),
            (&format!("{ACCOUNT}merchnat = \"x\"\n"), 8, "merchnat"),
            ("[[device]]\nname = \"p\"\nkind = \"printer\"\ndriver = \"escpos\"\nwidth = 58\n", 5, "width"),
            ("[store]\ndir = \"/tmp\"\n[store.more]\na = 1\n", 3, "more"),
        ] {
            let e = refused(text);
            assert!(e.starts_with(&format!("p.toml, line {line}: unknown field `{key}`")), "{e}");
        }
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_line() {
        for (text, line, part) in [
            ("[terminal]\noperator = 1\n", 2, "terminal.operator: invalid type: integer"),
            (&format!("{ACCOUNT}nii = \"xyz\"\n"), 8, "account[0].nii: 4 hex digits"),
            (
                "[[route]]\naccount = \"a\"\nbin = \"62-6\"\n",
                3,
                "route[0].bin: from-to, both of the same 1 to 12 digits, from not above to",
            ),
            ("[flow]\nrefused_bins = [\"40-49\", \"5\"]\n", 2, "flow.refused_bins: from-to, both"),
            (
                "[flow]\nconfirm_above = 30000\n",
                2,
                "flow.confirm_above: invalid type: integer `30000`, expected a sum",
            ),
            (
                "[flow.no_cvm]\nlimit = 30000\n",
                2,
                "flow.no_cvm.limit: invalid type: integer `30000`, expected a sum",
            ),
            ("[flow.no_cvm]\nlimit = [\"1.00 CNY\", 2]\n", 2, "with its currency such as \"300.00 CNY\""),
            (
                "[[bus.caller]]\nuid = 1\napp = \"a\"\nlimit = 1000\n",
                4,
                "bus.caller[0].limit: invalid type: integer `1000`, expected a sum with its currency such as",
            ),
            (
                &format!("{ACCOUNT}amount_limit = 5000000\n"),
                8,
                "account[0].amount_limit: invalid type: integer `5000000`, expected a sum with its currency",
            ),
            (
                &format!("{ACCOUNT}amount_limit = \"500.00 USD\"\n"),
                8,
                "account[0].amount_limit: more than zero, in the account's currency",
            ),
            (
                &format!("{ACCOUNT}[account.offline]\nper_card = 20000\n"),
                9,
                "account[0].offline.per_card: invalid type: integer `20000`, expected a sum with its",
            ),
            ("[flow]\ntip_percent = 1001\n", 2, "flow.tip_percent: 0 to 1000 percent"),
            ("[settlement]\nat = \"24:00\"\n", 2, "settlement.at: a time of day HH:MM"),
            ("[terminal]\nlanguage = \"fr\"\n", 2, "zh-CN"),
            ("[terminal]\n\noperator = \"1\"\n", 3, "terminal.operator: two digits"),
            (&ACCOUNT.replace("TEST0001", "T"), 5, "account[0].tid: 8 printable ASCII characters"),
            (&format!("{ACCOUNT}{ACCOUNT}"), 9, "account[1].id: each account has its own id"),
            (&ACCOUNT.replace("\"CNY\"", "\"XAU\""), 6, "XAU"),
            ("[flow]\npin_tries = 300\n", 2, "300"),
            (
                "[bus]\n[[bus.caller]]\nuid = 1\napp = \"a\"\n[[bus.caller]]\nuid = 1\napp = \"b\"\n",
                6,
                "bus.caller[1].uid: each uid once",
            ),
            ("= 3\n", 1, ""),
        ] {
            let e = refused(text);
            assert!(e.starts_with(&format!("p.toml, line {line}: ")) && e.contains(part), "{e}");
        }
    }

    #[test]
    fn plain_tcp_leaves_this_machine_only_where_the_file_says_so_in_words() {
        const TLS: &str = "tls = { ca = \"ca.pem\" }\n";
        const PRIVATE: &str = "line = \"private\"\n";
        let plain =
            "p.toml, line 7: account[0].address: not on loopback: it needs tls, or line = \"private\"";
        for far in
            ["192.0.2.1:1", "[2001:db8::1]:1", "pos.bank.example:1", "127.0.0.1.example:1", "0.0.0.0:1"]
        {
            let account = ACCOUNT.replace("127.0.0.1:1", far);
            // Of a laboratory too.
            for lab in ["", "[terminal]\nlab = true\n"] {
                assert!(refused(&format!("{account}{lab}")).starts_with(plain), "{far}");
                assert_eq!(refused(&format!("{account}{PRIVATE}{lab}")), "");
                assert_eq!(refused(&format!("{account}{TLS}{lab}")), "");
            }
        }
        for near in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "localhost:1"] {
            assert_eq!(refused(&ACCOUNT.replace("127.0.0.1:1", near)), "", "{near}");
        }
        let both = refused(&format!("{ACCOUNT}{TLS}{PRIVATE}"));
        assert_eq!(both, "p.toml, line 9: account[0].line: not beside tls");
        assert!(refused(&format!("{ACCOUNT}line = \"public\"\n")).contains("unknown variant"));
    }

    #[test]
    fn devices_are_refused_with_their_line() {
        const PRINTER: &str =
            "[[device]]\nname = \"p\"\nkind = \"printer\"\ndriver = \"escpos\"\naddress = \"tcp:h:1\"\n";
        const VIRTUAL: &str = "[[device]]\nname = \"v\"\nkind = \"printer\"\ndriver = \"virtual\"\n";
        let options =
            |lines: &str| format!("{VIRTUAL}role = \"kitchen\"\n{PRINTER}[device.options]\n{lines}");
        for (text, line, part) in [
            (options("confirm = \"status\"\npaper_mm = 57\n"), 13, "device[1].options.paper_mm: 58 or 80"),
            (options("confirm = \"maybe\"\n"), 12, "device[1].options.confirm: unknown variant `maybe`"),
            (options("baud = 9600\n"), 12, "device[1].options.baud: unknown field `baud`"),
            (format!("{PRINTER}paper_mm = 80\n"), 6, "paper_mm of a device is in [device.options] now"),
            (PRINTER.replace("escpos", "epson"), 4, "device[0].driver: no registered driver has this name"),
            (PRINTER.replace("printer", "keypad"), 3, "device[0].kind: this driver does not serve"),
            (format!("{PRINTER}{VIRTUAL}"), 6, "device[1].role: another device of this kind has this role"),
            (
                format!("{PRINTER}role = \"kitchen\"\n{VIRTUAL}role = \"kitchen\"\n"),
                11,
                "device[1].role: another",
            ),
            (format!("{PRINTER}role = \"customer\"\n"), 6, "device[0].role: receipt or kitchen"),
            (format!("{PRINTER}part_of = \"q\"\n"), 6, "device[0].part_of: names no device"),
            (
                format!("{PRINTER}{VIRTUAL}part_of = \"p\"\nrole = \"kitchen\"\n"),
                10,
                "device[1].part_of: names no",
            ),
            (
                format!("{}line = \"private\"\n{VIRTUAL}", ACCOUNT.replace("127.0.0.1", "192.0.2.1")),
                7,
                "account[0].address: not on",
            ),
        ] {
            let e = refused(&text);
            assert!(e.starts_with(&format!("p.toml, line {line}: ")) && e.contains(part), "{e}\n{text}");
        }
        assert_eq!(refused(&options("confirm = \"status\"\npaper_mm = 80\n")), "");
        assert_eq!(
            refused(&format!(
                "{PRINTER}[[device]]\nname = \"k\"\nkind = \"printer\"\ndriver = \"escpos\"\n\
             role = \"kitchen\"\npart_of = \"p\"\n"
            )),
            ""
        );
    }

    #[test]
    fn a_file_that_is_missing_or_too_long_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.toml");
        assert!(matches!(load(&path, &Drivers::default()), Err(ConfigError::Read { .. })));
        std::fs::write(&path, "#".repeat(MAX_BYTES as usize + 1)).unwrap();
        assert!(matches!(load(&path, &Drivers::default()), Err(ConfigError::TooLong { .. })));
    }

    /// Regenerate with `paytermd --print-schema > schema/json/config.schema.json`.
    #[test]
    fn the_committed_schema_is_this_one() {
        let committed = std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../schema/json/config.schema.json"
        ))
        .unwrap_or_default();
        assert!(committed == json_schema(), "schema/json/config.schema.json has drifted from schema::config");
    }
}
