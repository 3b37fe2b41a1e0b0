//! The configuration file: TOML into [`Config`]. Everything that is wrong is named at once: line, key, rule
//! and what was probably meant.
pub(crate) mod hint;
mod reading;

use crate::logging::Level;
use payterm_devices::Drivers;
use payterm_engine::files;
use payterm_schema::{Fault, config::Config};
use reading::Reading;
use serde_json::Value;
use std::{
    fmt,
    path::{Path, PathBuf},
};

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
    #[error("{0}")]
    Refused(Refused),
}

/// Everything that is wrong with a configuration; displayed, a line for each.
#[derive(Debug)]
pub struct Refused {
    pub path: PathBuf,
    pub findings: Vec<Finding>,
}
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        let lines = self.findings.iter().map(|finding| format!("{path}{finding}"));
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Line of the key; of one that is not there, of its table. None: neither is in the file.
    pub line: Option<usize>,
    /// Path of the key, `account[0].mid`; empty where the text is not TOML.
    pub field: String,
    pub rule: String,
    /// What was probably meant: `did you mean "unionpay"?`
    pub hint: Option<String>,
}
/// What stands behind the file's name.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.rule)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// Reads a file and checks it with all that it names: what is in it, the files and directories, and that
/// somebody can call, log on and pay. `state` is the state directory in place of `store.dir`.
pub fn load(path: &Path, state: Option<&Path>, drivers: &Drivers) -> Result<Config, ConfigError> {
    read(path, state, drivers, |_| false)
}

/// [`load`] for a start, which goes on without what no payment needs: a disk for backups that is not there
/// yet must not keep a shop from selling. The terminal warns of it, and works without.
pub fn load_to_start(path: &Path, state: Option<&Path>, drivers: &Drivers) -> Result<Config, ConfigError> {
    const SPARED: [&str; 4] = ["store.backup_dir", "store.generation_file", "paper.templates", "paper.font"];
    read(
        path,
        state,
        drivers,
        |fault| matches!(fault, Fault::Invalid { field, .. } if SPARED.contains(&field.as_str())),
    )
}

fn read(
    path: &Path,
    state: Option<&Path>,
    drivers: &Drivers,
    spared: impl Fn(&Fault) -> bool,
) -> Result<Config, ConfigError> {
    let read = |cause| ConfigError::Read { path: path.to_owned(), cause };
    if std::fs::metadata(path).map_err(read)?.len() > MAX_BYTES {
        return Err(ConfigError::TooLong { path: path.to_owned() });
    }
    let bytes = std::fs::read(path).map_err(read)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut reading = Reading::of(&text, drivers);
    if let Err(e) = std::str::from_utf8(&bytes) {
        reading.no_toml(e.valid_up_to(), "not UTF-8: the file is to be saved in that encoding");
    }
    if let Some(mut config) = reading.config.take() {
        reading.useless(config.useless());
        if let Err(e) = Level::parse(&config.log.level) {
            reading.broken("log.level", &e.rule, e.meant);
        }
        if let Some(dir) = state {
            config.store.dir = dir.to_owned();
        }
        for fault in files::broken(&config, drivers).into_iter().filter(|fault| !spared(fault)) {
            reading.fault(fault, &config, drivers);
        }
        reading.config = Some(config);
    }
    reading.ends(path)
}

/// Reads a text and checks what is in it; `path` only names it in errors.
pub fn parse(path: &Path, text: &str, drivers: &Drivers) -> Result<Config, ConfigError> {
    Reading::of(text, drivers).ends(path)
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
            ("[[device]]\nname = \"p\"\nkind = \"printer\"\ndriver = \"virtual\"\nwidth = 58\n", 5, "width"),
            ("[store]\ndir = \"/tmp\"\n[store.more]\na = 1\n", 3, "more"),
        ] {
            let e = refused(text);
            let field = format!("{key}: unknown key; ");
            assert!(e.starts_with(&format!("p.toml, line {line}: ")) && e.contains(&field), "{e}");
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
            ("[flow]\nrefused_bins = [\"40-49\", \"5\"]\n", 2, "flow.refused_bins[1]: from-to, both"),
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
                &format!("{ACCOUNT}[account.offline.merchant]\nper_card = 20000\n"),
                9,
                "account[0].offline.merchant.per_card: invalid type: integer `20000`, expected a sum",
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
            let at = format!("p.toml, line {line}: ");
            assert!(e.lines().any(|e| e.starts_with(&at) && e.contains(part)), "{e}");
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
        assert!(refused(&format!("{ACCOUNT}line = \"public\"\n")).contains("is none of private"));
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
            (options("confirm = \"maybe\"\n"), 12, "device[1].options.confirm: \"maybe\" is none of"),
            (options("baud = 9600\n"), 12, "device[1].options.baud: unknown key"),
            (
                format!("{PRINTER}paper_mm = 80\n"),
                6,
                "paper_mm is an option of driver \"escpos\", in [device.options]",
            ),
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
            let at = format!("p.toml, line {line}: ");
            assert!(e.lines().any(|e| e.starts_with(&at) && e.contains(part)), "{e}\n{text}");
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
        assert!(matches!(load(&path, None, &Drivers::default()), Err(ConfigError::Read { .. })));
        std::fs::write(&path, "#".repeat(MAX_BYTES as usize + 1)).unwrap();
        assert!(matches!(load(&path, None, &Drivers::default()), Err(ConfigError::TooLong { .. })));
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
