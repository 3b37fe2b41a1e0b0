//! F62 of a sign-in reply: working keys under the TMK, each followed by its 4-byte check value (host-protocol
//! §4).
use super::{DesKey, Key, has_equal_parts, share_a_part};
use payterm_schema::secret::SecretBytes;
use zeroize::Zeroizing;

/// The working keys of one sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    /// PIN key 工作密钥 PIK.
    pub pik: Key,
    /// MAC key MAK.
    pub mak: Key,
    /// Track key TDK.
    pub tdk: Option<Key>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum F62Error {
    #[error("F62: {0} bytes; 24 (single length), 40 (double length) and 60 (with track key) are known")]
    Length(usize),
    #[error("F62: 56 bytes (triple-length keys?) are refused: no public source says how they are built")]
    Length56,
    #[error("F62: 84 bytes (triple-length keys?) are refused: no public source says how they are built")]
    Length84,
    /// Check value of the key, `PIK`, `MAK` or `TDK`.
    #[error("F62: the check value of the {0} is wrong")]
    CheckValue(&'static str),
    /// The key, `PIK`, `MAK` or `TDK`: who knows the check value of its half could have made it.
    #[error("F62: the {0} has equal halves: it would be single DES")]
    EqualHalves(&'static str),
    #[error("F62: one key in two roles")]
    TwoRoles,
    #[error("TMK: {0} bytes, must be 16")]
    Tmk(usize),
    #[error(
        "key set: DES keys, PIK and MAK of 8 bytes, or PIK of 16 with MAK of 8 or 16, \
         then a TDK of 16 or none"
    )]
    Form,
}

/// Deciphers and checks all keys; one that fails refuses the whole message. Beside its check value: a key has
/// no equal halves, and no part of it is in another role too. Both can be made of an old F62 without any key.
pub fn parse_f62(tmk: &DesKey, f62: &[u8]) -> Result<KeySet, F62Error> {
    if tmk.key_len() != 16 {
        return Err(F62Error::Tmk(tmk.key_len()));
    }
    let key = |name, at: usize, len: usize| {
        let cipher_text = &f62[at..at + len];
        // 8 + 8 x 00: zeros in place of cipher text, a single-length key.
        let used = if len == 16 && name == "MAK" && cipher_text[8..] == [0; 8] { 8 } else { len };
        let clear = tmk
            .decrypt_ecb(&cipher_text[..used])
            .and_then(|k| DesKey::new(k.reveal()))
            .map_err(|_| F62Error::Form)?;
        if clear.kcv_fits(&f62[at + len..at + len + 4]) {
            Ok(Key::from(clear))
        } else {
            Err(F62Error::CheckValue(name))
        }
    };
    let keys = match f62.len() {
        24 => KeySet { pik: key("PIK", 0, 8)?, mak: key("MAK", 12, 8)?, tdk: None },
        40 => KeySet { pik: key("PIK", 0, 16)?, mak: key("MAK", 20, 16)?, tdk: None },
        60 => KeySet { pik: key("PIK", 0, 16)?, mak: key("MAK", 20, 16)?, tdk: Some(key("TDK", 40, 16)?) },
        56 => return Err(F62Error::Length56),
        84 => return Err(F62Error::Length84),
        n => return Err(F62Error::Length(n)),
    };
    apart(&keys)?;
    Ok(keys)
}

fn apart(keys: &KeySet) -> Result<(), F62Error> {
    let named = [("PIK", Some(&keys.pik)), ("MAK", Some(&keys.mak)), ("TDK", keys.tdk.as_ref())];
    let all: Vec<(&str, &[u8])> =
        named.iter().filter_map(|(n, k)| Some((*n, k.as_ref()?.reveal()))).collect();
    for (i, (name, key)) in all.iter().enumerate() {
        if has_equal_parts(key) {
            return Err(F62Error::EqualHalves(name));
        }
        if all[..i].iter().any(|(_, other)| share_a_part(key, other)) {
            return Err(F62Error::TwoRoles);
        }
    }
    Ok(())
}

