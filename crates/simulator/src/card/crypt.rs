//! What a card and its issuer compute with the keys that they share: card keys, session keys, application
//! cryptograms, the issuer's answer, MACs of scripts (EMV 4.4 Book 2, cryptograms, secure messaging and key
//! derivation; PBOC 3.0's session keys).
use payterm_primitives::{Algorithm, DesKey, Key, mac};
use payterm_schema::secret::MacAlgorithm;
use serde::Deserialize;

/// How session keys come from a card's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Derivation {
    /// PBOC 3.0: left half from the transaction counter, right half from its complement, both behind zeros;
    /// for scripts the same from the key for MACs.
    Pboc,
    /// EMV common session keys: cryptograms from the transaction counter, scripts from the cryptogram.
    EmvCommon,
}

impl Derivation {
    /// Session key of cryptograms.
    pub fn session(self, card: &DesKey, atc: u16) -> DesKey {
        let [a, b] = atc.to_be_bytes();
        match self {
            Self::Pboc => halves(card, [0, 0, 0, 0, 0, 0, a, b], [0, 0, 0, 0, 0, 0, !a, !b]),
            Self::EmvCommon => common(card, [a, b, 0, 0, 0, 0, 0, 0]),
        }
    }
    /// Session key of a script's MACs; `ac`: the cryptogram that the issuer answers.
    pub fn script_session(self, card: &DesKey, atc: u16, ac: [u8; 8]) -> DesKey {
        match self {
            Self::Pboc => self.session(card, atc),
            Self::EmvCommon => common(card, ac),
        }
    }
}

/// A card's key from the issuer's (Book 2 Annex A, option A): the last 16 digits of number and sequence
/// number, and their complement.
///
/// # Panics
/// When the number is not of digits: personas are checked when they are read.
pub fn card_key(master: &DesKey, pan: &str, psn: u8) -> DesKey {
    let digits = format!("{pan:0>14}{psn:02}");
    let last = &digits[digits.len() - 16..];
    let mut left = [0; 8];
    hex::decode_to_slice(last, &mut left).expect("digits");
    halves(master, left, left.map(|b| !b))
}

/// Cryptogram or full MAC over `data`: ISO/IEC 9797-1 algorithm 3 with padding 2.
pub fn cryptogram(session: &DesKey, data: &[u8]) -> [u8; 8] {
    let padded = padded(data);
    let key = Key::new(Algorithm::Des, session.reveal()).expect("16 bytes");
    let mac = mac(MacAlgorithm::X9_19, &key, &padded).expect("a key of 16 bytes");
    mac.reveal().try_into().expect("8 bytes")
}

/// The issuer's answer to a cryptogram (Book 2, ARPC method 1).
pub fn arpc(session: &DesKey, ac: [u8; 8], [a, b]: [u8; 2]) -> [u8; 8] {
    let mut block = ac;
    block[0] ^= a;
    block[1] ^= b;
    session.encrypt_block(block)
}

/// MAC of a script command: the first 4 bytes over its header with Lc, counter, cryptogram and data.
pub fn script_mac(session: &DesKey, header: [u8; 5], atc: u16, ac: [u8; 8], data: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = cryptogram(session, &[&header, &atc.to_be_bytes()[..], &ac, data].concat());
    [a, b, c, d]
}

/// Data of a script command, enciphered in CBC from zeros on; whole blocks get one of padding too. `session`:
/// as for MACs, from the card's key for encipherment.
pub fn script_encipher(session: &DesKey, data: &[u8]) -> Vec<u8> {
    let mut before = [0; 8];
    let mut out = padded(data);
    for block in out.as_chunks_mut::<8>().0 {
        block.iter_mut().zip(before).for_each(|(b, c)| *b ^= c);
        session.encrypt_in_place(block);
        before = *block;
    }
    out
}

/// Padding 2 of ISO/IEC 9797-1.
fn padded(data: &[u8]) -> Vec<u8> {
    let mut padded = [data, &[0x80]].concat();
    padded.resize(padded.len().next_multiple_of(8), 0);
    padded
}

fn common(card: &DesKey, r: [u8; 8]) -> DesKey {
    let [mut left, mut right] = [r; 2];
    (left[2], right[2]) = (0xF0, 0x0F);
    halves(card, left, right)
}

/// A key of two blocks enciphered, with odd parity.
fn halves(key: &DesKey, left: [u8; 8], right: [u8; 8]) -> DesKey {
    let mut both = [key.encrypt_block(left), key.encrypt_block(right)].concat();
    for b in &mut both {
        *b ^= u8::from(b.count_ones() % 2 == 0);
    }
    DesKey::new(&both).expect("16 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values by pyemv 1.5.0; the session key of PBOC by its `tools` from the rule above.
    #[test]
    fn keys_cryptograms_and_macs_are_pyemvs() {
        let master = DesKey::new(&hex::decode("0123456789ABCDEFFEDCBA9876543210").unwrap()).unwrap();
        let is = |key: &DesKey, text: &str| assert_eq!(hex::encode(key.reveal()), text);
        is(&card_key(&master, "6228480000000001", 0), "ef20a7ae2fe0addab9daf76885d0e697");
        let card = card_key(&master, "6228480000000000017", 1);
        is(&card, "a45d97dcb6fb91c2b0a808b6ecf7a289");
        is(&Derivation::Pboc.session(&card, 0x1C), "fd7016b6f8d07a07d91cf4b513b0d3e5");
        let session = Derivation::EmvCommon.session(&card, 0x1C);
        is(&session, "b9a16d3e5dad34ae684a8ad51537bc76");
        let data: Vec<u8> = (0..37).collect();
        let ac = cryptogram(&session, &data);
        assert_eq!(hex::encode(ac), "4862275a618bb738");
        assert_eq!(
            hex::encode(cryptogram(&session, &data[..32])),
            "489325e721354309",
            "whole blocks get one more"
        );
        assert_eq!(hex::encode(arpc(&session, ac, *b"00")), "459658249756d949");
        let script = Derivation::EmvCommon.script_session(&card, 0x1C, ac);
        is(&script, "3834b5135e04542352b96b8f54bad315");
        assert_eq!(hex::encode(script_mac(&script, [0x84, 0x1E, 0, 0, 4], 0x1C, ac, &[])), "3228a3d0");
        assert_eq!(hex::encode(script_encipher(&script, &data[..9])), "256ee25f873dd7dea0783d1f26a9c890");
        assert_eq!(
            hex::encode(script_encipher(&script, &data[..8])),
            "256ee25f873dd7de897ea4f3e66d1d36",
            "whole blocks get one more"
        );
        is(&Derivation::Pboc.script_session(&card, 0x1C, ac), "fd7016b6f8d07a07d91cf4b513b0d3e5");
    }
}
