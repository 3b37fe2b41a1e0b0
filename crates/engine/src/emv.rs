//! Table `[emv]`: terminal data and the file of applications and CA keys, for the card kernel.
use payterm_devices::{EmvKernel, MakeKernel, emv_kernel::SharedParameters};
use payterm_emv::{
    Tag, oda,
    terminal::{Aid, Limits, Parameters, TapLimits, Terminal, TerminalData, TerminalFault},
    tlv,
};
use payterm_schema::{
    Fault,
    config::{Config, EmvConfig, ExpiredKeys},
    download::{EmvAid, EmvKey, EmvParameters},
};
use serde::Deserialize;
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

/// Greatest size of the file. 1 MiB: some thousand keys.
const MAX_BYTES: u64 = 1 << 20;

/// File of applications and keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Rises with each change.
    version: u64,
    #[serde(rename = "aid")]
    aids: Vec<AidRow>,
    /// CA keys, each as the acquirer sends one (370): tags 9F06, 9F22, DF05, DF02, DF04, DF03.
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    revoked: Vec<RevokedRow>,
}

/// Application. What is left out sends every payment to the issuer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AidRow {
    aid: String,
    /// Names of a card that only begin with it fit too.
    #[serde(default)]
    partial: bool,
    /// 9F09.
    version: String,
    #[serde(default)]
    floor: u32,
    #[serde(default)]
    threshold: u32,
    #[serde(default)]
    target: u8,
    #[serde(default)]
    most: u8,
    /// Terminal action codes; as a terminal without any has them (Book 3, terminal action analysis).
    #[serde(default = "nothing")]
    denial: String,
    #[serde(default = "everything")]
    online: String,
    #[serde(default = "everything")]
    default: String,
    /// Default DDOL: the unpredictable number, as Book 2 wants at least.
    #[serde(default = "ddol")]
    ddol: String,
    #[serde(default)]
    tdol: Option<String>,
    #[serde(default = "yes")]
    online_pin: bool,
    /// None: it is not for taps.
    #[serde(default)]
    tap: Option<TapRow>,
}
/// Limits for taps, in minor units.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct TapRow {
    #[serde(default)]
    floor: u32,
    most: u32,
    cvm: u32,
}
impl From<TapRow> for TapLimits {
    fn from(TapRow { floor, most, cvm }: TapRow) -> Self {
        Self { floor: floor.into(), most: most.into(), cvm: cvm.into() }
    }
}
fn nothing() -> String {
    "0000000000".into()
}
fn everything() -> String {
    "FFFFFFFFFF".into()
}
fn ddol() -> String {
    "9F3704".into()
}
fn yes() -> bool {
    true
}

/// Issuer's certificate that is believed no more.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokedRow {
    rid: String,
    index: String,
    serial: String,
}

/// Applications and keys of the file, as they are before a download.
#[derive(Clone)]
struct Lists {
    version: u64,
    aids: Vec<Aid>,
    /// Each with its last day, where one is known.
    keys: Vec<oda::CaKey>,
    revoked: Vec<oda::Revoked>,
}
impl Lists {
    fn parameters(self, expired: ExpiredKeys) -> Result<Parameters, String> {
        let keys = self.keys.into_iter().map(|key| match expired {
            ExpiredKeys::Use => key.until(None),
            ExpiredKeys::Refuse => key,
        });
        Parameters::new(self.version, self.aids, keys.collect(), self.revoked)
            .map_err(|fault| fault.to_string())
    }
    /// With what the hosts have given: an entry replaces the one of its name.
    fn with(mut self, downloads: &[Arc<EmvParameters>]) -> Result<Self, String> {
        for given in downloads {
            self.version += given.version;
            for aid in given.aids.iter().flatten().map(downloaded_aid) {
                self.aids.retain(|other| other.name != aid.name);
                self.aids.push(aid);
            }
            for key in given.keys.iter().flatten() {
                let EmvKey { rid, index, expiry, modulus, exponent, checksum } = key;
                let key = oda::CaKey::new(*rid, *index, modulus, exponent, Some(*checksum));
                let key = key.map_err(|fault| format!("key {index:02X}: {fault}"))?;
                let key = key.until(expiry.parse().ok());
                self.keys.retain(|other| other.name() != key.name());
                self.keys.push(key);
            }
        }
        Ok(self)
    }
}

