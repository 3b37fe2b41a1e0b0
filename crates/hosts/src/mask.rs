//! The masked view of a frame for the dispute page: PAN first six and last four, payment code first two and
//! last four, tracks, PIN block, keys and card data hidden; the MAC is shown.
use crate::frame::{Decoded, Envelope, Unread};
use crate::iso8583::{Class, Message, Part};
use crate::profile::{Mask, Profile, Show};
use crate::template::Var;
use encoding_rs::GBK;
use payterm_schema::host::FieldView;
use payterm_schema::icc::{IccError, Tag, elements};
use std::sync::{Arc, LazyLock};

/// Masked view of a frame, one line a part.
pub fn trace(profile: &Profile, envelope: &Envelope, message: &Message) -> Vec<FieldView> {
    static PARTS: LazyLock<[(Arc<str>, Arc<str>); 3]> = LazyLock::new(|| {
        [("TPDU", "TPDU"), ("HEADER", "header"), ("MTI", "message type")]
            .map(|(field, name)| (field.into(), name.into()))
    });
    let [tpdu, header, mti] = &*PARTS;
    let line = |(field, name): &(Arc<str>, Arc<str>), value| FieldView {
        field: field.clone(),
        name: name.clone(),
        value,
    };
    let tpdu = envelope.tpdu.map(|v| line(tpdu, hex::encode_upper(v)));
    let header = envelope.header.as_ref().map(|v| line(header, String::from_utf8_lossy(v).into_owned()));
    let field = |n: u8| {
        let show = profile.shows.get(&n);
        row(n, show, shown(profile, n, show, message.get(n).unwrap_or_default()))
    };
    tpdu.into_iter()
        .chain(header)
        .chain([line(mti, message.mti().to_owned())])
        .chain(message.fields().map(field))
        .collect()
}

fn row(n: u8, show: Option<&Show>, value: String) -> FieldView {
    let (field, name) =
        show.map_or_else(|| (format!("F{n}").into(), "".into()), |s| (s.field.clone(), s.name.clone()));
    FieldView { field, name, value }
}

/// Masked view of a frame that was taken apart: what could not be read stands in its place, with the rule
/// that it breaks.
pub fn trace_of(profile: &Profile, decoded: &Decoded) -> Vec<FieldView> {
    let Decoded { envelope, message, unread, .. } = decoded;
    let views = trace(profile, envelope, message);
    let head = views.len() - message.fields().count();
    let places = std::iter::repeat_n(0, head).chain(message.fields());
    let mut all: Vec<(u8, FieldView)> = places.zip(views).collect();
    all.extend(unread.iter().map(|u| unread_row(profile, u)));
    all.sort_by_key(|(place, _)| *place);
    all.into_iter().map(|(_, view)| view).collect()
}

fn unread_row(profile: &Profile, unread: &Unread) -> (u8, FieldView) {
    let Unread { fault, bytes, last } = unread;
    let bytes = bytes.reveal();
    let Part::Field(n) = fault.part else {
        let value = not_read(fault.rule, bytes, "");
        return (u8::MAX, FieldView { field: "REST".into(), name: "".into(), value });
    };
    let show = profile.shows.get(&n);
    let content = match show.map(|s| s.mask) {
        // Where it ends is not known: it may be something else.
        Some(Mask::Show) if *last => in_hex(bytes.get(..3).unwrap_or(bytes)),
        Some(Mask::Show) => as_it_came(profile, n, bytes),
        Some(Mask::Pan | Mask::Hide | Mask::Code | Mask::Icc) | None => String::new(),
    };
    (n, row(n, show, not_read(fault.rule, bytes, &content)))
}

fn not_read(rule: impl std::fmt::Display, bytes: &[u8], content: &str) -> String {
    format!("({rule}; {} bytes not read) {content}", bytes.len()).trim_end().to_owned()
}

/// Masked view of bytes that are no frame.
pub fn trace_of_none(rule: &str, bytes: &[u8]) -> Vec<FieldView> {
    let value = not_read(rule, bytes, &in_hex(bytes.get(..24).unwrap_or(bytes)));
    vec![FieldView { field: "FRAME".into(), name: "".into(), value }]
}

