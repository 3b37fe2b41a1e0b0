//! Key blocks: ASC X9 TR-31:2018 / ANSI X9.143, version D (AES, CMAC binding) and version B (TDES, CMAC
//! binding).
//!
//! `ID 1 | length N4 | usage 2 | algorithm 1 | mode 1 | version 2 | exportability 1 | optional blocks N2 | 00
//! | optional blocks | key data, hex | MAC, hex`, key data = bits of the key (2 bytes) + key + random
//! padding, CBC-enciphered with the MAC as the initial vector.
use super::{DesKey, PrimitiveError};
use aes::{Aes128, Aes192, Aes256};
use cipher::{
    Block, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, KeyInit, KeyIvInit,
};
use cmac::{Cmac, Mac, block_api::CmacCipher};
use des::{TdesEde2, TdesEde3};
use payterm_schema::secret::SecretBytes;
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Longest block that is read; a TDES key with a few optional blocks needs under 300.
pub const MAX_BLOCK: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KbpkAlgorithm {
    /// 16, 24 or 32 bytes; protects version D.
    Aes,
    /// 16 or 24 bytes; protects version B.
    Tdes,
}

/// A key block protection key.
#[derive(Clone)]
pub struct Kbpk {
    algorithm: KbpkAlgorithm,
    key: SecretBytes,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Tr31Error {
    #[error("key block protection key: {got} bytes, must be {rule}")]
    KbpkLength { got: usize, rule: &'static str },
    #[error("key block: {0}")]
    Form(&'static str),
    #[error("key block: version '{0}' is not supported (B and D are)")]
    Version(char),
    #[error("key block: version '{0}' does not fit the algorithm of the protection key")]
    Algorithm(char),
    #[error("key block: the MAC is wrong (other protection key, or a changed block)")]
    Mac,
    #[error("key block: {field} is '{got}', must be {rule}")]
    Header { field: &'static str, got: String, rule: &'static str },
    #[error(transparent)]
    Primitive(#[from] PrimitiveError),
}

/// The attributes bound to the key, as characters of the standard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// `B` or `D`.
    pub version: char,
    /// `K0` key encipherment, `P0` PIN, `M0`.. MAC ...
    pub usage: String,
    /// `T` triple DES, `A` AES ...
    pub algorithm: char,
    /// `B` both, `D` decipher, `E` encipher, `N` no limit ...
    pub mode: char,
    /// Two characters; `00` unused, `c?` a component.
    pub key_version: String,
    /// `E` exportable, `N` not, `S` sensitive.
    pub exportability: char,
}

impl Kbpk {
    pub fn new(algorithm: KbpkAlgorithm, key: &[u8]) -> Result<Self, Tr31Error> {
        let (fits, rule) = match algorithm {
            KbpkAlgorithm::Aes => (matches!(key.len(), 16 | 24 | 32), "16, 24 or 32 for AES"),
            KbpkAlgorithm::Tdes => (matches!(key.len(), 16 | 24), "16 or 24 for triple DES"),
        };
        if fits {
            Ok(Self { algorithm, key: SecretBytes::new(key.to_vec()) })
        } else {
            Err(Tr31Error::KbpkLength { got: key.len(), rule })
        }
    }
    pub fn algorithm(&self) -> KbpkAlgorithm {
        self.algorithm
    }
    pub fn reveal(&self) -> &[u8] {
        self.key.reveal()
    }
    /// AES: first 4 bytes of the CMAC of 16 zero bytes; triple DES: of enciphering 8 zero bytes (ANSI
    /// X9.24-1, annex A).
    pub fn kcv(&self) -> [u8; 4] {
        let value = match self.algorithm {
            KbpkAlgorithm::Aes => self.cmac(self.reveal(), &[&[0; 16]]).to_vec(),
            KbpkAlgorithm::Tdes => DesKey::new(self.reveal()).map(|k| k.kcv().to_vec()).unwrap_or_default(),
        };
        std::array::from_fn(|i| value.get(i).copied().unwrap_or(0))
    }
    fn block(&self) -> usize {
        match self.algorithm {
            KbpkAlgorithm::Aes => 16,
            KbpkAlgorithm::Tdes => 8,
        }
    }
    /// KBEK (usage 0) or KBAK (usage 1): CMAC in counter mode, TR-31 §5.3.2.1 (TDES) and §5.3.2.3 (AES).
    fn derive(&self, usage: u8) -> SecretBytes {
        let len = self.reveal().len();
        let algorithm = match (self.algorithm, len) {
            (KbpkAlgorithm::Tdes, 16) => 0,
            (KbpkAlgorithm::Tdes, _) => 1,
            (KbpkAlgorithm::Aes, 16) => 2,
            (KbpkAlgorithm::Aes, 24) => 3,
            (KbpkAlgorithm::Aes, _) => 4,
        };
        let bits = (len as u16 * 8).to_be_bytes(); // 16 to 32 bytes
        let mut out = Zeroizing::new(Vec::with_capacity(48));
        for counter in 1..=len.div_ceil(self.block()) as u8 {
            out.extend_from_slice(
                &self.cmac(self.reveal(), &[&[counter, 0, usage, 0, 0, algorithm, bits[0], bits[1]]]),
            );
        }
        out.truncate(len);
        SecretBytes::new(std::mem::take(&mut out))
    }
    fn cmac(&self, key: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
        match (self.algorithm, key.len()) {
            (KbpkAlgorithm::Tdes, 16) => cmac::<TdesEde2>(key, parts),
            (KbpkAlgorithm::Tdes, _) => cmac::<TdesEde3>(key, parts),
            (KbpkAlgorithm::Aes, 16) => cmac::<Aes128>(key, parts),
            (KbpkAlgorithm::Aes, 24) => cmac::<Aes192>(key, parts),
            (KbpkAlgorithm::Aes, _) => cmac::<Aes256>(key, parts),
        }
    }
    fn cbc(&self, way: Way, key: &[u8], iv: &[u8], data: &mut [u8]) {
        match (self.algorithm, key.len()) {
            (KbpkAlgorithm::Tdes, 16) => cbc::<TdesEde2>(way, key, iv, data),
            (KbpkAlgorithm::Tdes, _) => cbc::<TdesEde3>(way, key, iv, data),
            (KbpkAlgorithm::Aes, 16) => cbc::<Aes128>(way, key, iv, data),
            (KbpkAlgorithm::Aes, 24) => cbc::<Aes192>(way, key, iv, data),
            (KbpkAlgorithm::Aes, _) => cbc::<Aes256>(way, key, iv, data),
        }
    }
    fn fits(&self, version: char) -> Result<(), Tr31Error> {
        match (version, self.algorithm) {
            ('D', KbpkAlgorithm::Aes) | ('B', KbpkAlgorithm::Tdes) => Ok(()),
            ('D' | 'B', _) => Err(Tr31Error::Algorithm(version)),
            _ => Err(Tr31Error::Version(version)),
        }
    }
}

impl fmt::Debug for Kbpk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kbpk({:?}, {} bytes)", self.algorithm, self.key.reveal().len())
    }
}

/// Checks form and MAC, and gives the attributes and the key. Whether the attributes fit is the caller's
/// judgement.
pub fn unwrap(kbpk: &Kbpk, block: &str) -> Result<(Header, SecretBytes), Tr31Error> {
    if !block.is_ascii() || block.len() > MAX_BLOCK {
        return Err(Tr31Error::Form("must be at most 1024 ASCII characters"));
    }
    if block.len() < 16 || !block[..16].bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Tr31Error::Form("the header must be 16 letters and digits"));
    }
    let at = |i: usize| char::from(block.as_bytes()[i]);
    kbpk.fits(at(0))?;
    if number(&block[1..5]) != Some(block.len()) {
        return Err(Tr31Error::Form("the length in the header is not the length of the block"));
    }
    if &block[14..16] != "00" {
        return Err(Tr31Error::Form("the reserved field must be 00"));
    }
    let header_len = number(&block[12..14])
        .and_then(|n| optional_blocks(block, n))
        .ok_or(Tr31Error::Form("an optional block is malformed"))?;
    let size = kbpk.block();
    let rest = hex::decode(&block[header_len..])
        .map_err(|_| Tr31Error::Form("key data and MAC must be hex digits"))?;
    if !header_len.is_multiple_of(size) || rest.len() < 2 * size || !rest.len().is_multiple_of(size) {
        return Err(Tr31Error::Form("header, key data and MAC must be whole cipher blocks"));
    }
    let (cipher_text, mac) = rest.split_at(rest.len() - size);
    let mut clear = Zeroizing::new(cipher_text.to_vec());
    kbpk.cbc(Way::Decrypt, kbpk.derive(0).reveal(), mac, &mut clear);
    let expected = kbpk.cmac(kbpk.derive(1).reveal(), &[&block.as_bytes()[..header_len], &clear]);
    if !bool::from(expected.ct_eq(mac)) {
        return Err(Tr31Error::Mac);
    }
    let bits = usize::from(u16::from_be_bytes([clear[0], clear[1]]));
    let key = clear
        .get(2..2 + bits / 8)
        .filter(|k| bits.is_multiple_of(8) && !k.is_empty())
        .ok_or(Tr31Error::Form("the length of the key does not fit"))?;
    let header = Header {
        version: at(0),
        usage: block[5..7].into(),
        algorithm: at(7),
        mode: at(8),
        key_version: block[9..11].into(),
        exportability: at(11),
    };
    Ok((header, SecretBytes::new(key.to_vec())))
}

