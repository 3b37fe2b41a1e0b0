//! The words of serde and TOML for the person who wrote the file, and what was probably meant.
use payterm_devices::Drivers;
use payterm_engine::profiles;
use payterm_schema::{
    Currency,
    config::{BinRange, Config},
    zone::Zone,
};
use std::path::Path;
use toml::Value;

/// Likeness of two words from which one may be the other misspelt, 0 to 1.
const LIKE: f64 = 0.83;

/// What is told of one thing that serde refused.
pub struct Told {
    pub rule: String,
    pub hint: Option<String>,
    /// The table that was probably meant.
    pub table: Option<String>,
}

/// Words of serde in those of the file. `value` is what was refused.
pub fn of_serde(message: &str, field: &str, value: Option<&Value>) -> Told {
    let told = |rule: String, hint| Told { rule, hint, table: None };
    let key = field.rsplit('.').next().and_then(|k| k.split('[').next()).unwrap_or_default();
    if let Some((unknown, known)) = unknown("field", message) {
        let old = RENAMED.iter().find(|(old, new)| *old == unknown && known.contains(new));
        let near = nearest(unknown, known.iter().copied());
        let of_device = field.starts_with("device[");
        let option = OPTIONS.iter().find(|(option, _)| of_device && *option == unknown);
        let known_are = || match known.as_slice() {
            [] => "there are none".into(),
            known => format!("known are {}", known.join(", ")),
        };
        let hint = match (old, option, near) {
            (Some((old, new)), ..) => format!("{new} was called {old}"),
            (None, Some((_, driver)), None) if field.contains("].options") => {
                format!("{unknown} is an option of driver {driver:?}; {}", known_are())
            }
            (None, Some((_, driver)), _) => {
                format!("{unknown} is an option of driver {driver:?}, in [device.options]")
            }
            (None, None, Some(near)) => meant(near.to_owned()),
            (None, None, None) if field.contains("].options") => known_are(),
            (None, None, None) => elsewhere(unknown).unwrap_or_else(known_are),
        };
        let table = near.filter(|_| field == unknown).map(str::to_owned);
        return Told { rule: "unknown key".into(), hint: Some(hint), table };
    }
    if let Some((unknown, known)) = unknown_word(message) {
        let near = nearest(unknown, known.iter().copied()).map(|near| meant(format!("{near:?}")));
        return told(format!("{unknown:?} is none of {}", known.join(", ")), near);
    }
    if message.starts_with(&format!("missing field `{key}`")) {
        return told("is missing, and needed".into(), None);
    }
    if let Some((found, expected)) = message.split_once(", expected ")
        && (found.starts_with("invalid type: ") || found.starts_with("invalid value: "))
    {
        let hint = of_type(expected, field, value);
        let found = match found {
            "invalid type: map" => "invalid type: a table",
            "invalid type: sequence" => "invalid type: a list",
            "invalid type: unit variant" => "invalid type",
            other => other,
        };
        return told(format!("{found}, expected {}", of_expected(expected)), hint);
    }
    let hint = value.and_then(Value::as_str).and_then(|text| of_text(key, text));
    let rule = message.strip_prefix(&format!("{key}: ")).unwrap_or(message);
    told(rule.replace('\n', " "), hint)
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
/// Options of our drivers, which are no keys of a device's table itself.
const OPTIONS: [(&str, &str); 8] = [
    ("paper_mm", "escpos"),
    ("confirm", "escpos"),
    ("model", "escpos"),
    ("idle_release_ms", "escpos"),
    ("status_every_ms", "escpos"),
    ("reader", "pcsc"),
    ("card", "virtual"),
    ("size", "virtual"),
];

/// The word that is refused, and those that are known.
fn unknown<'m>(what: &str, message: &'m str) -> Option<(&'m str, Vec<&'m str>)> {
    let (word, known) = message.strip_prefix(&format!("unknown {what} `"))?.split_once('`')?;
    Some((word, known.split('`').skip(1).step_by(2).collect()))
}
fn unknown_word(message: &str) -> Option<(&str, Vec<&str>)> {
    unknown("variant", message)
}

pub fn meant(word: String) -> String {
    format!("did you mean {word}?")
}

/// The word that another one is most like.
pub fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let plain = |w: &str| w.to_lowercase().replace('-', "_");
    let word = plain(word);
    let like = |known: &&str| {
        let known = plain(known);
        // Two letters of a short word that have changed places.
        let slip = word.len() > 2 && strsim::osa_distance(&word, &known) == 1;
        strsim::jaro_winkler(&word, &known).max(if slip { LIKE } else { 0.0 })
    };
    let best = known.max_by(|a, b| like(a).total_cmp(&like(b)));
    best.filter(|best| like(best) >= LIKE)
}

/// The tables that have such a key.
fn elsewhere(key: &str) -> Option<String> {
    let schema = serde_json::to_value(schemars::schema_for!(Config)).ok()?;
    let mut tables = Vec::new();
    having(key, "", &schema, &schema["$defs"], &mut tables);
    (!tables.is_empty()).then(|| format!("it is a key of {}", tables.join(", ")))
}
fn having(key: &str, path: &str, table: &serde_json::Value, defs: &serde_json::Value, all: &mut Vec<String>) {
    for (name, p) in table["properties"].as_object().into_iter().flatten() {
        let optional = p["anyOf"].as_array().and_then(|any| any.iter().find(|v| !v["$ref"].is_null()));
        let list = !p["items"].is_null();
        let inner = optional.unwrap_or(if list { &p["items"] } else { p });
        let inner = inner["$ref"].as_str().map_or(inner, |r| &defs[r.trim_start_matches("#/$defs/")]);
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if !inner["properties"][key].is_null() {
            all.push(if list { format!("[[{path}]]") } else { format!("[{path}]") });
        }
        having(key, &path, inner, defs, all);
    }
}

