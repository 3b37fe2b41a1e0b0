//! Table `[emv]`: terminal data, and the file of applications and CA keys, for the card kernel.
use payterm_emv::{
    Tag, oda,
    terminal::{Aid, Limits, Parameters, TapLimits, Terminal, TerminalData, TerminalFault},
    tlv,
};
use payterm_schema::{
    Fault,
    config::{EmvConfig, ExpiredKeys},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::Path;

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

/// Applications and keys of a file (docs/emv-parameters.toml).
#[derive(Clone)]
pub struct Lists {
    pub version: u64,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    pub aids: Vec<Aid>,
    /// Each with its last day, where one is known.
    pub keys: Vec<oda::CaKey>,
    pub revoked: Vec<oda::Revoked>,
}
impl Lists {
    /// Reads the file; the error names it, and the line or the row that breaks a rule.
    pub fn read(path: &Path) -> Result<Self, String> {
        let at = |cause: String| format!("{}: {cause}", path.display());
        let size = std::fs::metadata(path).map_err(|e| at(e.to_string()))?.len();
        if size > MAX_BYTES {
            return Err(at(format!("more than {MAX_BYTES} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(|e| at(e.to_string()))?;
        parse(&text).map_err(at)
    }
    pub fn parameters(self, expired: ExpiredKeys) -> Result<Parameters, String> {
        let keys = self.keys.into_iter().map(|key| match expired {
            ExpiredKeys::Use => key.until(None),
            ExpiredKeys::Refuse => key,
        });
        Parameters::new(self.version, self.aids, keys.collect(), self.revoked)
            .map_err(|fault| fault.to_string())
    }
}

fn invalid(key: &str, rule: String) -> Fault {
    Fault::Invalid { field: format!("emv.{key}"), rule }
}

/// Terminal data of the table. `tid`: the first account's terminal number; `bypass`: customers may leave out
/// the PIN; `has`: what the devices can
/// ([`Drivers::capabilities`](crate::Drivers::capabilities)). The error names the key.
pub fn terminal(emv: &EmvConfig, tid: Option<&str>, bypass: bool, has: [u8; 2]) -> Result<Terminal, Fault> {
    let fixed = |key, text: &str| fixed(text).map_err(|rule| invalid(key, rule));
    let [kind] = fixed("terminal_type", &emv.terminal_type)?;
    // No host would ever be asked (Book 4 Annex A, terminal type).
    if matches!(kind & 0x0F, 3 | 6) {
        return Err(invalid("terminal_type", "can go online: its second digit is not 3 or 6".into()));
    }
    let known = tid.filter(|tid| tid.len() == 8 && tid.bytes().all(|b| b.is_ascii_alphanumeric()));
    let serial = emv.serial.as_deref().or(known).unwrap_or("00000000");
    let [input, cvm, security] =
        self::fixed(&emv.capabilities).map_err(|rule| invalid("capabilities", rule))?;
    let rule = |key, fault: TerminalFault| invalid(key, fault.to_string());
    let data = TerminalData {
        country: emv.country,
        kind,
        capabilities: [input & has[0], cvm & has[1], security],
        additional: self::fixed(&emv.additional_capabilities)
            .map_err(|rule| invalid("additional_capabilities", rule))?,
        serial: serial.as_bytes().try_into().map_err(|_| rule("serial", TerminalFault::Serial))?,
        category: emv.category,
        merchant: None,
        id: None,
        name: emv.name.clone().into_bytes(),
        languages: vec![*b"zh", *b"en"],
        bypass,
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
    let sha256 = Sha256::digest(text).into();
    let lists = Lists { version: file.version, sha256, aids, keys, revoked };
    lists.clone().parameters(ExpiredKeys::Use).map(|_| lists)
}

/// Bits of TVR byte 1 that say that a card was not authenticated, or is on an exception file.
const UNPROVED: u8 = 0xFC;

fn aid(row: &AidRow) -> Result<Aid, String> {
    let of = |key: &str, rule: String| format!("{key}: {rule}");
    let bytes = |key: &str, text: &str| hex::decode(text).map_err(|e| of(key, e.to_string()));
    let code = |key: &str, text: &str| fixed(text).map_err(|rule| of(key, rule));
    let denial: [u8; 5] = code("denial", &row.denial)?;
    for (key, text) in [("online", &row.online), ("default", &row.default)] {
        let [first, ..]: [u8; 5] = code(key, text)?;
        if (denial[0] | first) & UNPROVED != UNPROVED {
            let rule = "its first byte has the bits FC, alone or with `denial`: a card that proves nothing \
                        is not approved without its issuer";
            return Err(of(key, rule.into()));
        }
    }
    Ok(Aid {
        name: bytes("aid", &row.aid)?,
        partial: row.partial,
        version: fixed(&row.version).map_err(|rule| of("version", rule))?,
        limits: Limits {
            floor: row.floor,
            threshold: row.threshold,
            target: row.target,
            most: row.most,
            denial,
            online: code("online", &row.online)?,
            default: code("default", &row.default)?,
        },
        ddol: Some(bytes("ddol", &row.ddol)?),
        tdol: row.tdol.as_ref().map(|text| bytes("tdol", text)).transpose()?,
        online_pin: row.online_pin,
        tap: row.tap.map(TapLimits::from),
    })
}

/// A key in the form of a 370, in hex digits: application provider 9F06, index 9F22, modulus DF02, exponent
/// DF04, checksum DF03; and, where it is there, the last day DF05 in one of the forms that acquirers have.
pub fn key(text: &str) -> Result<oda::CaKey, String> {
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
    use payterm_simulator::card::ca_key_370;

    const AID: &str = "[[aid]]\naid = \"A000000333010101\"\nversion = \"0030\"\n";

    #[test]
    fn a_file_of_parameters_holds_as_a_whole_or_not_at_all() {
        assert!(parse(&format!("version = 1\n{AID}")).is_ok());
        assert!(parse(include_str!("../../../docs/emv-parameters.toml")).is_ok(), "the example");
        let key = hex::encode_upper(ca_key_370([0xA0, 0, 0, 3, 0x33]));
        let file = |key: &str| format!("version = 1\nkeys = [\"{key}\"]\n{AID}");
        let until = |key: &str| parse(&file(key)).map(|lists| lists.keys[0].last_day());
        let last = "DF05083230393931323331";
        assert_eq!(until(&key), Ok(Some(20_991_231)));
        assert_eq!(until(&key.replacen(last, "", 1)), Ok(None));
        let ends = |day: &str| key.replacen(last, &format!("DF05{day}"), 1);
        for day in ["083230333031323331", "0420301231", "03301231"] {
            assert_eq!(until(&ends(day)), Ok(Some(20_301_231)), "{day}");
        }
        for day in ["083230333031333331", "0420301232", "0120", "083230333058323331"] {
            assert!(until(&ends(day)).is_err_and(|rule| rule.starts_with("keys[0]: DF05: a day")), "{day}");
        }
        // The checksum is the last of it.
        let (rest, last) = key.split_at(key.len() - 1);
        let wrong = format!("{rest}{}", if last == "0" { "1" } else { "0" });
        assert_ne!(key, wrong);
        for (text, rule) in [
            ("version = 1\naid = []".to_owned(), "aid: at least one"),
            (format!("version = 1\nspeed = 1\n{AID}"), "line 2: unknown field `speed`"),
            (format!("version = 1\n{AID}denial = \"00\""), "aid[0]: denial: 10 hex digits"),
            (format!("version = 1\n{AID}online = \"0000000000\""), "aid[0]: online: its first byte has"),
            (format!("version = 1\n{AID}default = \"F8FFFFFFFF\""), "aid[0]: default: its first byte"),
            (format!("version = 1\n{AID}most = 100"), "aid[0]: percentages"),
            (format!("version = 1\n{AID}tap = {{ most = 0, cvm = 0 }}"), "aid[0]: limits for taps"),
            (format!("version = 1\n{AID}tap = {{ most = 1 }}"), "line 5: missing field `cvm`"),
            (format!("version = 1\n{AID}{AID}"), "aid[1]: it is there twice"),
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
