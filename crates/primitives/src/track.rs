//! Track encipherment, host-protocol §4 end (F53 digit 3 = 1).
use super::{DesKey, PrimitiveError};
use zeroize::Zeroizing;

/// The 16 digits before the last 2 (even count) or before the last 1 (odd count), as 8 bytes, enciphered
/// under `tdk` in place.
///
/// In: digits, `=` or `D`, at least 18 (even) or 17 (odd). Out: upper-case hex digits, one a nibble of F35 or
/// F36; the separator is `D`, and in the enciphered window any of 0-F may stand.
pub fn encipher_track(tdk: &DesKey, track: &str) -> Result<Zeroizing<String>, PrimitiveError> {
    if track.bytes().any(|b| !matches!(b, b'0'..=b'9' | b'=' | b'D')) {
        return Err(PrimitiveError::Track("only digits and '=' (or D)"));
    }
    replace(track, |block| tdk.encrypt_block(block))
}

/// The other way, for the acquirer's side; separators come back as `=`.
pub fn decipher_track(tdk: &DesKey, track: &str) -> Result<Zeroizing<String>, PrimitiveError> {
    if track.bytes().any(|b| !b.is_ascii_hexdigit()) {
        return Err(PrimitiveError::Track("only hex digits"));
    }
    let clear = replace(track, |block| tdk.decrypt_block(block))?;
    Ok(Zeroizing::new(clear.replace('D', "=")))
}

/// `track` is ASCII by the callers' checks.
fn replace(track: &str, cipher: impl Fn([u8; 8]) -> [u8; 8]) -> Result<Zeroizing<String>, PrimitiveError> {
    let short = PrimitiveError::Track("fewer than 16 digits before the last");
    let end = track.len().saturating_sub(if track.len().is_multiple_of(2) { 2 } else { 1 });
    let start = end.checked_sub(16).ok_or(short.clone())?;
    let mut nibbles = Zeroizing::new(track.replace('=', "D"));
    nibbles.make_ascii_uppercase();
    let mut block = Zeroizing::new([0; 8]);
    hex::decode_to_slice(&nibbles[start..end], block.as_mut_slice()).map_err(|_| short)?;
    let window = Zeroizing::new(hex::encode_upper(*Zeroizing::new(cipher(*block))));
    let mut out = Zeroizing::new(String::with_capacity(track.len()));
    [&nibbles[..start], &window, &nibbles[end..]].iter().for_each(|part| out.push_str(part));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The block by psec 1.3.0 (`des.encrypt_tdes_ecb`), the window cut by hand in Python.
    #[test]
    fn even_and_odd_tracks() {
        let tdk = DesKey::new(&hex::decode("00112233445566778899AABBCCDDEEFF").unwrap()).unwrap();
        for (clear, wire) in [
            ("6225881234567890=25122010000012345", "6225881234567890E64C1A8C4C8F1A8145"),
            ("6225881234567890=251220100000123456", "6225881234567890D2809E39BF8B3C4A406"),
            ("62258812345678=251", "E7E2DDABEA5F0DEB51"),
        ] {
            assert_eq!(*encipher_track(&tdk, clear).unwrap(), wire);
            assert_eq!(*decipher_track(&tdk, wire).unwrap(), clear);
        }
    }

    #[test]
    fn short_or_strange_tracks_are_refused() {
        let tdk = DesKey::new(&[7; 16]).unwrap();
        for bad in [
            "",
            "1",
            "1234567890123456",
            "123456789012345",
            "6225881234567890=25122A1",
            "6225881234567890=2512201é",
        ] {
            assert!(matches!(encipher_track(&tdk, bad), Err(PrimitiveError::Track(_))), "{bad}");
        }
        assert!(encipher_track(&tdk, "12345678901234567").is_ok());
    }
}
