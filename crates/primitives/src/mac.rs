//! Message MACs: host-protocol §5.
use super::{DesKey, Key, PrimitiveError, xor};
use cbc_mac::CbcMac;
use cipher::KeyInit;
use des::Des;
use digest::Mac;
use payterm_schema::secret::{MacAlgorithm, MacValue};
use retail_mac::RetailMac;

/// The MAC over `data`, as it stands in the MAC field: 8 bytes.
///
/// - `UnionpayEcb` (8 or 16 byte key): the first 8 of 16 upper-case hex characters, as ASCII.
/// - `X9_9` (8 byte key): DES CBC-MAC, binary (ANSI X9.9; ISO/IEC 9797-1 algorithm 1, padding 1).
/// - `X9_19` (16 byte key; with 8 bytes it is X9.9): the same with the last block in triple DES, binary (ANSI
///   X9.19; ISO/IEC 9797-1 algorithm 3, padding 1).
pub fn mac(algorithm: MacAlgorithm, key: &Key, data: &[u8]) -> Result<MacValue, PrimitiveError> {
    let key = key.des()?;
    let got = key.key_len();
    match (algorithm, got) {
        (MacAlgorithm::UnionpayEcb, 8 | 16) => Ok(MacValue::new(&unionpay_ecb(&key, data))),
        (MacAlgorithm::X9_9 | MacAlgorithm::X9_19, 8) => Ok(cbc::<CbcMac<Des>>(&key, data)),
        (MacAlgorithm::X9_19, 16) => Ok(cbc::<RetailMac<Des>>(&key, data)),
        (MacAlgorithm::UnionpayEcb, _) => {
            Err(PrimitiveError::KeyLength { got, rule: "8 or 16 for the UnionPay MAC" })
        }
        (MacAlgorithm::X9_9, _) => Err(PrimitiveError::KeyLength { got, rule: "8 for X9.9" }),
        (MacAlgorithm::X9_19, _) => Err(PrimitiveError::KeyLength { got, rule: "8 or 16 for X9.19" }),
    }
}

fn unionpay_ecb(key: &DesKey, data: &[u8]) -> [u8; 8] {
    let (left, right) = hex16(padded(data).fold([0; 8], xor));
    let (mac, _) = hex16(key.encrypt_block(xor(key.encrypt_block(left), right)));
    mac
}

/// No data is one block of zeros, so that the MAC of nothing depends on the key too.
fn cbc<M: Mac + KeyInit>(key: &DesKey, data: &[u8]) -> MacValue {
    let mut mac = <M as KeyInit>::new_from_slice(key.reveal()).expect("the caller judged the key's length");
    mac.update(if data.is_empty() { &[0; 8] } else { data });
    MacValue::new(&mac.finalize().into_bytes())
}

/// Zeros to a multiple of 8.
fn padded(data: &[u8]) -> impl Iterator<Item = [u8; 8]> {
    data.chunks(8).map(|chunk| std::array::from_fn(|i| chunk.get(i).copied().unwrap_or(0)))
}

/// 8 bytes as 16 upper-case hex characters, in halves.
fn hex16(r: [u8; 8]) -> ([u8; 8], [u8; 8]) {
    let digit = |i: usize| {
        b"0123456789ABCDEF"[usize::from(if i.is_multiple_of(2) { r[i / 2] >> 4 } else { r[i / 2] & 15 })]
    };
    (std::array::from_fn(digit), std::array::from_fn(|i| digit(i + 8)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;

    fn data() -> Vec<u8> {
        hex::decode("0200302004C020C09811").unwrap().into_iter().chain(0..=0x3B).collect()
    }
    fn key(h: &str) -> Key {
        Key::new(Algorithm::Des, &hex::decode(h).unwrap()).unwrap()
    }
    const SINGLE: &str = "5BB5C72CD00B7338";
    const DOUBLE: &str = "807A23AD32B36D457AE91FDF927570EA";

    #[test]
    fn unionpay_vectors_of_section_5() {
        assert_eq!(&mac(MacAlgorithm::UnionpayEcb, &key(SINGLE), &data()), &Ok(MacValue::new(b"E3D5BB2E")));
        assert_eq!(&mac(MacAlgorithm::UnionpayEcb, &key(DOUBLE), &data()), &Ok(MacValue::new(b"7A152A49")));
    }

    /// Values by psec 1.3.0: `mac.generate_cbc_mac(k, d, 1, 8, DES)` and `mac.generate_retail_mac(k1, k2, d,
    /// 1, 8)`.
    #[test]
    fn x9_9_and_x9_19_as_psec_has_them() {
        let h = |a, k: &str, d: &[u8]| hex::encode(mac(a, &key(k), d).unwrap().reveal());
        assert_eq!(h(MacAlgorithm::X9_9, SINGLE, &data()), "2912a6f59f4286c1");
        assert_eq!(h(MacAlgorithm::X9_19, DOUBLE, &data()), "bfa03f6644542022");
        assert_eq!(h(MacAlgorithm::X9_19, SINGLE, &data()), "2912a6f59f4286c1");
        // A whole number of blocks gets no further block.
        assert_eq!(h(MacAlgorithm::X9_9, SINGLE, &data()[..64]), "191de0eac5bc627f");
        assert_eq!(h(MacAlgorithm::X9_19, DOUBLE, &data()[..64]), "314aeec8850aeeb8");
    }

    #[test]
    fn key_lengths_that_do_not_fit_are_refused() {
        let triple = Key::new(Algorithm::Des, &[3; 24]).unwrap();
        for a in [MacAlgorithm::UnionpayEcb, MacAlgorithm::X9_9, MacAlgorithm::X9_19] {
            assert!(matches!(mac(a, &triple, b"x"), Err(PrimitiveError::KeyLength { got: 24, .. })));
        }
        assert!(matches!(
            mac(MacAlgorithm::X9_9, &key(DOUBLE), b"x"),
            Err(PrimitiveError::KeyLength { got: 16, .. })
        ));
        let sm4 = Key::new(Algorithm::Sm4, &[3; 16]).unwrap();
        assert_eq!(
            mac(MacAlgorithm::X9_19, &sm4, b"x"),
            Err(PrimitiveError::Algorithm { got: Algorithm::Sm4, need: Algorithm::Des })
        );
    }

    #[test]
    fn the_mac_of_nothing_depends_on_the_key() {
        assert_ne!(mac(MacAlgorithm::X9_9, &key(SINGLE), b""), Ok(MacValue::new(&[0; 8])));
        assert_eq!(
            mac(MacAlgorithm::X9_9, &key(SINGLE), b""),
            mac(MacAlgorithm::X9_9, &key(SINGLE), &[0; 8])
        );
    }
}
