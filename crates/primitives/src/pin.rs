//! PIN block format 0 of ISO 9564-1 (ANSI X9.8): `0 L PIN F..F` XOR `0000` + the 12 rightmost PAN digits
//! without the check digit.
use super::{DesKey, Key, PrimitiveError, xor};
use payterm_schema::secret::{Pan, Pin, PinBlock, PinFormat};
use zeroize::Zeroizing;

/// The PIN of `pin` for `pan`, enciphered under `pik` (DES, 8 or 16 bytes).
pub fn encode_pin_block(pik: &Key, pin: &Pin, pan: &Pan) -> Result<PinBlock, PrimitiveError> {
    let pik = des(pik)?;
    let digits = pin.reveal().as_bytes();
    // In place, digit by digit: a block that is passed by value leaves its clear PIN on the stack.
    let mut block = Zeroizing::new([0; 8]);
    for (i, byte) in block.iter_mut().enumerate() {
        let nibble = |i: usize| match i {
            0 => 0,
            1 => digits.len() as u8, // 4 to 12 by Pin's own rule
            _ => digits.get(i - 2).map_or(0xF, |d| d - b'0'),
        };
        let mixed = |i| nibble(i) ^ pan_nibble(pan, i);
        *byte = (mixed(2 * i) << 4) | mixed(2 * i + 1);
    }
    pik.encrypt_in_place(&mut block);
    Ok(PinBlock::iso0(*block))
}

/// The other way, for the acquirer's side.
pub fn decode_pin_block(pik: &Key, block: &PinBlock, pan: &Pan) -> Result<Pin, PrimitiveError> {
    let pik = des(pik)?;
    let given = match (block.format(), block.ksn(), block.reveal().try_into()) {
        (PinFormat::Iso0, None, Ok(bytes)) => bytes,
        _ => return Err(PrimitiveError::PinBlock("must be of format 0 and under the account's PIK")),
    };
    let clear = Zeroizing::new(xor(*Zeroizing::new(pik.decrypt_block(given)), *pan_part(pan)));
    let text = Zeroizing::new(hex::encode(*clear));
    let (head, rest) = text.split_at(2);
    if !head.starts_with('0') {
        return Err(PrimitiveError::PinBlock("is not of format 0: wrong key or wrong PAN"));
    }
    let len = usize::from_str_radix(&head[1..], 16)
        .ok()
        .filter(|n| (4..=12).contains(n))
        .ok_or(PrimitiveError::PinBlock("the length is not 4 to 12"))?;
    let (digits, fill) = rest.split_at(len);
    if fill.bytes().any(|b| b != b'f') {
        return Err(PrimitiveError::PinBlock("the filler is not F"));
    }
    Pin::parse(digits).ok_or(PrimitiveError::PinBlock("a PIN digit is not decimal"))
}

fn des(pik: &Key) -> Result<DesKey, PrimitiveError> {
    let key = pik.des()?;
    match key.key_len() {
        24 => Err(PrimitiveError::KeyLength { got: 24, rule: "8 or 16 for a PIK" }),
        _ => Ok(key),
    }
}

