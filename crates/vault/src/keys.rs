//! The keys of each account, and their bytes inside the sealed file.
use payterm_primitives::{
    Algorithm, DesKey, Key, KeySet,
    tr31::{Kbpk, KbpkAlgorithm},
};
use payterm_schema::secret::SecretBytes;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

#[derive(Clone, Debug, Default)]
pub(crate) struct AccountKeys {
    pub kbpk: Option<Kbpk>,
    pub tmk: Option<DesKey>,
    pub working: Option<KeySet>,
    /// Keyed hashes of the keys of the last sign-in that was taken, 16 bytes each, whether they are still
    /// here or not.
    pub last: Vec<u8>,
    /// Keyed hashes of the working keys that others have replaced under this TMK, the oldest first.
    pub replaced: Vec<u8>,
    /// Service key; only in the entry of [`TERMINAL`].
    pub service: Option<SecretBytes>,
}

/// Hashes of replaced keys that are kept: of the last 1,000 sign-ins at two keys each.
const REPLACED_MAX: usize = 2_000 * HASH;
pub(crate) const HASH: usize = 16;

impl AccountKeys {
    /// Another TMK begins a history of its own; working keys under the former one are worth nothing.
    pub fn set_tmk(&mut self, tmk: DesKey) {
        if self.tmk.as_ref() != Some(&tmk) {
            (self.last, self.replaced) = (Vec::new(), Vec::new());
        }
        (self.tmk, self.working) = (Some(tmk), None);
    }
    /// Tells whether others have replaced one of the keys with these hashes.
    pub fn has_replaced(&self, hashes: &[[u8; HASH]]) -> bool {
        hashes.iter().any(|h| self.replaced.as_chunks::<HASH>().0.contains(h))
    }
    /// Notes the keys with these hashes as the ones in use.
    pub fn note(&mut self, hashes: &[[u8; HASH]]) {
        let old = self.replaced.as_chunks::<HASH>().0.iter().chain(self.last.as_chunks::<HASH>().0);
        let old: Vec<u8> = old.filter(|h| !hashes.contains(h)).flatten().copied().collect();
        self.replaced = old[old.len().saturating_sub(REPLACED_MAX)..].to_vec();
        self.last = hashes.as_flattened().to_vec();
    }
}

/// The entry of the terminal's own keys; no account can have this name.
pub(crate) const TERMINAL: &str = "@terminal";

/// Keys of all accounts, by the name of the account.
pub(crate) type Keys = BTreeMap<String, AccountKeys>;

const KBPK_AES: u8 = 1;
const KBPK_TDES: u8 = 2;
const TMK: u8 = 3;
const PIK: u8 = 4;
const MAK: u8 = 5;
const TDK: u8 = 6;
const SERVICE: u8 = 7;
const LAST: u8 = 8;
const REPLACED: u8 = 9;
/// Bytes of hashes in one entry.
const HASHES: usize = 15 * HASH;

/// The upper half of a slot's byte: the key's algorithm. DES is 0, as it always was.
const AES: u8 = 1 << 4;
const SM4: u8 = 2 << 4;

/// Bytes of the keys. For each: length of the account's name u8, name, slot u8, length of the key u8, key.
pub(crate) fn encode(keys: &Keys) -> Zeroizing<Vec<u8>> {
    let entries =
        || keys.iter().flat_map(|(name, k)| slots(k).into_iter().map(move |(slot, key)| (name, slot, key)));
    let size = entries().map(|(name, _, key)| 3 + name.len() + key.len()).sum();
    // Room for all of it at once: a buffer that grows would leave keys behind.
    let mut out = Zeroizing::new(Vec::with_capacity(size));
    for (name, slot, key) in entries() {
        out.push(name.len() as u8); // at most 32
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&[slot, key.len() as u8]); // at most `HASHES`
        out.extend_from_slice(key);
    }
    out
}