fn of_expected(expected: &str) -> String {
    match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "a boolean" => "true or false",
        "a string" | "path string" | "string only" => "a text in quotes",
        "a sequence" => "a list",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
    .to_owned()
}

/// The value in the type that is expected.
fn of_type(expected: &str, field: &str, value: Option<&Value>) -> Option<String> {
    let header = field.replace(|c: char| c == '[' || c == ']' || c.is_ascii_digit(), "");
    let word = match (expected, value?) {
        ("a boolean", Value::String(text)) => match text.to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => "true".into(),
            "false" | "no" | "off" | "0" => "false".into(),
            _ => return None,
        },
        ("a boolean", Value::Integer(n)) => (*n != 0).to_string(),
        ("u8" | "u16" | "u32", Value::String(text)) => {
            let digits = text.trim_end_matches(|c: char| c.is_alphabetic() || c == ' ');
            let unit = text[digits.len()..].trim();
            let digits = digits.replace(['_', ','], "");
            digits.parse::<u32>().ok()?.checked_mul(in_unit_of(&header, unit)?)?.to_string()
        }
        ("u8" | "u16" | "u32", Value::Float(n)) if n.fract() == 0.0 => format!("{n:.0}"),
        ("a string" | "path string", Value::Integer(n)) => format!("\"{n}\""),
        ("a string" | "path string", Value::Boolean(b)) => format!("\"{b}\""),
        ("a sequence", Value::Table(_)) => format!("[[{header}]]"),
        ("a sequence", Value::String(text)) => format!("[{text:?}]"),
        (table, Value::Array(_)) if table.starts_with("struct ") => format!("[{header}]"),
        _ => return None,
    };
    Some(meant(word))
}

/// How many of a key's own unit, which its name ends in, one of this unit is. None: nobody can tell.
fn in_unit_of(key: &str, unit: &str) -> Option<u32> {
    let own = key.rsplit('_').next().unwrap_or_default();
    match (own, unit.to_lowercase().as_str()) {
        (_, "") => Some(1),
        (own, unit) if own == unit => Some(1),
        ("ms", "s" | "sec" | "seconds") => Some(1_000),
        ("ms", "m" | "min" | "minutes") => Some(60_000),
        ("ms", "h" | "hours") => Some(3_600_000),
        ("hours", "d" | "days") => Some(24),
        ("hours" | "days" | "minutes" | "seconds" | "percent", unit) if own.starts_with(unit) => Some(1),
        _ => None,
    }
}

/// What a text of this key was to say.
fn of_text(key: &str, text: &str) -> Option<String> {
    let word = match key {
        "currency" => {
            let upper = text.trim().to_uppercase();
            let code = match upper.as_str() {
                "RMB" | "CNH" | "YUAN" | "\u{4eba}\u{6c11}\u{5e01}" | "\u{5143}" => "CNY",
                "EURO" | "EUROS" => "EUR",
                "US$" | "DOLLAR" | "$" => "USD",
                other => other,
            };
            code.parse::<Currency>().ok()?.to_string()
        }
        "zone" => {
            let all: Vec<String> = Zone::names().collect();
            nearest(text, all.iter().map(String::as_str))?.to_owned()
        }
        "bin" | "bins" | "refused_bins" => String::from(BinRange::of(text)?),
        _ => return None,
    };
    Some(meant(format!("{word:?}")))
}

/// What a value that names something was to name.
pub fn of_reference(field: &str, value: &str, config: &Config, drivers: &Drivers) -> Option<String> {
    let near = |known: &mut dyn Iterator<Item = &str>| nearest(value, known).map(str::to_owned);
    let word = match field.rsplit('.').next()? {
        "account" => near(&mut config.accounts.iter().map(|a| a.id.as_str())),
        "driver" => near(&mut drivers.names()),
        "part_of" => near(&mut config.devices.iter().map(|d| d.name.as_str()).filter(|name| *name != value)),
        "profile" if !value.contains('/') => near(&mut profiles::names()),
        _ => beside(Path::new(value)),
    };
    word.map(|word| meant(format!("{word:?}")))
}

/// The file beside one that is not there.
fn beside(path: &Path) -> Option<String> {
    let (dir, name) = (path.parent().filter(|_| !path.exists())?, path.file_name()?.to_str()?);
    let names: Vec<_> = dir.read_dir().ok()?.filter_map(|f| f.ok()?.file_name().into_string().ok()).collect();
    nearest(name, names.iter().map(String::as_str)).map(|near| dir.join(near).display().to_string())
}

/// Quotes, `=`, brackets, colons and commas as a Chinese keyboard writes them.
const ODD: &str = "\u{201c}\u{201d}\u{2018}\u{2019}\u{ff02}\u{ff07}\u{ff1d}\u{ff3b}\
    \u{ff3d}\u{3010}\u{3011}\u{ff1a}\u{ff1b}\u{ff0c}";

/// Characters of another keyboard in a line that is no TOML.
pub fn of_punctuation(line: &str) -> Option<String> {
    let odd = line.split('#').next()?.chars().find(|c| ODD.contains(*c))?;
    Some(format!("{odd} is not the ASCII character"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_before_is_refused_with_its_new_name() {
        for (old, new) in RENAMED {
            let told = of_serde(&format!("unknown field `{old}`, expected `x` or `{new}`"), old, None);
            assert_eq!(told.hint, Some(format!("{new} was called {old}")));
            // A table that never had the new name gets no such hint.
            let told = of_serde(&format!("unknown field `{old}`, expected `x` or `y`"), old, None);
            assert!(!told.hint.unwrap().contains("was called"));
        }
    }
}
