//! Data objects as people and scripts are shown them, masked.
use crate::ui::Ui;
use payterm_emv::{
    Tag, explain,
    tag::{Format, Row},
    tlv::{self, DEPTH_MAX, TlvError},
};
use payterm_schema::{Currency, Money, Pan};
use payterm_texts::clean;
use serde::Serialize;
use zeroize::Zeroizing;

/// Command of an issuer's script.
const SCRIPT_COMMAND: Tag = Tag(0x86);

/// Data object.
#[derive(Serialize)]
pub struct Object {
    /// Place of its first byte.
    pub offset: usize,
    pub tag: String,
    /// None: nobody knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'static str>,
    /// Bytes of its value.
    pub length: usize,
    /// Value as people read it; of a card number first and last digits. None: it is hidden, or holds objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    pub hidden: bool,
    /// What the value says: bits by name, entries of a list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub says: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<Object>,
}

/// What does not add up, and where.
pub struct Broken {
    pub offset: usize,
    pub why: TlvError,
}

/// How values are shown.
#[derive(Clone, Copy, Default)]
pub struct Manner {
    /// Currency of the amounts (5F2A), where it is known.
    pub currency: Option<Currency>,
    /// Tags that are hidden beside those that name card or holder.
    pub hidden: &'static [Tag],
}

/// The objects as far as they add up, and what does not.
pub fn objects(bytes: &[u8], hidden: &'static [Tag]) -> (Vec<Object>, Option<Broken>) {
    let mut currency = None;
    // What is broken is told below.
    let found = tlv::each(bytes, &mut |tlv| {
        if tlv.tag == Tag(0x5F2A) {
            currency = currency.or(currency_of(tlv.value));
        }
    });
    found.ok();
    level(bytes, 0, 0, Manner { currency, hidden })
}

fn level(bytes: &[u8], base: usize, depth: usize, manner: Manner) -> (Vec<Object>, Option<Broken>) {
    let (mut all, mut reader) = (Vec::new(), tlv::read(bytes));
    loop {
        let filling = reader.rest().iter().take_while(|b| **b == 0).count();
        let offset = base + bytes.len() - reader.rest().len() + filling;
        let tlv = match reader.next() {
            None => return (all, None),
            Some(Ok(tlv)) => tlv,
            Some(Err(why)) => return (all, Some(Broken { offset, why })),
        };
        if !tlv.tag.is_constructed() {
            all.push(Object { offset, ..primitive(tlv.tag, tlv.value, manner) });
            continue;
        }
        let value_at = base + bytes.len() - reader.rest().len() - tlv.value.len();
        let (objects, broken) = if depth < DEPTH_MAX {
            level(tlv.value, value_at, depth + 1, manner)
        } else {
            (Vec::new(), Some(Broken { offset, why: TlvError::Deep(tlv.tag) }))
        };
        let object = Object { offset, objects, ..primitive(tlv.tag, &[], manner) };
        all.push(Object { length: tlv.value.len(), hidden: false, value: None, says: Vec::new(), ..object });
        if broken.is_some() {
            return (all, broken);
        }
    }
}

/// An object of one value.
pub fn primitive(tag: Tag, value: &[u8], manner: Manner) -> Object {
    let row = tag.row();
    let shown = match row {
        _ if manner.hidden.contains(&tag) => None,
        Some(row) if !row.sensitive => Some(text(row, value, manner.currency)),
        Some(row) => masked(row.tag, value),
        None => None,
    };
    Object {
        offset: 0,
        tag: tag.to_string(),
        name: row.map(|row| row.name),
        length: value.len(),
        hidden: shown.is_none(),
        says: match (tag, value) {
            (SCRIPT_COMMAND, [_, ins, ..]) => vec![explain::command(*ins).into()],
            _ if shown.is_some() => explain::explain(tag, value),
            _ => Vec::new(),
        },
        value: shown,
        objects: Vec::new(),
    }
}

/// First and last digits of a card number, from 5A or a track 2; of a script's command CLA, INS, P1, P2 and
/// length; all else is hidden.
fn masked(tag: Tag, value: &[u8]) -> Option<String> {
    match (tag, value) {
        (Tag(0x5A | 0x57 | 0x9F6B), _) => {}
        (SCRIPT_COMMAND, [a, b, c, d, len, _, ..]) => {
            return Some(hex::encode_upper([*a, *b, *c, *d, *len]) + "..");
        }
        (SCRIPT_COMMAND, _) => return Some(hex::encode_upper(value)),
        _ => return None,
    }
    let digits = Zeroizing::new(hex::encode_upper(value));
    let number = digits.split(['D', 'F']).next().unwrap_or_default();
    Pan::parse(number).ok().map(|pan| pan.masked())
}

fn text(row: &Row, value: &[u8], currency: Option<Currency>) -> String {
    let digits = hex::encode_upper(value);
    let number = || value.iter().try_fold(0u64, |n, b| n.checked_mul(256)?.checked_add((*b).into()));
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    match (row.tag.0, row.format) {
        (0x5F2A | 0x9F42 | 0x9F3C, _) => match currency_of(value) {
            Some(currency) => format!("{digits} ({})", currency.code()),
            None => digits,
        },
        (0x9F02 | 0x9F03, _) if is_number(&digits) => {
            let money = digits.parse().ok().zip(currency).and_then(|(n, c)| Money::new(n, c).ok());
            money.map_or(digits, |money| money.to_string())
        }
        (0x9A | 0x5F25, _) if is_number(&digits) && value.len() == 3 => {
            let century = if digits.as_str() < "50" { "20" } else { "19" };
            format!("{century}{}-{}-{}", &digits[..2], &digits[2..4], &digits[4..])
        }
        (0x9F21, _) if is_number(&digits) && value.len() == 3 => {
            format!("{}:{}:{}", &digits[..2], &digits[2..4], &digits[4..])
        }
        (0x81 | 0x9F04 | 0x9F13 | 0x9F14 | 0x9F17 | 0x9F1B | 0x9F23 | 0x9F36 | 0x9F3A, _) => {
            number().map_or(digits.clone(), |n| format!("{digits} ({n})"))
        }
        (_, Format::An | Format::Ans) if value.iter().all(|b| (b' '..=b'~').contains(b)) => {
            String::from_utf8_lossy(value).into_owned()
        }
        (_, Format::N | Format::Cn | Format::An | Format::Ans | Format::B) => digits,
    }
}

fn currency_of(value: &[u8]) -> Option<Currency> {
    Currency::from_numeric(hex::encode(value).parse().ok()?).ok()
}

/// Lines of the objects and of those within, each cleaned; `indent`: blanks before the outermost.
pub fn page(ui: &Ui, objects: &[Object], indent: usize) -> String {
    let line = |indent: usize, text: &str| format!("{:indent$}{}\n", "", clean(text));
    let mut out = String::new();
    for object in objects {
        let name = object.name.map_or_else(|| ui.text("cli-emv-unknown"), |name| ui.texts.kernel(name));
        let (tag, length) = (&object.tag, &object.length);
        let head = ui.say("cli-emv-object", &[("tag", tag), ("name", &name), ("length", length)]);
        let head = match &object.value {
            Some(value) if !value.is_empty() => format!("{head}: {value}"),
            None if object.hidden => format!("{head}: {}", ui.text("cli-emv-hidden")),
            Some(_) | None => head,
        };
        out += &line(indent, &head);
        out.extend(object.says.iter().map(|says| line(indent + 4, &ui.texts.kernel(says))));
        out += &page(ui, &object.objects, indent + 2);
    }
    out
}