fn slots(k: &AccountKeys) -> Vec<(u8, &[u8])> {
    let kbpk = k.kbpk.as_ref().map(|k| {
        if k.algorithm() == KbpkAlgorithm::Aes { (KBPK_AES, k.reveal()) } else { (KBPK_TDES, k.reveal()) }
    });
    let tmk = k.tmk.as_ref().map(|k| (TMK, k.reveal()));
    let working = k
        .working
        .iter()
        .flat_map(|w| [Some((PIK, &w.pik)), Some((MAK, &w.mak)), w.tdk.as_ref().map(|k| (TDK, k))])
        .flatten()
        .map(|(slot, k)| (slot | of(k.algorithm()), k.reveal()));
    let service = k.service.as_ref().map(|k| (SERVICE, k.reveal()));
    let hashes = [(LAST, &k.last), (REPLACED, &k.replaced)];
    let hashes = hashes.into_iter().flat_map(|(slot, all)| all.chunks(HASHES).map(move |part| (slot, part)));
    kbpk.into_iter().chain(tmk).chain(service).chain(hashes).chain(working).collect()
}

const fn of(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Des => 0,
        Algorithm::Aes => AES,
        Algorithm::Sm4 => SM4,
    }
}

/// A working key and the slot that it stands in.
fn working_key(slot: u8, key: &[u8]) -> Option<(u8, Key)> {
    let algorithm = match slot & 0xF0 {
        0 => Algorithm::Des,
        AES => Algorithm::Aes,
        SM4 => Algorithm::Sm4,
        _ => return None,
    };
    Some((slot & 0x0F, Key::new(algorithm, key).ok()?))
}

/// Reads what `encode` wrote; `None` for anything else.
pub(crate) fn decode(mut bytes: &[u8]) -> Option<Keys> {
    let mut keys = Keys::new();
    while !bytes.is_empty() {
        let name = std::str::from_utf8(take(&mut bytes)?).ok().filter(|n| !n.is_empty())?;
        let (slot, rest) = bytes.split_first()?;
        bytes = rest;
        let key = take(&mut bytes)?;
        let account = keys.entry(name.to_owned()).or_default();
        match *slot {
            KBPK_AES => account.kbpk = Some(Kbpk::new(KbpkAlgorithm::Aes, key).ok()?),
            KBPK_TDES => account.kbpk = Some(Kbpk::new(KbpkAlgorithm::Tdes, key).ok()?),
            TMK => account.tmk = Some(DesKey::new(key).ok()?),
            SERVICE if matches!(key.len(), 16 | 24 | 32) => {
                account.service = Some(SecretBytes::new(key.to_vec()))
            }
            LAST if key.len().is_multiple_of(HASH) => account.last.extend_from_slice(key),
            REPLACED if key.len().is_multiple_of(HASH) => account.replaced.extend_from_slice(key),
            slot => match working_key(slot, key)? {
                (PIK, pik) => {
                    // `encode` writes the MAK right after its PIK.
                    let next = std::str::from_utf8(take(&mut bytes)?).ok()?;
                    let (slot, rest) = bytes.split_first()?;
                    bytes = rest;
                    let (MAK, mak) = working_key(*slot, take(&mut bytes)?)? else { return None };
                    account.working = (next == name).then_some(KeySet { pik, mak, tdk: None });
                    account.working.as_ref()?;
                }
                (TDK, tdk) => account.working.as_mut()?.tdk = Some(tdk),
                _ => return None,
            },
        }
    }
    Some(keys)
}

