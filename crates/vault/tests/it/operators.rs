//! Operators' passwords and customer service's codes.
use payterm_schema::{
    operator::OperatorId,
    secret::{Password, SecretBytes, ServiceCode, Verifier},
};
use payterm_vault::{SealingKey, Vault, VaultError};
use std::path::Path;

fn vault(dir: &Path, first: u8) -> Vault {
    Vault::open(dir, SealingKey::new(std::array::from_fn(|i| first + i as u8))).unwrap()
}
fn password(digits: &str) -> Password {
    Password::parse(digits).unwrap()
}

#[test]
fn only_the_right_password_of_the_right_operator_in_the_right_vault_fits() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (ours, other) = (vault(dirs[0].path(), 1), vault(dirs[1].path(), 2));
    let (one, two) = (OperatorId::new("01").unwrap(), OperatorId::new("02").unwrap());
    let verifier = ours.password_verifier(&one, &password("908172")).unwrap();
    let fits = |v: &Vault, o, p: &str| v.password_fits(o, &password(p), &verifier).unwrap();
    assert!(fits(&ours, &one, "908172"));
    assert!(!fits(&ours, &one, "908173") && !fits(&ours, &two, "908172") && !fits(&other, &one, "908172"));
    let again = ours.password_verifier(&one, &password("908172")).unwrap();
    assert_ne!(again, verifier, "each has a salt of its own");
    assert!(verifier.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", verifier.as_str());
    // It outlives the process: the key comes from the sealing key.
    drop(ours);
    assert!(vault(dirs[0].path(), 1).password_fits(&one, &password("908172"), &verifier).unwrap());
}

#[test]
fn a_verifier_that_is_none_of_ours_is_refused_and_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let vault = vault(dir.path(), 1);
    let one = OperatorId::new("01").unwrap();
    let good = vault.password_verifier(&one, &password("908172")).unwrap().as_str().to_owned();
    for bad in [
        String::new(),
        "x".into(),
        good.replace("argon2id", "scrypt"),
        good.replace("m=19456", "m=4000000"),
        good.replace("t=2", "t=4000"),
        good[..40].into(),
    ] {
        let refused = vault.password_fits(&one, &password("908172"), &Verifier::new(bad.clone()));
        assert!(matches!(refused, Err(VaultError::Password(_))), "{bad}: {refused:?}");
    }
}

#[test]
fn the_service_key_comes_in_two_parts_and_answers_challenges() {
    let dir = tempfile::tempdir().unwrap();
    let vault = vault(dir.path(), 1);
    let (a, b) = (SecretBytes::new(vec![0x11; 16]), SecretBytes::new((0..16).collect()));
    assert!(matches!(vault.service_code("12345678"), Err(VaultError::NoServiceKey)));
    // Check values by an independent CMAC (OpenSSL: `openssl mac -cipher AES-128-CBC -macopt hexkey:...
    // CMAC`).
    let (ka, kb, kk) =
        (hex::decode(KCV_A).unwrap(), hex::decode(KCV_B).unwrap(), hex::decode(KCV_KEY).unwrap());
    for (i, wrong) in [(&kb, &kb, &kk), (&ka, &ka, &kk), (&ka, &kb, &ka)].into_iter().enumerate() {
        assert!(
            matches!(
                vault.load_service_key(&a, wrong.0, &b, wrong.1, wrong.2),
                Err(VaultError::CheckValue(_))
            ),
            "{i}"
        );
    }
    let equal = vault.load_service_key(&a, &ka, &a, &ka, &kk);
    assert!(matches!(equal, Err(VaultError::Key { what: "components", .. })), "{equal:?}");
    assert_eq!(vault.service_key_check_value(), None);
    vault.load_service_key(&a, &ka, &b, &kb, &kk).unwrap();
    assert_eq!(vault.service_key_check_value().unwrap()[..], kk[..]);
    let code = vault.service_code("12345678").unwrap();
    assert!(vault.service_code_fits("12345678", &code).unwrap());
    assert!(!vault.service_code_fits("12345679", &code).unwrap());
    assert!(!vault.service_code_fits("12345678", &ServiceCode::parse("00000000").unwrap()).unwrap());
    // The key is on disk, and no account.
    drop(vault);
    let again = self::vault(dir.path(), 1);
    assert!(again.service_code_fits("12345678", &code).unwrap());
    assert!(again.erase_account("bank").is_ok() && again.service_code("1").is_ok());
}

#[test]
fn challenges_are_eight_digits_and_differ() {
    let dir = tempfile::tempdir().unwrap();
    let vault = vault(dir.path(), 1);
    let all: std::collections::BTreeSet<String> =
        (0..50).map(|_| vault.service_challenge().unwrap()).collect();
    assert!(
        all.len() > 45 && all.iter().all(|c| c.len() == 8 && c.bytes().all(|b| b.is_ascii_digit())),
        "{all:?}"
    );
}

const KCV_A: &str = "EE23D8";
const KCV_B: &str = "BE7ED6";
const KCV_KEY: &str = "1D5B1D";