/// The acquirer's side: 24, 40 or 60 bytes by the lengths of the keys.
pub fn build_f62(tmk: &DesKey, keys: &KeySet) -> Result<SecretBytes, F62Error> {
    if tmk.key_len() != 16 {
        return Err(F62Error::Tmk(tmk.key_len()));
    }
    let des = |key: &Key| key.des().map_err(|_| F62Error::Form);
    let (pik, mak, tdk) = (des(&keys.pik)?, des(&keys.mak)?, keys.tdk.as_ref().map(des).transpose()?);
    let fixed = match (pik.key_len(), mak.key_len(), tdk.as_ref().map(DesKey::key_len)) {
        (8, 8, None) => 8,
        (16, 8 | 16, None | Some(16)) => 16,
        _ => return Err(F62Error::Form),
    };
    let mut out = Zeroizing::new(Vec::with_capacity(60));
    for key in [Some(&pik), Some(&mak), tdk.as_ref()].into_iter().flatten() {
        let cipher_text = tmk.encrypt_ecb(key.reveal()).map_err(|_| F62Error::Form)?;
        out.extend_from_slice(&cipher_text);
        out.extend(std::iter::repeat_n(0, fixed - cipher_text.len()));
        out.extend_from_slice(&key.kcv());
    }
    Ok(SecretBytes::new(std::mem::take(&mut out)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn x(h: &str) -> Vec<u8> {
        hex::decode(h).unwrap()
    }
    fn tmk() -> DesKey {
        DesKey::new(&x("CA5D92598DCA48CE8A4C76361A9269E9")).unwrap()
    }
    /// 40: the public vector of host-protocol §4. 24 and 60: by psec 1.3.0 `des.encrypt_tdes_ecb`, key by
    /// key.
    const F62_40: &str = "6701EAD6A9AD51E51AA406E2C27FCFA98D0A74B8B651F9E9BACE9AE10000000000000000AB7153CA";
    const F62_24: &str = "B651F9E9BACE9AE1AB7153CAEEB761A274A250BF6FB23EAD";
    const F62_60: &str = "6701EAD6A9AD51E51AA406E2C27FCFA98D0A74B86378DAEF9206BFCAD7750B588D0BD926819DB1148F0\
    7C658AC49CC831240C055597B73EFFB097599";

    #[test]
    fn the_three_forms() {
        let parse = |h: &str| {
            parse_f62(&tmk(), &x(h))
                .map(|k| [Some(k.pik), Some(k.mak), k.tdk].map(|k| k.map(|k| hex::encode_upper(k.reveal()))))
        };
        let some = |h: &str| Some(h.to_owned());
        assert_eq!(
            parse(F62_40),
            Ok([some("807A23AD32B36D457AE91FDF927570EA"), some("5BB5C72CD00B7338"), None])
        );
        assert_eq!(parse(F62_24), Ok([some("5BB5C72CD00B7338"), some("1122334455667788"), None]));
        assert_eq!(
            parse(F62_60),
            Ok([
                some("807A23AD32B36D457AE91FDF927570EA"),
                some("0F1E2D3C4B5A69788796A5B4C3D2E1F0"),
                some("00112233445566778899AABBCCDDEEFF")
            ])
        );
        for h in [F62_24, F62_40, F62_60] {
            assert_eq!(build_f62(&tmk(), &parse_f62(&tmk(), &x(h)).unwrap()).unwrap().reveal(), x(h));
        }
    }

    /// What can be made of a good F62 and its check values, without any key.
    #[test]
    fn a_rebuilt_message_is_refused() {
        let [pik, pik_kcv] = [&F62_60[..32], &F62_60[32..40]];
        let [mak, mak_kcv] = [&F62_60[40..72], &F62_60[72..80]];
        let [single, single_kcv] = [&F62_40[40..56], &F62_40[72..80]];
        let zeros = "0".repeat(16);
        let parse = |parts: &[&str]| parse_f62(&tmk(), &x(&parts.concat())).err();
        // The single-length MAK twice has its check value: every PIN would be under single DES.
        for (parts, name) in [
            (vec![single, single, single_kcv, mak, mak_kcv], "PIK"),
            (vec![pik, pik_kcv, single, single, single_kcv], "MAK"),
            (vec![pik, pik_kcv, mak, mak_kcv, single, single, single_kcv], "TDK"),
        ] {
            assert_eq!(parse(&parts), Some(F62Error::EqualHalves(name)));
        }
        for parts in [
            vec![pik, pik_kcv, pik, pik_kcv],
            vec![pik, pik_kcv, mak, mak_kcv, pik, pik_kcv],
            vec![pik, pik_kcv, mak, mak_kcv, mak, mak_kcv],
            vec![single, single_kcv, single, single_kcv],
        ] {
            assert_eq!(parse(&parts), Some(F62Error::TwoRoles));
        }
        assert_eq!(parse(&[pik, pik_kcv, single, &zeros, single_kcv]), None);
    }

    #[test]
    fn parity_makes_no_other_key() {
        let k = |h: &str| Key::from(DesKey::new(&x(h)).unwrap());
        let built = |pik: &str, mak: &str| {
            let f62 = build_f62(&tmk(), &KeySet { pik: k(pik), mak: k(mak), tdk: None }).unwrap();
            parse_f62(&tmk(), f62.reveal()).err()
        };
        let (a, b) = ("0123456789ABCDEF", "1122334455667788");
        assert_eq!(built(&[a, "0022446688AACCEE"].concat(), b), Some(F62Error::EqualHalves("PIK")));
        assert_eq!(built(&[a, b].concat(), "0022446688AACCEE"), Some(F62Error::TwoRoles));
        assert_eq!(built(&[a, b].concat(), "FEDCBA9876543210"), None);
    }

    #[test]
    fn one_wrong_bit_anywhere_refuses_all() {
        for h in [F62_24, F62_40, F62_60] {
            for byte in 0..h.len() / 2 {
                let mut m = x(h);
                m[byte] ^= 2;
                assert!(matches!(parse_f62(&tmk(), &m), Err(F62Error::CheckValue(_))), "{h} byte {byte}");
            }
        }
    }

    #[test]
    fn other_lengths_are_refused_by_name() {
        assert_eq!(parse_f62(&tmk(), &[0; 56]), Err(F62Error::Length56));
        assert_eq!(parse_f62(&tmk(), &[0; 84]), Err(F62Error::Length84));
        for n in (0..200).filter(|n| ![24, 40, 56, 60, 84].contains(n)) {
            assert_eq!(parse_f62(&tmk(), &vec![0; n]), Err(F62Error::Length(n)));
        }
        assert_eq!(parse_f62(&DesKey::new(&[1; 8]).unwrap(), &x(F62_40)), Err(F62Error::Tmk(8)));
    }

    #[test]
    fn sets_that_have_no_form_are_not_built() {
        let k = |n| Key::from(DesKey::generate(n).unwrap());
        for (pik, mak, tdk) in [(8, 16, None), (8, 8, Some(16)), (16, 16, Some(8)), (24, 16, None)] {
            assert_eq!(
                build_f62(&tmk(), &KeySet { pik: k(pik), mak: k(mak), tdk: tdk.map(k) }).err(),
                Some(F62Error::Form)
            );
        }
    }
}
