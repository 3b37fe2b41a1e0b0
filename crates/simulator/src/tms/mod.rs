//! The terminal management of the acquirer: it offers terminals, takes onboardings, and gives approved ones
//! their parameters and master key, over HTTPS with a CA of its own. Files in `STATE/tms`: `ca.pem` and
//! `signing.pem` for the terminal's configuration; `ca-key.pem` and `signing.p8` stay here;
//! `onboardings.json`.
//!
//! **Test keys and test data only.**
mod http;
mod registry;

pub use http::serve;
pub use registry::{Decision, Held, Registry, RegistryError};

use payterm_primitives::signature::Signer;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

#[derive(Debug, thiserror::Error)]
pub enum TmsError {
    #[error("{path}: {cause}")]
    File { path: PathBuf, cause: std::io::Error },
    #[error("terminal management: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("terminal management: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
    #[error("{0}: not a signing key of mine")]
    Signing(PathBuf),
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Directory of the terminal management in an acquirer's state directory.
pub fn dir(state: &Path) -> PathBuf {
    state.join("tms")
}

/// Certificate, CA and signing key of the terminal management. CA and signing key are made once and stay; the
/// certificate, for `localhost`, 127.0.0.1 and ::1, is made at each start.
pub fn identity(state: &Path) -> Result<(TlsAcceptor, Signer), TmsError> {
    let dir = dir(state);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .map_err(|cause| TmsError::File { path: dir.clone(), cause })?;
    let (ca_file, key_file, signing_file) =
        (dir.join("ca.pem"), dir.join("ca-key.pem"), dir.join("signing.p8"));
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "payterm test terminal management CA");
    let ca_key = if key_file.exists() { KeyPair::from_pem(&text(&key_file)?)? } else { KeyPair::generate()? };
    if !ca_file.exists() {
        write(&key_file, 0o600, ca_key.serialize_pem().as_bytes())?;
        write(&ca_file, 0o644, params.self_signed(&ca_key)?.pem().as_bytes())?;
    }
    if !signing_file.exists() {
        let made = Signer::generate().ok_or_else(|| TmsError::Signing(signing_file.clone()))?;
        write(&signing_file, 0o600, &made)?;
    }
    let der =
        fs::read(&signing_file).map_err(|cause| TmsError::File { path: signing_file.clone(), cause })?;
    let signer = Signer::from_pkcs8(&der);
    let (signer, public) = signer
        .and_then(|s| s.spki_pem().map(|pem| (s, pem)))
        .ok_or_else(|| TmsError::Signing(signing_file))?;
    write(&dir.join("signing.pem"), 0o644, public.as_bytes())?;

    let key = KeyPair::generate()?;
    let names = ["localhost", "127.0.0.1", "::1"].map(String::from).to_vec();
    let cert = CertificateParams::new(names)?.signed_by(&key, &Issuer::new(params, ca_key))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![cert.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )?;
    Ok((TlsAcceptor::from(Arc::new(config)), signer))
}

fn text(path: &Path) -> Result<String, TmsError> {
    fs::read_to_string(path).map_err(|cause| TmsError::File { path: path.into(), cause })
}

/// Writes a file as a whole or not at all.
pub(crate) fn write(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), TmsError> {
    let part = path.with_extension("part");
    let _ = fs::remove_file(&part);
    let put = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    put().map_err(|cause| TmsError::File { path: path.into(), cause })
}