fn downloaded_aid(given: &EmvAid) -> Aid {
    Aid {
        name: given.aid.clone(),
        partial: given.partial,
        version: given.version,
        limits: Limits {
            floor: given.floor,
            // From the floor on all goes online, so a threshold above it says nothing.
            threshold: given.threshold.min(given.floor),
            target: given.target,
            most: given.most,
            denial: given.denial,
            online: given.online,
            default: given.default,
        },
        ddol: Some(given.ddol.clone()),
        tdol: None,
        online_pin: given.online_pin,
        // Without a limit of its own for the holder's verification every tap is verified.
        tap: given.tap_limit.filter(|most| *most > 0).map(|most| TapLimits {
            floor: given.tap_floor.unwrap_or(0),
            most,
            cvm: given.tap_no_cvm.unwrap_or(0),
        }),
    }
}

/// What the card kernel works with: the file, and what hosts have given.
pub struct CardData {
    file: Lists,
    expired: ExpiredKeys,
    now: SharedParameters,
    known: Mutex<Known>,
}
/// What a self-test tells of the lists.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Last days of the keys that are there now.
    pub ends: Vec<KeyEnd>,
    /// Why the last download is not used; none: it is, or there was none.
    pub unused: Option<String>,
}
/// Last day of a CA key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyEnd {
    pub rid: [u8; 5],
    pub index: u8,
    /// YYYYMMDD as a number.
    pub day: u32,
}
impl CardData {
    /// Takes effect with the next run of a card; what runs keeps what it began with. What the kernel does not
    /// take changes nothing.
    pub fn follow(&self, downloads: &[Arc<EmvParameters>]) {
        let lists = self.file.clone().with(downloads);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match lists.and_then(|lists| Ok((ends(&lists), lists.parameters(self.expired)?))) {
            Ok((ends, new)) => {
                *known = Known { ends, unused: None };
                *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
            }
            Err(why) => {
                tracing::error!("downloaded CA keys and applications are not used: {why}");
                known.unused = Some(why);
            }
        }
    }
    /// What becomes of keys behind their last day.
    pub fn expired(&self) -> ExpiredKeys {
        self.expired
    }
    pub fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
fn ends(lists: &Lists) -> Vec<KeyEnd> {
    let end = |key: &oda::CaKey| {
        let (rid, index) = key.name();
        key.last_day().map(|day| KeyEnd { rid, index, day })
    };
    lists.keys.iter().filter_map(end).collect()
}

/// The kernel that this configuration describes, and its data; none: it has no `[emv]`. The error names the
/// key.
pub fn kernel(config: &Config) -> Result<Option<(MakeKernel, CardData)>, Fault> {
    let Some(emv) = &config.emv else { return Ok(None) };
    let terminal = Arc::new(terminal(config, emv)?);
    let file = lists(&emv.parameters).map_err(|rule| invalid("parameters", rule))?;
    let parameters = file.clone().parameters(emv.expired_keys).map_err(|rule| invalid("parameters", rule))?;
    let (parameters, card_ms) = (Arc::new(parameters), emv.card_ms);
    let now = SharedParameters::new(RwLock::new(parameters.clone()));
    let known = Mutex::new(Known { ends: ends(&file), unused: None });
    let data = CardData { file, expired: emv.expired_keys, now: now.clone(), known };
    let make: MakeKernel = Arc::new(move || {
        let random = Box::new(|bytes: &mut [u8]| {
            // A number that can be foretold would be worse than a reader that stops.
            getrandom::fill(bytes).unwrap_or_else(|e| panic!("the system gives no random bytes: {e}"));
        });
        let kernel = EmvKernel::new(terminal.clone(), parameters.clone(), random);
        Box::new(kernel.following(now.clone()).card_ms(card_ms))
    });
    Ok(Some((make, data)))
}

fn invalid(key: &str, rule: String) -> Fault {
    Fault::Invalid { field: format!("emv.{key}"), rule }
}

fn terminal(config: &Config, emv: &EmvConfig) -> Result<Terminal, Fault> {
    let fixed = |key, text: &str| fixed(text).map_err(|rule| invalid(key, rule));
    let [kind] = fixed("terminal_type", &emv.terminal_type)?;
    // No host would ever be asked (Book 4 Annex A, terminal type).
    if matches!(kind & 0x0F, 3 | 6) {
        return Err(invalid("terminal_type", "can go online: its second digit is not 3 or 6".into()));
    }
    let account = config.accounts.first().map(|a| a.tid.to_string());
    let known = account.filter(|tid| tid.len() == 8 && tid.bytes().all(|b| b.is_ascii_alphanumeric()));
    let serial = emv.serial.clone().or(known).unwrap_or_else(|| "00000000".into());
    let rule = |key, fault: TerminalFault| invalid(key, fault.to_string());
    let data = TerminalData {
        country: emv.country,
        kind,
        capabilities: self::fixed(&emv.capabilities).map_err(|rule| invalid("capabilities", rule))?,
        additional: self::fixed(&emv.additional_capabilities)
            .map_err(|rule| invalid("additional_capabilities", rule))?,
        serial: serial.as_bytes().try_into().map_err(|_| rule("serial", TerminalFault::Serial))?,
        category: emv.category,
        merchant: None,
        id: None,
        name: emv.name.clone().into_bytes(),
        languages: vec![*b"zh", *b"en"],
        bypass: config.flow.pin_bypass,
    };
    Terminal::new(data).map_err(|fault| {
        let key = match fault {
            TerminalFault::Country => "country",
            TerminalFault::Kind => "terminal_type",
            TerminalFault::Capabilities => "capabilities",
            TerminalFault::Additional => "additional_capabilities",
            TerminalFault::Serial => "serial",
            TerminalFault::Category => "category",
            TerminalFault::Name | TerminalFault::Numbers | TerminalFault::Language => "name",
        };
        rule(key, fault)
    })
}

fn lists(path: &Path) -> Result<Lists, String> {
    let at = |cause: String| format!("{}: {cause}", path.display());
    let size = std::fs::metadata(path).map_err(|e| at(e.to_string()))?.len();
    if size > MAX_BYTES {
        return Err(at(format!("more than {MAX_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| at(e.to_string()))?;
    parse(&text).map_err(at)
}

fn parse(text: &str) -> Result<Lists, String> {
    let file: File = toml::from_str(text).map_err(|e| {
        let line = e.span().map(|span| text[..span.start].matches('\n').count() + 1);
        line.map_or_else(String::new, |line| format!("line {line}: ")) + e.message()
    })?;
    if file.aids.is_empty() {
        return Err("aid: at least one".into());
    }
    let named = |what: &str, i: usize| {
        let what = what.to_owned();
        move |rule: String| format!("{what}[{i}]: {rule}")
    };
    let aids = file.aids.iter().enumerate().map(|(i, row)| aid(row).map_err(named("aid", i)));
    let aids = aids.collect::<Result<Vec<_>, _>>()?;
    let keys = file.keys.iter().enumerate().map(|(i, text)| key(text).map_err(named("keys", i)));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let revoked = file.revoked.iter().enumerate().map(|(i, r)| revoked(r).map_err(named("revoked", i)));
    let revoked = revoked.collect::<Result<Vec<_>, _>>()?;
    let lists = Lists { version: file.version, aids, keys, revoked };
    lists.clone().parameters(ExpiredKeys::Use).map(|_| lists)
}

fn aid(row: &AidRow) -> Result<Aid, String> {
    let of = |key: &str, rule: String| format!("{key}: {rule}");
    let bytes = |key: &str, text: &str| hex::decode(text).map_err(|e| of(key, e.to_string()));
    let code = |key: &str, text: &str| fixed(text).map_err(|rule| of(key, rule));
    Ok(Aid {
        name: bytes("aid", &row.aid)?,
        partial: row.partial,
        version: fixed(&row.version).map_err(|rule| of("version", rule))?,
        limits: Limits {
            floor: row.floor,
            threshold: row.threshold,
            target: row.target,
            most: row.most,
            denial: code("denial", &row.denial)?,
            online: code("online", &row.online)?,
            default: code("default", &row.default)?,
        },
        ddol: Some(bytes("ddol", &row.ddol)?),
        tdol: row.tdol.as_ref().map(|text| bytes("tdol", text)).transpose()?,
        online_pin: row.online_pin,
        tap: row.tap.map(TapLimits::from),
    })
}

/// A key in the form of a 370: application provider 9F06, index 9F22, modulus DF02, exponent DF04, checksum
/// DF03; and, where it is there, the last day DF05 in one of the forms that acquirers have.
fn key(text: &str) -> Result<oda::CaKey, String> {
    let bytes = hex::decode(text).map_err(|e| e.to_string())?;
    let get = |tag: u32| {
        let found = tlv::find(&bytes, Tag(tag)).map_err(|e| e.to_string())?;
        found.ok_or_else(|| format!("{} is missing", Tag(tag)))
    };
    let exact = |tag: u32, len: usize| format!("{}: {len} bytes", Tag(tag));
    let rid = get(0x9F06)?.try_into().map_err(|_| exact(0x9F06, 5))?;
    let &[index] = get(0x9F22)? else { return Err(exact(0x9F22, 1)) };
    let checksum = get(0xDF03)?.try_into().map_err(|_| exact(0xDF03, 20))?;
    let until = tlv::find(&bytes, Tag(0xDF05)).map_err(|e| e.to_string())?.map(last_day).transpose()?;
    let key = oda::CaKey::new(rid, index, get(0xDF02)?, get(0xDF04)?, Some(checksum));
    Ok(key.map_err(|e| e.to_string())?.until(until))
}

/// A day as YYYYMMDD in ASCII or BCD, or as YYMMDD in BCD.
fn last_day(value: &[u8]) -> Result<u32, String> {
    let text = match value.len() {
        8 => String::from_utf8_lossy(value).into_owned(),
        3 => format!("20{}", hex::encode(value)),
        _ => hex::encode(value),
    };
    let number: Option<u32> = text.parse().ok().filter(|_| text.len() == 8);
    let day = number.filter(|n| (1..=12).contains(&(n / 100 % 100)) && (1..=31).contains(&(n % 100)));
    day.ok_or_else(|| "DF05: a day as YYYYMMDD in digits or BCD, or as YYMMDD in BCD".into())
}

fn revoked(row: &RevokedRow) -> Result<oda::Revoked, String> {
    let of = |key: &str, rule: String| format!("{key}: {rule}");
    let [index] = fixed(&row.index).map_err(|rule| of("index", rule))?;
    Ok(oda::Revoked {
        rid: fixed(&row.rid).map_err(|rule| of("rid", rule))?,
        index,
        serial: fixed(&row.serial).map_err(|rule| of("serial", rule))?,
    })
}

fn fixed<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let mut out = [0; N];
    hex::decode_to_slice(text, &mut out).map_err(|_| format!("{} hex digits", 2 * N))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AID: &str = "[[aid]]\naid = \"A000000333010101\"\nversion = \"0030\"\n";
    /// A public key of UnionPay, index 01.
    const KEY: &str = include_str!("../tests/it/chip/ca-key.hex");

    fn config(change: impl FnOnce(&mut EmvConfig)) -> (tempfile::TempDir, Config) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("emv.toml");
        std::fs::write(&path, format!("version = 1\nkeys = [\"{}\"]\n{AID}", KEY.trim())).unwrap();
        let mut emv = EmvConfig::new(path);
        change(&mut emv);
        let mut config = crate::demo::config(0);
        config.emv = Some(emv);
        (dir, config)
    }
    fn refused(config: &Config) -> String {
        kernel(config).err().map(|fault| fault.to_string()).unwrap_or_default()
    }

    #[test]
    fn the_defaults_make_a_kernel_and_no_table_makes_none() {
        let (_dir, mut config) = config(|_| ());
        assert_eq!(config.check(), Ok(()));
        assert!(kernel(&config).unwrap().is_some());
        config.emv = None;
        assert!(kernel(&config).unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_key() {
        type Case = (&'static str, fn(&mut EmvConfig));
        let cases: [Case; 9] = [
            ("emv.country: ", |e| e.country = 0),
            ("emv.terminal_type: ", |e| e.terminal_type = "27".into()),
            ("emv.terminal_type: ", |e| e.terminal_type = "2".into()),
            ("emv.terminal_type: can go online", |e| e.terminal_type = "23".into()),
            ("emv.capabilities: ", |e| e.capabilities = "E068CF".into()),
            ("emv.additional_capabilities: ", |e| e.additional_capabilities = "0000F0A001".into()),
            ("emv.serial: ", |e| e.serial = Some("1".into())),
            ("emv.category: ", |e| e.category = 10_000),
            ("emv.parameters: ", |e| e.parameters = "/nonexistent".into()),
        ];
        for (field, change) in cases {
            let told = refused(&config(change).1);
            assert!(told.starts_with(field), "{field}: {told}");
        }
    }

    #[test]
    fn a_file_of_parameters_holds_as_a_whole_or_not_at_all() {
        assert!(parse(&format!("version = 1\n{AID}")).is_ok());
        assert!(parse(include_str!("../../../docs/emv-parameters.toml")).is_ok(), "the example");
        let key = KEY.trim();
        let file = |key: &str| format!("version = 1\nkeys = [\"{key}\"]\n{AID}");
        let ends = |day: &str| key.replacen("DF0508", &format!("DF05{day}DF7008"), 1);
        let until = |day: &str| parse(&file(&ends(day))).map(|lists| lists.keys[0].last_day());
        for day in ["083230333031323331", "0420301231", "03301231"] {
            assert_eq!(until(day), Ok(Some(20301231)), "{day}");
        }
        for day in ["083230333031333331", "0420301232", "0120", "083230333058323331"] {
            assert!(until(day).is_err_and(|rule| rule.starts_with("keys[0]: DF05: a day")), "{day}");
        }
        let wrong = key.replacen("DF028180BB", "DF028180BD", 1);
        assert_ne!(key, wrong);
        for (text, rule) in [
            ("version = 1\naid = []".to_owned(), "aid: at least one"),
            (format!("version = 1\nspeed = 1\n{AID}"), "line 2: unknown field `speed`"),
            (format!("version = 1\n{AID}denial = \"00\""), "aid[0]: denial: 10 hex digits"),
            (format!("version = 1\n{AID}most = 100"), "application 0: percentages"),
            (format!("version = 1\n{AID}tap = {{ most = 0, cvm = 0 }}"), "application 0: limits for taps"),
            (format!("version = 1\n{AID}tap = {{ most = 1 }}"), "line 5: missing field `cvm`"),
            (format!("version = 1\n{AID}{AID}"), "application 1: it is there twice"),
            (file(&wrong), "keys[0]: its checksum"),
            (file(&key[..40]), "keys[0]: "),
            (
                format!(
                    "version = 1\n{AID}[[revoked]]\nrid = \"A000000333\"\nindex = \"01\"\nserial = \"1\""
                ),
                "revoked[0]: serial: 6 hex digits",
            ),
        ] {
            let told = parse(&text).err().unwrap_or_default();
            assert!(told.starts_with(rule), "{rule}: {told}");
        }
    }
}
