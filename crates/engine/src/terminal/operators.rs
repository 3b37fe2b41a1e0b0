//! The vault's answers for the operators; done on a blocking thread, because a password takes
//! its time.
use payterm_core::{VaultAnswer, VaultAsk};
use payterm_vault::{Vault, VaultError};

pub(super) fn answer(vault: &Vault, ask: VaultAsk) -> VaultAnswer {
    let done: Result<VaultAnswer, VaultError> = match ask {
        VaultAsk::Check { operator, password, verifier } => {
            vault.password_fits(&operator, &password, &verifier).map(VaultAnswer::Checked)
        }
        VaultAsk::Verifier { operator, password } => {
            vault.password_verifier(&operator, &password).map(VaultAnswer::Verifier)
        }
        VaultAsk::Challenge => vault.service_challenge().map(VaultAnswer::Challenge),
        VaultAsk::CheckCode { challenge, code } => {
            vault.service_code_fits(&challenge, &code).map(VaultAnswer::Checked)
        }
    };
    done.unwrap_or_else(|e| {
        tracing::error!("operators: {e}");
        VaultAnswer::Failed(e.to_string())
    })
}
