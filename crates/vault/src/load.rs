//! Loading of key block protection keys and terminal master keys: components with check values, or a key
//! block. A clear whole key has no way in.
use crate::{Vault, VaultError, vault::no_key};
use payterm_primitives::{
    DesKey, has_equal_parts,
    tr31::{self, Header, Kbpk, KbpkAlgorithm, Tr31Error},
};
use payterm_schema::secret::SecretBytes;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

impl Vault {
    /// Loads the TMK 终端主密钥 as the XOR of two components of 16 bytes; check values of 3 or 4 bytes, 3DES-ECB
    /// over 8 zero bytes.
    ///
    /// Parity is not enforced. Refused: a component or key of zeros, equal components, a key with equal
    /// halves. The account's working keys are removed: they came under the former TMK.
    pub fn load_tmk_components(
        &self,
        account: &str,
        c1: &SecretBytes,
        kcv1: &[u8],
        c2: &SecretBytes,
        kcv2: &[u8],
        kcv_of_key: &[u8],
    ) -> Result<(), VaultError> {
        let key = combine(&TMK, [(c1, kcv1), (c2, kcv2)], kcv_of_key, &|k| Ok(DesKey::new(k)?.kcv()))?;
        self.set_tmk(account, &key)
    }

    /// The TMK in a key block under the account's protection key. The block must say: usage `K0`, algorithm
    /// `T`, mode `B` or `D`, no component, exportability `N`, `S` or `E` (the vault never exports), a key of
    /// 16 bytes.
    pub fn load_tmk_block(&self, account: &str, block: &str) -> Result<(), VaultError> {
        let kbpk = self.kbpk(account)?;
        let (header, key) = tr31::unwrap(&kbpk, block)?;
        check_header(&header)?;
        if key.reveal().len() != 16 {
            return Err(TMK.refuse("must be 16 bytes"));
        }
        not_degenerate(&TMK, key.reveal())?;
        self.set_tmk(account, &key)
    }

    /// The account's protection key for key blocks of version D: two components of 16, 24 or 32 bytes, check
    /// values by CMAC over 16 zero bytes (ANSI X9.24-1).
    pub fn load_kbpk_aes(
        &self,
        account: &str,
        c1: &SecretBytes,
        kcv1: &[u8],
        c2: &SecretBytes,
        kcv2: &[u8],
        kcv_of_key: &[u8],
    ) -> Result<(), VaultError> {
        self.load_kbpk(account, KbpkAlgorithm::Aes, &KBPK_AES, [(c1, kcv1), (c2, kcv2)], kcv_of_key)
    }

    /// The account's protection key for key blocks of version B: two components of 16 or 24 bytes, check
    /// values by 3DES-ECB over 8 zero bytes.
    pub fn load_kbpk_tdes(
        &self,
        account: &str,
        c1: &SecretBytes,
        kcv1: &[u8],
        c2: &SecretBytes,
        kcv2: &[u8],
        kcv_of_key: &[u8],
    ) -> Result<(), VaultError> {
        self.load_kbpk(account, KbpkAlgorithm::Tdes, &KBPK_TDES, [(c1, kcv1), (c2, kcv2)], kcv_of_key)
    }

    fn load_kbpk(
        &self,
        account: &str,
        algorithm: KbpkAlgorithm,
        rules: &Rules,
        components: [(&SecretBytes, &[u8]); 2],
        kcv: &[u8],
    ) -> Result<(), VaultError> {
        let key = combine(rules, components, kcv, &|k| Ok(Kbpk::new(algorithm, k)?.kcv()))?;
        let kbpk = Kbpk::new(algorithm, key.reveal())?;
        self.change(account, |keys| {
            keys.kbpk = Some(kbpk);
            Ok(())
        })
    }

    fn set_tmk(&self, account: &str, key: &SecretBytes) -> Result<(), VaultError> {
        let tmk = DesKey::new(key.reveal())?;
        self.change(account, |keys| {
            keys.set_tmk(tmk);
            Ok(())
        })
    }

    fn kbpk(&self, account: &str) -> Result<Kbpk, VaultError> {
        self.lock()
            .get(account)
            .and_then(|k| k.kbpk.clone())
            .ok_or_else(|| no_key(account, "key block protection key"))
    }
}