/// A value that is shown, but is not of the form that this was decided for: no run of digits in it shows
/// more than the first of a card number.
fn as_it_came(profile: &Profile, n: u8, value: &[u8]) -> String {
    let class = profile.table.formats.get(usize::from(n)).copied().flatten().map(|f| f.class);
    if let Some(Class::An | Class::Ans | Class::Gbk) = class {
        let text = GBK.decode_without_bom_handling(value).0;
        without_numbers(&text.chars().map(|c| if c.is_control() { '.' } else { c }).collect::<String>())
    } else {
        in_hex(value)
    }
}
fn in_hex(value: &[u8]) -> String {
    without_numbers(&hex::encode_upper(value))
}

/// Each run of 12 digits and more keeps its first six.
fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (run, tail) = rest.split_at(digits);
        match run.split_at_checked(6).filter(|_| digits >= 12) {
            Some((first, hidden)) => out.extend(first.chars().chain(hidden.chars().map(|_| '*'))),
            None => out.push_str(run),
        }
        let other = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        out.push_str(&tail[..other]);
        rest = &tail[other..];
    }
    out
}

fn shown(profile: &Profile, n: u8, show: Option<&Show>, value: &[u8]) -> String {
    let hidden = || format!("({} hidden)", value.len());
    match show.map(|s| s.mask) {
        None | Some(Mask::Hide) => hidden(),
        Some(Mask::Show) => plain(profile, n, value),
        // As `Pan::masked`.
        Some(Mask::Pan) => ends(value, 6.min(value.len().saturating_sub(9)), 4),
        Some(Mask::Code) => code(profile, n, value).unwrap_or_else(hidden),
        Some(Mask::Icc) => icc(value).unwrap_or_else(hidden),
    }
}

fn plain(profile: &Profile, n: u8, value: &[u8]) -> String {
    let class = profile.table.formats.get(usize::from(n)).copied().flatten().map(|f| f.class);
    match class {
        Some(Class::B) if !value.iter().all(u8::is_ascii_graphic) => hex::encode_upper(value),
        Some(Class::Gbk) => GBK.decode_without_bom_handling(value).0.into_owned(),
        Some(Class::B | Class::N | Class::Z | Class::An | Class::Ans) | None => {
            String::from_utf8_lossy(value).into_owned()
        }
    }
}

/// The first and last characters, stars between; all stars when that would show the half of it.
fn ends(value: &[u8], first: usize, last: usize) -> String {
    let text = String::from_utf8_lossy(value);
    match (text.get(..first), text.len().checked_sub(last).and_then(|at| text.get(at..))) {
        (Some(a), Some(b)) if text.len() >= first + last + 2 => {
            format!("{a}{}{b}", "*".repeat(text.len() - first - last))
        }
        (_, _) => "*".repeat(text.len()),
    }
}

/// A field whose template in some message holds a payment code.
fn code(profile: &Profile, n: u8, value: &[u8]) -> Option<String> {
    let slots = profile.messages.values().flat_map(|m| &m.request).filter(|s| s.field == n);
    let mut taken = slots.filter_map(|s| s.value.as_ref()?.take(value));
    let (_, code) = taken.find_map(|vars| vars.into_iter().find(|(var, _)| *var == Var::Code))?;
    Some(ends(code, 2, 4))
}

/// EMV data as `tag=value`, card data and scripts hidden; `None` when it is malformed or has a template that
/// may hold card data.
fn icc(value: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    for (tag, value) in elements(value).ok()? {
        parts.push(match tag.check() {
            Ok(()) if !Tag::SCRIPTS.contains(&tag) => format!("{tag}={}", hex::encode_upper(value)),
            Ok(()) | Err(IccError::CardData(_)) => format!("{tag}=({} hidden)", value.len()),
            Err(_) => return None,
        });
    }
    Some(parts.join(" "))
}
