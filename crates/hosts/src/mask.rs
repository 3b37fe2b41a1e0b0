//! The masked view of a frame for the dispute page: PAN first six and last four, payment code first two and
//! last four, tracks, PIN block, keys and card data hidden; the MAC is shown.
use crate::frame::Envelope;
use crate::iso8583::{Class, Message};
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
        let (field, name) =
            show.map_or_else(|| (format!("F{n}").into(), "".into()), |s| (s.field.clone(), s.name.clone()));
        FieldView { field, name, value: shown(profile, n, show, message.get(n).unwrap_or_default()) }
    };
    tpdu.into_iter()
        .chain(header)
        .chain([line(mti, message.mti().to_owned())])
        .chain(message.fields().map(field))
        .collect()
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