/// The service key of its components; see [`Vault::load_service_key`].
pub(crate) fn combine_service_key(
    components: [(&SecretBytes, &[u8]); 2],
    kcv: &[u8],
) -> Result<SecretBytes, VaultError> {
    combine(&SERVICE, components, kcv, &|k| Ok(Kbpk::new(KbpkAlgorithm::Aes, k)?.kcv()))
}

/// Form of one kind of key, and its name in errors.
pub(crate) struct Rules {
    key: &'static str,
    lengths: &'static [usize],
    length_rule: &'static str,
    des: bool,
}
pub(crate) const TMK: Rules =
    Rules { key: "TMK", lengths: &[16], length_rule: "must be 16 bytes", des: true };
const KBPK_AES: Rules = Rules {
    key: "key block protection key",
    lengths: &[16, 24, 32],
    length_rule: "must be 16, 24 or 32 bytes",
    des: false,
};
const SERVICE: Rules = Rules { key: "service key", ..KBPK_AES };
const KBPK_TDES: Rules = Rules {
    key: "key block protection key",
    lengths: &[16, 24],
    length_rule: "must be 16 or 24 bytes",
    des: true,
};

impl Rules {
    pub(crate) fn refuse(&self, rule: &'static str) -> VaultError {
        VaultError::Key { what: self.key, rule }
    }
}

/// Check value of a component or key.
type CheckValueOf<'a> = &'a dyn Fn(&[u8]) -> Result<[u8; 4], VaultError>;

fn combine(
    rules: &Rules,
    components: [(&SecretBytes, &[u8]); 2],
    kcv: &[u8],
    kcv_of: CheckValueOf<'_>,
) -> Result<SecretBytes, VaultError> {
    for (what, (component, kcv)) in ["component 1", "component 2"].into_iter().zip(components) {
        let component = component.reveal();
        if !rules.lengths.contains(&component.len()) {
            return Err(VaultError::Key { what, rule: rules.length_rule });
        }
        // One component of zeros would make the other one the key: one person would know it.
        if zeros(component) {
            return Err(VaultError::Key { what, rule: "must not be all zeros" });
        }
        check(what, component, kcv, kcv_of)?;
    }
    let [(c1, _), (c2, _)] = components;
    if c1.reveal().len() != c2.reveal().len() {
        return Err(VaultError::Key { what: "components", rule: "must be of the same length" });
    }
    let mut key = Zeroizing::new(c1.reveal().to_vec());
    key.iter_mut().zip(c2.reveal()).for_each(|(k, c)| *k ^= c);
    if zeros(&key) {
        return Err(VaultError::Key { what: "components", rule: "must not be equal" });
    }
    if rules.des {
        not_degenerate(rules, &key)?;
    }
    check(rules.key, &key, kcv, kcv_of)?;
    Ok(SecretBytes::new(std::mem::take(&mut key)))
}

fn check(what: &'static str, key: &[u8], kcv: &[u8], kcv_of: CheckValueOf<'_>) -> Result<(), VaultError> {
    if !matches!(kcv.len(), 3 | 4) {
        return Err(VaultError::Key { what, rule: "the check value must be 3 or 4 bytes" });
    }
    let fits: bool = kcv_of(key)?[..kcv.len()].ct_eq(kcv).into();
    if fits { Ok(()) } else { Err(VaultError::CheckValue(what)) }
}

fn zeros(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |all, b| all | b) == 0
}

/// All zeros is a case of it.
pub(crate) fn not_degenerate(rules: &Rules, key: &[u8]) -> Result<(), VaultError> {
    if has_equal_parts(key) { Err(rules.refuse("must not have equal halves")) } else { Ok(()) }
}

fn check_header(h: &Header) -> Result<(), Tr31Error> {
    let rule = |fits: bool, field, got: String, rule| {
        if fits { Ok(()) } else { Err(Tr31Error::Header { field, got, rule }) }
    };
    rule(h.usage == "K0", "usage", h.usage.clone(), "K0 (key encipherment)")?;
    rule(h.algorithm == 'T', "algorithm", h.algorithm.into(), "T (triple DES)")?;
    rule(matches!(h.mode, 'B' | 'D'), "mode of use", h.mode.into(), "B or D (decipher)")?;
    rule(!h.key_version.starts_with('c'), "key version", h.key_version.clone(), "not that of a component")?;
    rule(matches!(h.exportability, 'E' | 'N' | 'S'), "exportability", h.exportability.into(), "E, N or S")
}