/// Makes a block without optional blocks; triple DES keys are padded to 24 bytes and AES keys to 32, to hide
/// their length.
pub fn wrap(kbpk: &Kbpk, header: &Header, key: &[u8]) -> Result<String, Tr31Error> {
    kbpk.fits(header.version)?;
    let fields = format!(
        "{}{}{}{}{}",
        header.usage, header.algorithm, header.mode, header.key_version, header.exportability
    );
    if fields.len() != 7
        || !fields.bytes().all(|b| b.is_ascii_alphanumeric())
        || key.is_empty()
        || key.len() > 32
    {
        return Err(Tr31Error::Form(
            "the header must be letters and digits of the standard's lengths, the key 1 to 32 bytes",
        ));
    }
    let size = kbpk.block();
    let masked = key.len().max(if header.algorithm == 'A' { 32 } else { 24 });
    let mut clear = Zeroizing::new(vec![0; (2 + masked + 1).next_multiple_of(size)]);
    getrandom::fill(&mut clear).map_err(PrimitiveError::Random)?;
    clear[..2].copy_from_slice(&(key.len() as u16 * 8).to_be_bytes()); // at most 32 bytes
    clear[2..2 + key.len()].copy_from_slice(key);
    let header = format!("{}{:04}{fields}0000", header.version, 16 + 2 * (clear.len() + size));
    let mac = kbpk.cmac(kbpk.derive(1).reveal(), &[header.as_bytes(), &clear]);
    kbpk.cbc(Way::Encrypt, kbpk.derive(0).reveal(), &mac, &mut clear);
    Ok(format!("{header}{}{}", hex::encode_upper(&*clear), hex::encode_upper(&*mac)))
}

