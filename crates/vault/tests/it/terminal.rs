//! The terminal's own key and master keys wrapped to it.
use payterm_primitives::{DesKey, wrap::wrap};
use payterm_schema::AccountId;
use payterm_vault::{SealingKey, Vault, VaultError, WrappedTmk};
use std::path::Path;

fn open(dir: &Path, seed: u8) -> Vault {
    Vault::open(dir, SealingKey::new(std::array::from_fn(|i| i as u8 ^ seed))).unwrap()
}
fn tmk() -> Vec<u8> {
    hex::decode("CA5D92598DCA48CE8A4C76361A9269E9").unwrap()
}
fn wrapped(public: &str, account: &str, label: &str, key: &[u8]) -> WrappedTmk {
    let check_value =
        DesKey::new(&key[..key.len().min(16)]).map(|k| k.kcv()[..3].to_vec()).unwrap_or_default();
    WrappedTmk {
        account: AccountId::new(account).unwrap(),
        label: label.into(),
        wrapped: wrap(&hex::decode(public).unwrap(), label, key).unwrap(),
        check_value,
    }
}

#[test]
fn a_wrapped_key_is_taken_over_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let v = open(dir.path(), 0);
    let none = v.load_tmks_wrapped(&[WrappedTmk {
        account: AccountId::new("a").unwrap(),
        label: String::new(),
        wrapped: vec![0; 256],
        check_value: vec![0; 3],
    }]);
    assert!(matches!(none, Err(VaultError::Damaged(_))), "there is no terminal key yet: {none:?}");
    let key = v.terminal_key().unwrap();
    assert_eq!((key.fingerprint.len(), v.terminal_key().unwrap()), (64, key.clone()), "made once");
    drop(v);
    let v = open(dir.path(), 0);
    assert_eq!(v.terminal_key().unwrap(), key, "the same after a restart");

    let good = |account| wrapped(&key.public, account, "label", &tmk());
    // Each wrong one beside a good one: neither is taken.
    let other = {
        let d = tempfile::tempdir().unwrap();
        open(d.path(), 1).terminal_key().unwrap()
    };
    let mut torn = good("b");
    torn.wrapped[100] ^= 1;
    let (check, wrap) = ("TMK: the check value is wrong", "wrapped key: it does not unwrap");
    let length = "TMK: must be 16 bytes";
    let bad = [
        (WrappedTmk { check_value: vec![1, 2, 3], ..good("b") }, check),
        (WrappedTmk { check_value: vec![], ..good("b") }, check),
        (WrappedTmk { label: "another label".into(), ..good("b") }, wrap),
        (WrappedTmk { wrapped: vec![0; 256], ..good("b") }, wrap),
        (WrappedTmk { wrapped: Vec::new(), ..good("b") }, wrap),
        (torn, wrap),
        (wrapped(&other.public, "b", "label", &tmk()), wrap),
        (wrapped(&key.public, "b", "label", &[7; 16]), "TMK: must not have equal halves"),
        (wrapped(&key.public, "b", "label", &tmk()[..8]), length),
        (wrapped(&key.public, "b", "label", &[tmk(), tmk()].concat()), length),
    ];
    for (one, why) in bad {
        let refused = v.load_tmks_wrapped(&[good("a"), one.clone()]);
        assert_eq!(refused.map_err(|e| e.to_string()), Err(why.into()), "{one:?}");
        assert_eq!((v.tmk_check_value("a"), v.tmk_check_value("b")), (None, None), "{one:?}");
    }
    v.load_tmks_wrapped(&[good("a"), good("b")]).unwrap();
    drop(v);
    let v = open(dir.path(), 0);
    assert_eq!(
        (v.tmk_check_value("a"), v.tmk_check_value("b")),
        (Some([0x43, 0xC6, 0xCC]), Some([0x43, 0xC6, 0xCC]))
    );
}

#[test]
fn the_key_is_sealed_on_disk_and_of_this_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let v = open(dir.path(), 0);
    v.terminal_key().unwrap();
    let file = dir.path().join("terminal.sealed");
    let bytes = std::fs::read(&file).unwrap();
    // A PKCS#8 key would show rsaEncryption (1.2.840.113549.1.1.1).
    assert!(!bytes.windows(9).any(|w| w == [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01]));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // The one file cannot stand in for the other.
    std::fs::copy(dir.path().join("vault.sealed"), &file).unwrap();
    assert!(matches!(v.terminal_key(), Err(VaultError::Damaged(_))));
    std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(v.terminal_key(), Err(VaultError::Damaged(_))));
}
