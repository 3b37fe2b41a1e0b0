//! The demo terminal: virtual devices, an account at the acquirer simulator on this machine, test keys.
use payterm_schema::{config::Config, secret::SecretBytes};
use payterm_vault::{SealingKey, SealingKeyError, Vault, VaultError};

const CONFIG: &str = include_str!("demo.toml");

/// The test TMK of the demo world (0123456789ABCDEFFEDCBA9876543210) as two components with their check
/// values. TEST KEYS.
const C1: ([u8; 16], [u8; 4]) =
    (0xA1B2_C3D4_E5F6_0718_293A_4B5C_6D7E_8F90_u128.to_be_bytes(), [0x76, 0xCD, 0xB5, 0x53]);
const C2: ([u8; 16], [u8; 4]) =
    (0xA091_86B3_6C5D_CAF7_D7E6_F1C4_1B2A_BD80_u128.to_be_bytes(), [0x78, 0x1F, 0x35, 0x52]);
const KCV: [u8; 4] = [0x08, 0xD7, 0xB4, 0xFB];

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Journal(#[from] payterm_journal::StoreError),
    #[error(transparent)]
    Key(#[from] SealingKeyError),
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// The configuration, with `uid` as manager.
pub fn config(uid: u32) -> Config {
    let config: Result<Config, _> = toml::from_str(&CONFIG.replace("@UID@", &uid.to_string()));
    config.expect("the demo's configuration is good")
}

/// Makes `<state>/vault.key` (0600) and gives each account without a TMK the test one.
pub fn prepare(config: &mut Config) -> Result<(), DemoError> {
    let _lock = payterm_journal::hold(&config.store.dir)?;
    let path = config.store.dir.join("vault.key");
    let key = if path.exists() { SealingKey::from_file(&path)? } else { SealingKey::create_file(&path)? };
    config.vault.key_file = Some(path);
    let vault = Vault::open(&config.store.dir, key)?;
    for account in &config.accounts {
        let id = account.id.as_str();
        if vault.tmk_check_value(id).is_none() {
            let bytes = |c: [u8; 16]| SecretBytes::new(c.to_vec());
            vault.load_tmk_components(id, &bytes(C1.0), &C1.1, &bytes(C2.0), &C2.1, &KCV)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_good() {
        let demo = config(1000);
        assert_eq!(demo.check(), Ok(()));
        let drivers = payterm_devices::Drivers::default();
        assert_eq!(drivers.check(&demo), Ok(()));
        assert!(drivers.any_virtual(&demo.devices));
        assert_eq!(demo.bus.callers[0].uid, 1000);
    }
}