/// A length byte and so many bytes.
fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = bytes.split_first()?;
    let (part, rest) = rest.split_at_checked(usize::from(*len))?;
    *bytes = rest;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_and_every_cut_is_refused_or_shorter() {
        let k = |n, b| DesKey::new(&vec![b; n]).unwrap();
        let keys = Keys::from([
            (
                "a".into(),
                AccountKeys {
                    kbpk: Kbpk::new(KbpkAlgorithm::Tdes, &[9; 24]).ok(),
                    tmk: Some(k(16, 1)),
                    last: vec![1; 3 * HASH],
                    replaced: (0..40 * HASH).map(|i| i as u8).collect(),
                    working: None,
                    service: Some(SecretBytes::new(vec![7; 32])),
                },
            ),
            (
                "visa_2".into(),
                AccountKeys {
                    kbpk: Kbpk::new(KbpkAlgorithm::Aes, &[8; 32]).ok(),
                    tmk: Some(k(16, 2)),
                    working: Some(KeySet {
                        pik: k(16, 3).into(),
                        mak: k(8, 4).into(),
                        tdk: Some(k(16, 5).into()),
                    }),
                    ..AccountKeys::default()
                },
            ),
            (
                "west".into(),
                AccountKeys {
                    working: Some(KeySet {
                        pik: Key::new(Algorithm::Aes, &[3; 32]).unwrap(),
                        mak: Key::new(Algorithm::Sm4, &[4; 16]).unwrap(),
                        tdk: Some(Key::new(Algorithm::Aes, &[5; 16]).unwrap()),
                    }),
                    ..AccountKeys::default()
                },
            ),
        ]);
        let bytes = encode(&keys);
        let back = decode(&bytes).unwrap();
        assert_eq!(*encode(&back), *bytes);
        assert_eq!(back["visa_2"].working, keys["visa_2"].working);
        assert_eq!(back["west"].working, keys["west"].working);
        assert_eq!(back["a"].service, keys["a"].service);
        assert_eq!((&back["a"].last, &back["a"].replaced), (&keys["a"].last, &keys["a"].replaced));
        assert_eq!(back["a"].kbpk.as_ref().map(Kbpk::algorithm), Some(KbpkAlgorithm::Tdes));
        for n in 0..bytes.len() {
            if let Some(shorter) = decode(&bytes[..n]) {
                assert_eq!(encode(&shorter).len(), n, "a cut at {n} lost an entry in silence");
            }
        }
        assert!(
            decode(&[1, b'a', 99, 1, 0]).is_none()
                && decode(&[1, b'a', TMK, 3, 0, 0, 0]).is_none()
                && decode(&[0, TMK, 8]).is_none()
                && decode(&[1, b'a', PIK | 3 << 4, 1, 0]).is_none()
                && decode(&[1, b'a', LAST, 2, 0, 0]).is_none()
        );
    }

    #[test]
    fn replaced_keys_are_kept_up_to_a_number_and_the_oldest_go_first() {
        let mut keys = AccountKeys::default();
        let hash = |n: u32| {
            let mut hash = [0; HASH];
            hash[..4].copy_from_slice(&n.to_be_bytes());
            hash
        };
        for n in 0..=2_001 {
            keys.note(&[hash(n)]);
        }
        assert!(!keys.has_replaced(&[hash(0)]) && keys.has_replaced(&[hash(1)]));
        assert!(keys.has_replaced(&[hash(5_000), hash(2_000)]) && !keys.has_replaced(&[hash(2_001)]));
        assert_eq!((keys.replaced.len(), keys.last.len()), (REPLACED_MAX, HASH));
    }

    /// Bytes of a file from before keys had an algorithm.
    #[test]
    fn des_keys_stand_as_they_always_did() {
        let entry = |slot: u8, key: &[u8]| [&[1, b'a', slot, key.len() as u8], key].concat();
        let old = [entry(3, &[1; 16]), entry(4, &[2; 16]), entry(5, &[3; 8]), entry(6, &[4; 16])].concat();
        let keys = decode(&old).unwrap();
        let working = keys["a"].working.as_ref().unwrap();
        assert_eq!((working.pik.algorithm(), working.mak.reveal()), (Algorithm::Des, &[3; 8][..]));
        assert_eq!(*encode(&keys), old);
    }
}
