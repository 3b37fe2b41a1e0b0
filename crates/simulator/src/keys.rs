//! Keys at the acquirer's end: test TMKs, working keys, MACs.
use crate::world::Account;
use payterm_primitives::{self as primitives, Algorithm, DesKey, Key, KeySet, PrimitiveError, f62::F62Error};
use payterm_schema::secret::{Mac, MacAlgorithm, MacError, MacValue, SecretBytes};
use serde::Serialize;
use zeroize::Zeroizing;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(transparent)]
    Primitive(#[from] PrimitiveError),
    #[error(transparent)]
    F62(#[from] F62Error),
}

/// A test TMK in the form in which a terminal takes it. **Test keys only**: a real component is never
/// printed.
#[derive(Serialize)]
pub struct Components {
    pub warning: &'static str,
    pub account: String,
    /// 32 hex digits each; the TMK is the exclusive or of both.
    pub component_1: String,
    pub component_2: String,
    /// First 3 bytes of enciphering 8 zero bytes under each component and under the TMK.
    pub kcv_1: String,
    pub kcv_2: String,
    pub kcv: String,
}

/// Always the same first component: what it hides is public anyway.
const COMPONENT_1: [u8; 16] =
    [0x3D, 0x68, 0x91, 0xF4, 0x0B, 0xA7, 0x52, 0xC6, 0xE5, 0x19, 0x7C, 0x80, 0xD3, 0x4A, 0xB6, 0x2F];

pub fn components(account: &Account) -> Result<Components, KeyError> {
    let tmk = account.tmk.reveal();
    let second: Zeroizing<[u8; 16]> = Zeroizing::new(std::array::from_fn(|i| tmk[i] ^ COMPONENT_1[i]));
    let kcv = |k: &[u8]| -> Result<String, KeyError> { Ok(hex::encode_upper(&DesKey::new(k)?.kcv()[..3])) };
    Ok(Components {
        warning: "TEST KEY: never use it for real money",
        account: account.name.to_string(),
        component_1: hex::encode_upper(COMPONENT_1),
        component_2: hex::encode_upper(*second),
        kcv_1: kcv(&COMPONENT_1)?,
        kcv_2: kcv(&*second)?,
        kcv: kcv(tmk)?,
    })
}

/// The working keys of a signed-in terminal.
#[derive(Clone, Debug)]
pub struct Session {
    pub pik: SecretBytes,
    pub mak: SecretBytes,
}

/// Fresh working keys of `pik` and `mak` bytes, and F62 of the sign-in reply.
pub fn fresh(account: &Account, pik: usize, mak: usize) -> Result<(Session, SecretBytes), KeyError> {
    let keys = KeySet { pik: DesKey::generate(pik)?.into(), mak: DesKey::generate(mak)?.into(), tdk: None };
    let f62 = primitives::build_f62(&DesKey::new(account.tmk.reveal())?, &keys)?;
    Ok((
        Session {
            pik: SecretBytes::new(keys.pik.reveal().to_vec()),
            mak: SecretBytes::new(keys.mak.reveal().to_vec()),
        },
        f62,
    ))
}

/// A MAK as hosts wants it.
pub struct Mak(Key);
impl Mak {
    pub fn new(session: &Session) -> Result<Self, KeyError> {
        Ok(Self(Key::new(Algorithm::Des, session.mak.reveal())?))
    }
}
impl Mac for Mak {
    fn mac(&self, algorithm: MacAlgorithm, data: &[u8]) -> Result<MacValue, MacError> {
        primitives::mac(algorithm, &self.0, data).map_err(|e| MacError::Store(e.to_string()))
    }
    fn verify(&self, algorithm: MacAlgorithm, data: &[u8], mac: &[u8]) -> Result<bool, MacError> {
        // The acquirer's side of a test bench: no timing secret here.
        Ok(self.mac(algorithm, data)?.reveal() == mac)
    }
}
