//! Operators' passwords and customer service's codes.
//!
//! A password is 6 digits: a million guesses. So its verifier is worth nothing without this vault: the digits
//! first go through HMAC-SHA-256 under a key derived from the sealing key, then through argon2id (RFC 9106),
//! which makes each guess cost time also where the sealing key was stolen.
use crate::{Vault, VaultError};
use argon2::{
    Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version,
    password_hash::{Error, phc::PasswordHash},
};
use payterm_primitives::tr31::{Kbpk, KbpkAlgorithm};
use payterm_schema::{
    operator::OperatorId,
    secret::{Password, SecretBytes, ServiceCode, Verifier},
};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Memory in KiB: OWASP's least for argon2id (19 MiB); a terminal has that to spare for a moment.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over it: 20 to 50 ms on a terminal's processor.
const PASSES: u32 = 2;
/// Lanes of Argon2. 1: there is no core to spare.
const LANES: u32 = 1;
/// Bytes of salt, from the operating system (RFC 9106 §3.1).
const SALT: usize = 16;

const PURPOSE: &str = "operator password";

impl Vault {
    /// Verifier for [`Vault::password_fits`]; another each time. Takes its time: not for an event
    /// loop's thread.
    pub fn password_verifier(
        &self,
        operator: &OperatorId,
        password: &Password,
    ) -> Result<Verifier, VaultError> {
        let mut salt = [0; SALT];
        getrandom::fill(&mut salt).map_err(VaultError::Random)?;
        let hash = argon2()?.hash_password_with_salt(&*self.keyed(operator, password), &salt);
        Ok(Verifier::new(hash.map_err(|_| VaultError::Password("could not be hashed"))?.to_string()))
    }

    /// Compared in constant time. An error: the verifier is none of ours.
    pub fn password_fits(
        &self,
        operator: &OperatorId,
        password: &Password,
        verifier: &Verifier,
    ) -> Result<bool, VaultError> {
        let parsed = PasswordHash::new(verifier.as_str())
            .map_err(|_| VaultError::Password("its verifier is malformed"))?;
        // The costs stand in the verifier: greater ones than ours could only make the terminal hang.
        let costs =
            Params::try_from(&parsed).map_err(|_| VaultError::Password("its verifier is malformed"))?;
        if costs.m_cost() > MEMORY_KIB || costs.t_cost() > PASSES || costs.p_cost() > LANES {
            return Err(VaultError::Password("its verifier is malformed"));
        }
        match argon2()?.verify_password(&*self.keyed(operator, password), &parsed) {
            Ok(()) => Ok(true),
            Err(Error::PasswordInvalid) => Ok(false),
            Err(_) => Err(VaultError::Password("could not be hashed")),
        }
    }

    /// Bound to the operator: one operator's verifier is of no use in another's place.
    fn keyed(&self, operator: &OperatorId, password: &Password) -> Zeroizing<[u8; 32]> {
        let data =
            Zeroizing::new([operator.as_str().as_bytes(), b":", password.reveal().as_bytes()].concat());
        Zeroizing::new(self.keyed_hash(PURPOSE, &data))
    }

    /// 8 random digits for customer service.
    pub fn service_challenge(&self) -> Result<String, VaultError> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(VaultError::Random)?;
        // 2^64 is so many times 10^8 that no digit is likelier than another by anything that matters.
        Ok(format!("{:08}", u64::from_be_bytes(bytes) % CODES))
    }

    /// The service key, of which customer service has a copy: two components of 16, 24 or 32 bytes with check
    /// values by CMAC over 16 zero bytes (ANSI X9.24-1).
    pub fn load_service_key(
        &self,
        c1: &SecretBytes,
        kcv1: &[u8],
        c2: &SecretBytes,
        kcv2: &[u8],
        kcv_of_key: &[u8],
    ) -> Result<(), VaultError> {
        self.set_service_key(crate::load::combine_service_key([(c1, kcv1), (c2, kcv2)], kcv_of_key)?)
    }

    /// Check value (first 3 bytes) of the service key; `None` when there is none.
    pub fn service_key_check_value(&self) -> Option<[u8; 3]> {
        let [a, b, c, _] = Kbpk::new(KbpkAlgorithm::Aes, self.service_key()?.reveal()).ok()?.kcv();
        Some([a, b, c])
    }

    /// The code that answers a challenge: HMAC-SHA-256 over its digits, truncated as RFC 4226 §5.3, 8 digits.
    pub fn service_code(&self, challenge: &str) -> Result<ServiceCode, VaultError> {
        let key = self.service_key().ok_or(VaultError::NoServiceKey)?;
        let code = code(key.reveal(), challenge);
        ServiceCode::parse(&code).ok_or(VaultError::Password("could not be made"))
    }

    /// Compared in constant time.
    pub fn service_code_fits(&self, challenge: &str, code: &ServiceCode) -> Result<bool, VaultError> {
        Ok(self.service_code(challenge)?.reveal().as_bytes().ct_eq(code.reveal().as_bytes()).into())
    }
}

fn argon2() -> Result<Argon2<'static>, VaultError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .map_err(|_| VaultError::Password("could not be hashed"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// 10^8: a code has 8 digits.
const CODES: u64 = 100_000_000;

fn code(key: &[u8], challenge: &str) -> Zeroizing<String> {
    use hmac::{KeyInit, Mac};
    let mut mac =
        <hmac::Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(challenge.as_bytes());
    let hash: Zeroizing<[u8; 32]> = Zeroizing::new(mac.finalize().into_bytes().into());
    Zeroizing::new(format!("{:08}", u64::from(truncated(&*hash)) % CODES))
}

/// RFC 4226 §5.3: 31 bits from where the last half byte says.
fn truncated(hash: &[u8]) -> u32 {
    let at = usize::from(hash.last().copied().unwrap_or_default() & 0xF);
    let bytes = hash.get(at..at + 4).and_then(|b| b.first_chunk::<4>()).copied().unwrap_or_default();
    u32::from_be_bytes(bytes) & 0x7FFF_FFFF
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncation_is_that_of_the_rfc() {
        // RFC 4226 §5.4.
        let hash = hex::decode("1f8698690e02ca16618550ef7f19da8e945b555a").unwrap();
        assert_eq!(truncated(&hash), 0x50ef_7f19);
        // RFC 6238 appendix B: HMAC-SHA-256, key of 32 digits, counter 1, 8 digits. There the message is 8
        // bytes of a counter.
        let counter = std::str::from_utf8(&[0, 0, 0, 0, 0, 0, 0, 1]).unwrap().to_owned();
        assert_eq!(*code(b"12345678901234567890123456789012", &counter), "46119246");
    }
}