fn number(digits: &str) -> Option<usize> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Offset at which the optional blocks end. Each: id 2, length 2 hex digits of all of it, data; extended
/// lengths (00) are not needed here and refused.
fn optional_blocks(block: &str, count: usize) -> Option<usize> {
    let mut at = 16;
    for _ in 0..count {
        let len = usize::from_str_radix(
            block.get(at + 2..at + 4).filter(|l| l.bytes().all(|b| b.is_ascii_hexdigit()))?,
            16,
        )
        .ok()?;
        at += if len >= 4 { len } else { return None };
    }
    (at <= block.len()).then_some(at)
}

#[derive(Clone, Copy)]
enum Way {
    Encrypt,
    Decrypt,
}

fn cmac<C: CmacCipher + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut mac = <Cmac<C> as KeyInit>::new_from_slice(key).expect("the length was chosen by the key's own");
    parts.iter().for_each(|p| mac.update(p));
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}

/// CBC in place; `data` is whole blocks and `iv` one (checked by the callers).
fn cbc<C: BlockCipherEncrypt + BlockCipherDecrypt + KeyInit>(
    way: Way,
    key: &[u8],
    iv: &[u8],
    data: &mut [u8],
) {
    const LENGTHS: &str = "the length was chosen by the key's own";
    let (blocks, _) = Block::<C>::slice_as_chunks_mut(data);
    match way {
        Way::Encrypt => {
            cbc::Encryptor::<C>::new_from_slices(key, iv).expect(LENGTHS).encrypt_blocks(blocks);
        }
        Way::Decrypt => {
            cbc::Decryptor::<C>::new_from_slices(key, iv).expect(LENGTHS).decrypt_blocks(blocks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kbpk(a: KbpkAlgorithm, h: &str) -> Kbpk {
        Kbpk::new(a, &hex::decode(h).unwrap()).unwrap()
    }
    fn aes128() -> Kbpk {
        kbpk(KbpkAlgorithm::Aes, "88E1AB2A2E3DD38C1FA039A536500CC8")
    }
    const TMK: &str = "ca5d92598dca48ce8a4c76361a9269e9";
    const D128: &str = "D0112K0TD00N000073F9846C46717E1F06DB23ABE6EE0D864CB5EC8EC0D778902D9A7CEB155AF08A94B9B\
    3AAF93AFF9DBBB92B0904CABC86";

    /// All made by psec 1.3.0, `tr31.wrap(kbpk, header, key)`.
    #[test]
    fn blocks_of_psec_open() {
        use KbpkAlgorithm::{Aes, Tdes};
        for (algorithm, k, block) in [
            (Aes, "88E1AB2A2E3DD38C1FA039A536500CC8", D128),
            (
                Aes,
                "101112131415161718191A1B1C1D1E1F2021222324252627",
                "D0112K0TD00N0000C5FB7004B910CD66AFA8ADCDCD9A80FF1C60141F43E076E318BD43C0F663CF6D61ADCD144565\
                AEC4C35D3F938358ED80",
            ),
            (
                Aes,
                "404142434445464748494A4B4C4D4E4F505152535455565758595A5B5C5D5E5F",
                "D0112K0TD00N0000C4728862E41C434BD8009074E79090404C0B9B4FA941DCCF1287A3CA1C6C3C275E531CFA4635\
                DC5A96CD3BE48D503C15",
            ),
            (
                Tdes,
                "89E88CF7931444F334BD7547FC3F380C",
                "B0096K0TD00N00006A2872C92D1C77CC0DB2636587B067B60DE3D32D5E90D5079EAACE612C65E2DEE2E9277159C4\
                4E9B",
            ),
            (
                Tdes,
                "0123456789ABCDEFFEDCBA98765432101122334455667788",
                "B0096K0TD00N0000E56A1F366F44E0A2155BF4D20CFC6CA0F08DBDA87DC31B2F8049BA298DA5445D362E587BA838\
                7EE8",
            ),
        ] {
            let (header, key) = unwrap(&kbpk(algorithm, k), block).unwrap();
            assert_eq!(hex::encode(key.reveal()), TMK);
            assert_eq!(
                (header.usage.as_str(), header.algorithm, header.mode, header.exportability),
                ("K0", 'T', 'D', 'N')
            );
        }
        // With optional blocks: KS and padding PB; KS alone.
        let d = "D0144K0TB00E0200KS1800604B120F9292800000PB0800003A6D250FB8DD5F64CC77C7F19FB904EF913C26A89924\
        D279701EC1AD6BA11BD25AFD30F59CF65567DB922132692ECA9F";
        let b = "B0120K0TB00E0100KS1800604B120F9292800000B8BBC564CF19E2D6655E3A04387D8935CDAA205948AD8AD9C559\
        F72B9D3B836D862D3075B5665646";
        assert_eq!(hex::encode(unwrap(&aes128(), d).unwrap().1.reveal()), TMK);
        assert_eq!(
            hex::encode(unwrap(&kbpk(Tdes, "89E88CF7931444F334BD7547FC3F380C"), b).unwrap().1.reveal()),
            TMK
        );
    }

    #[test]
    fn each_changed_character_is_refused() {
        for i in 0..D128.len() {
            let mut block = D128.as_bytes().to_vec();
            block[i] = if block[i] == b'0' { b'1' } else { b'0' };
            let block = String::from_utf8(block).unwrap();
            assert!(unwrap(&aes128(), &block).is_err(), "character {i}");
        }
        // A header that keeps its form is refused by the MAC itself.
        assert_eq!(unwrap(&aes128(), &D128.replacen("K0TD", "P0TD", 1)).err(), Some(Tr31Error::Mac));
        assert_eq!(
            unwrap(&kbpk(KbpkAlgorithm::Aes, "00E1AB2A2E3DD38C1FA039A536500CC8"), D128).err(),
            Some(Tr31Error::Mac)
        );
    }

    #[test]
    fn forms_that_are_not_a_block() {
        let un = |b: &str| unwrap(&aes128(), b).err();
        for bad in [
            "",
            "D",
            "D0016K0TD00N0000",
            "D0112K0TD00N0000",
            &D128[..111],
            &format!("{D128}0"),
            "é",
            &"D".repeat(2000),
        ] {
            assert!(matches!(un(bad), Some(Tr31Error::Form(_))), "{bad}");
        }
        for bad in [
            "D0032K0TD00N9900KS1800604B120F92",
            "D0032K0TD00N0100KS0000604B120F92",
            "D0032K0TD00N0100KS+400604B120F92",
            "D0032K0TD00N0100KSFF00604B120F92",
        ] {
            assert_eq!(un(bad), Some(Tr31Error::Form("an optional block is malformed")), "{bad}");
        }
        assert_eq!(un(&D128.replacen('D', "A", 1)), Some(Tr31Error::Version('A')));
        assert_eq!(un(&D128.replacen('D', "B", 1)), Some(Tr31Error::Algorithm('B')));
        assert!(matches!(
            Kbpk::new(KbpkAlgorithm::Tdes, &[1; 32]),
            Err(Tr31Error::KbpkLength { got: 32, .. })
        ));
    }

    #[test]
    fn what_we_wrap_opens() {
        let header = Header {
            version: 'D',
            usage: "K0".into(),
            algorithm: 'T',
            mode: 'B',
            key_version: "00".into(),
            exportability: 'N',
        };
        for (version, k) in [
            ('D', Kbpk::new(KbpkAlgorithm::Aes, &[7; 16])),
            ('D', Kbpk::new(KbpkAlgorithm::Aes, &[7; 24])),
            ('D', Kbpk::new(KbpkAlgorithm::Aes, &[7; 32])),
            ('B', Kbpk::new(KbpkAlgorithm::Tdes, &[7; 16])),
            ('B', Kbpk::new(KbpkAlgorithm::Tdes, &[7; 24])),
        ] {
            let (k, h) = (k.unwrap(), Header { version, ..header.clone() });
            for len in [8, 16, 24, 32] {
                let key: Vec<u8> = (0..len).collect();
                let (back, opened) = unwrap(&k, &wrap(&k, &h, &key).unwrap()).unwrap();
                assert_eq!((back, opened.reveal()), (h.clone(), &key[..]));
            }
            assert!(
                wrap(&k, &h, &[]).is_err() && wrap(&k, &Header { usage: "K".into(), ..h }, &[1; 16]).is_err()
            );
        }
    }

    /// By `cryptography.hazmat.primitives.cmac` over 16 zero bytes.
    #[test]
    fn aes_check_value() {
        assert_eq!(hex::encode(aes128().kcv()), "4e703766");
    }
}
