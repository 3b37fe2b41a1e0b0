//! TLS to a host: only the CAs that the configuration names, TLS 1.2 or 1.3, rustls with ring.
use payterm_schema::config::TlsConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use std::{path::PathBuf, sync::Arc};
use tokio_rustls::{
    TlsConnector,
    rustls::{self, ClientConfig, RootCertStore, crypto::ring},
};

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("tls: {path}: {cause}")]
    Pem { path: PathBuf, cause: rustls_pki_types::pem::Error },
    #[error("tls.ca: {0}: holds no certificate")]
    NoCa(PathBuf),
    #[error("tls: cert and key go together")]
    HalfIdentity,
    #[error("tls.server_name: '{0}' is no host name or address")]
    Name(String),
    #[error("tls: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Connector, and the name that the host's certificate must carry.
pub type Tls = (TlsConnector, ServerName<'static>);

/// The connector of an account and the name that the host's certificate must carry. `host` is the account's
/// address.
pub fn connector(config: &TlsConfig, address: &str) -> Result<Tls, TlsError> {
    let mut roots = RootCertStore::empty();
    for ca in certificates(&config.ca)? {
        roots.add(ca)?;
    }
    if roots.is_empty() {
        return Err(TlsError::NoCa(config.ca.clone()));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let client = match (&config.cert, &config.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => {
            let key_der = PrivateKeyDer::from_pem_file(key)
                .map_err(|cause| TlsError::Pem { path: key.clone(), cause })?;
            builder.with_client_auth_cert(certificates(cert)?, key_der)?
        }
        (Some(_), None) | (None, Some(_)) => return Err(TlsError::HalfIdentity),
    };
    let host = address.rsplit_once(':').map_or(address, |(h, _)| h).trim_matches(['[', ']']);
    let name = config.server_name.as_deref().unwrap_or(host).to_owned();
    let name = ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(name))?;
    Ok((TlsConnector::from(Arc::new(client)), name))
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = |cause| TlsError::Pem { path: path.clone(), cause };
    CertificateDer::pem_file_iter(path).map_err(pem)?.collect::<Result<_, _>>().map_err(pem)
}