/// A PAN of 12 digits gives 11: the field is right-justified, zeros to its left.
fn pan_nibble(pan: &Pan, i: usize) -> u8 {
    let digits = pan.reveal().as_bytes();
    let digits = &digits[..digits.len() - 1];
    (i + digits.len())
        .checked_sub(16)
        .and_then(|at| digits.get(at))
        .filter(|_| i >= 4)
        .map_or(0, |d| d - b'0')
}
fn pan_part(pan: &Pan) -> Zeroizing<[u8; 8]> {
    Zeroizing::new(std::array::from_fn(|i| (pan_nibble(pan, 2 * i) << 4) | pan_nibble(pan, 2 * i + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;
    use payterm_schema::secret::Ksn;
    use proptest::prelude::*;

    fn key(bytes: &[u8]) -> Key {
        Key::new(Algorithm::Des, bytes).unwrap()
    }

    /// By psec 1.3.0: `des.encrypt_tdes_ecb(pik, pinblock.encode_pinblock_iso_0(pin, pan))`.
    #[test]
    fn as_psec_has_them() {
        let single = key(&hex::decode("5BB5C72CD00B7338").unwrap());
        let double = key(&hex::decode("807A23AD32B36D457AE91FDF927570EA").unwrap());
        for (pin, pan, by_double, by_single) in [
            ("1234", "6225881234567890", "e4c5071641926d0f", "b12dffbac2cef2b9"),
            ("123456", "6222021234567890123", "bdfd42dcf960c8b6", "3f61743c67558574"),
            ("123456789012", "6225881234567", "04f515a00f71fae6", "1adfb5846e4ad252"),
        ] {
            let (pin, pan) = (Pin::parse(pin).unwrap(), Pan::parse(pan).unwrap());
            assert_eq!(hex::encode(encode_pin_block(&double, &pin, &pan).unwrap().reveal()), by_double);
            assert_eq!(hex::encode(encode_pin_block(&single, &pin, &pan).unwrap().reveal()), by_single);
        }
    }

    #[test]
    fn the_shortest_pan_is_filled_with_zeros() {
        assert_eq!(hex::encode(*pan_part(&Pan::parse("622588123456").unwrap())), "0000062258812345");
    }

    #[test]
    fn each_rule_of_the_block_is_checked() {
        let k = key(&[0x25; 16]);
        let des = k.des().unwrap();
        let pan = Pan::parse("6225881234567890").unwrap();
        let decode = |clear: &str| {
            let clear: [u8; 8] = hex::decode(clear).unwrap().try_into().unwrap();
            decode_pin_block(&k, &PinBlock::iso0(des.encrypt_block(xor(clear, *pan_part(&pan)))), &pan)
                .map(|p| p.reveal().to_owned())
        };
        assert_eq!(decode("041234ffffffffff"), Ok("1234".into()));
        for bad in [
            "141234ffffffffff",
            "03123fffffffffff",
            "0d1234567890123f",
            "041234fffffffff0",
            "0412a4ffffffffff",
            "051234ffffffffff",
        ] {
            assert!(matches!(decode(bad), Err(PrimitiveError::PinBlock(_))), "{bad}");
        }
        let pin = Pin::parse("1234").unwrap();
        assert_eq!(
            encode_pin_block(&key(&[1; 24]), &pin, &pan),
            Err(PrimitiveError::KeyLength { got: 24, rule: "8 or 16 for a PIK" })
        );
        let aes = Key::new(Algorithm::Aes, &[1; 16]).unwrap();
        let other = PrimitiveError::Algorithm { got: Algorithm::Aes, need: Algorithm::Des };
        assert_eq!(encode_pin_block(&aes, &pin, &pan), Err(other));
        let (format_4, ksn) =
            (PinBlock::new(PinFormat::Iso4, &[0; 16]).unwrap(), Ksn::new(&[0; 10]).unwrap());
        for block in [format_4, encode_pin_block(&k, &pin, &pan).unwrap().with_ksn(ksn)] {
            let refused = decode_pin_block(&k, &block, &pan).map(|p| p.reveal().to_owned());
            assert!(matches!(refused, Err(PrimitiveError::PinBlock(_))), "{:?}", block.format());
        }
    }

    proptest! {
        #[test]
        fn comes_back(
            pin in "[0-9]{4,12}",
            pan in "[0-9]{12,19}",
            key in prop::collection::vec(any::<u8>(), 16),
            single: bool,
        ) {
            let k = self::key(&key[..if single { 8 } else { 16 }]);
            let p = Pan::parse(&pan).unwrap();
            let block = encode_pin_block(&k, &Pin::parse(&pin).unwrap(), &p).unwrap();
            let back = decode_pin_block(&k, &block, &p).unwrap();
            prop_assert_eq!(back.reveal(), pin);
        }
    }
}
