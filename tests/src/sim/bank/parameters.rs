//! What the bank gives to card kernels: one CA key and one application.
use payterm_schema::download::{EmvAid, EmvAnswer, EmvAsk, EmvKey, EmvList, EmvName, EmvRow};

fn key() -> EmvKey {
    let (modulus, exponent, checksum) = (vec![0x81; 64], vec![3], [7; 20]);
    EmvKey { rid: [1; 5], index: 1, expiry: "20301231".into(), modulus, exponent, checksum }
}
fn aid() -> EmvAid {
    EmvAid {
        aid: vec![1; 6],
        partial: false,
        version: [0, 1],
        default: [0; 5],
        online: [0; 5],
        denial: [0; 5],
        floor: 0,
        threshold: 0,
        most: 0,
        target: 0,
        ddol: vec![0x9F, 0x37, 4],
        online_pin: true,
        cash_limit: None,
        tap_floor: None,
        tap_limit: None,
        tap_no_cvm: None,
    }
}

/// Answer to a part of a download; none: its end, which the code answers.
pub(super) fn answer(ask: &EmvAsk) -> Option<EmvAnswer> {
    let list = |name| EmvAnswer::Page { more: false, rows: vec![EmvRow { name, expiry: None }] };
    match ask {
        EmvAsk::List { of: EmvList::Keys, .. } => Some(list(key().name())),
        EmvAsk::List { of: EmvList::Aids, .. } => Some(list(aid().name())),
        EmvAsk::Entry { name: EmvName::Key { .. } } => Some(EmvAnswer::Key(key())),
        EmvAsk::Entry { name: EmvName::Aid { .. } } => Some(EmvAnswer::Aid(aid())),
        EmvAsk::End { .. } => None,
    }
}
