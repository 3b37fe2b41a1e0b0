//! TLS to a host: only the CAs that the configuration names, TLS 1.2 or 1.3, rustls with ring.
use payterm_schema::{Time, config::TlsConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use std::{io, path::PathBuf, sync::Arc};
use tokio_rustls::{
    TlsConnector,
    rustls::{self, AlertDescription, CertificateError, ClientConfig, RootCertStore, crypto::ring},
};
use x509_parser::prelude::{FromDer, X509Certificate};

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path}: {cause}")]
    Pem { path: PathBuf, cause: rustls_pki_types::pem::Error },
    #[error("{0}: holds no certificate")]
    NoCa(PathBuf),
    #[error("cert and key go together")]
    HalfIdentity,
    #[error("'{0}' is no host name or address")]
    Name(String),
    #[error("{0}")]
    Rustls(#[from] rustls::Error),
}

/// What connections to a host are made with.
#[derive(Clone)]
pub struct Tls {
    pub connector: TlsConnector,
    /// The name that the host's certificate must carry.
    pub name: ServerName<'static>,
    /// The first end of a certificate that stands in the way, and where it is: `ca` or `cert`.
    pub ends: Option<(Time, &'static str)>,
}

/// The connector of an account and the name that the host's certificate must carry. `host` is the account's
/// address.
pub fn connector(config: &TlsConfig, address: &str) -> Result<Tls, TlsError> {
    let mut roots = RootCertStore::empty();
    let cas = certificates(&config.ca)?;
    // One CA that lives is enough; of the terminal's own chain every certificate is needed.
    let mut ends: Vec<_> = cas.iter().filter_map(end).max().map(|t| (t, "ca")).into_iter().collect();
    for ca in cas {
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
            let chain = certificates(cert)?;
            ends.extend(chain.iter().filter_map(end).min().map(|t| (t, "cert")));
            builder.with_client_auth_cert(chain, key_der)?
        }
        (Some(_), None) | (None, Some(_)) => return Err(TlsError::HalfIdentity),
    };
    let host = address.rsplit_once(':').map_or(address, |(h, _)| h).trim_matches(['[', ']']);
    let name = config.server_name.as_deref().unwrap_or(host).to_owned();
    let name = ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(name))?;
    Ok(Tls { connector: TlsConnector::from(Arc::new(client)), name, ends: ends.into_iter().min() })
}

/// When a certificate ends; none where it cannot be read: the handshake will say what is wrong with it.
fn end(der: &CertificateDer<'_>) -> Option<Time> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(Time(certificate.validity().not_after.timestamp().saturating_mul(1_000)))
}

/// What is wrong with the certificate of either side, in words and dates; none of another failure.
#[allow(clippy::wildcard_enum_match_arm, reason = "the library's list of errors is open")]
pub fn untrusted(e: &io::Error) -> Option<String> {
    let e = e.get_ref()?.downcast_ref::<rustls::Error>()?;
    let date = |t: UnixTime| {
        let t = Time(i64::try_from(t.as_secs()).unwrap_or(0).saturating_mul(1_000)).local(0);
        format!("{}-{:02}-{:02}", t.year(), u8::from(t.month()), t.day())
    };
    if let rustls::Error::AlertReceived(alert) = e {
        let ours = matches!(
            alert,
            AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::CertificateRequired
        );
        return ours.then(|| format!("the host refuses this terminal's certificate: {alert:?}"));
    }
    let rustls::Error::InvalidCertificate(c) = e else { return None };
    Some(match c {
        CertificateError::ExpiredContext { not_after, time } => {
            format!("the host's certificate was valid until {}, and it is {}", date(*not_after), date(*time))
        }
        CertificateError::NotValidYetContext { not_before, time } => {
            format!("the host's certificate is valid from {}, and it is {}", date(*not_before), date(*time))
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the host's certificate is not signed by a CA in tls.ca".into()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            // Its names are the other side's words, and may be many.
            let names: Vec<_> = presented.iter().take(3).map(|n| n.escape_default().to_string()).collect();
            format!("the host's certificate is for {}, not for {}", names.join(", "), expected.to_str())
        }
        other => format!("the host's certificate: {other}"),
    })
}

/// What is wrong with a TLS table: the keys of files that cannot be used; when there are none, of what does
/// not go together.
pub fn broken_tls(config: &TlsConfig, address: &str) -> Vec<(&'static str, TlsError)> {
    let read = |path: &PathBuf| match certificates(path) {
        Ok(none) if none.is_empty() => Err(TlsError::NoCa(path.clone())),
        all => all.map(drop),
    };
    let read_key = |path: &PathBuf| {
        let key = PrivateKeyDer::from_pem_file(path);
        key.map(drop).map_err(|cause| TlsError::Pem { path: path.clone(), cause })
    };
    let files = [
        ("ca", Some(read(&config.ca))),
        ("cert", config.cert.as_ref().map(read)),
        ("key", config.key.as_ref().map(read_key)),
    ];
    let broken: Vec<_> = files.into_iter().filter_map(|(key, read)| Some((key, read?.err()?))).collect();
    if !broken.is_empty() {
        return broken;
    }
    let key = |e: &TlsError| match e {
        TlsError::NoCa(_) | TlsError::Pem { .. } => "ca",
        TlsError::HalfIdentity if config.key.is_none() => "key",
        TlsError::HalfIdentity => "cert",
        TlsError::Name(_) => "server_name",
        TlsError::Rustls(_) => {
            if config.cert.is_some() {
                "cert"
            } else {
                "ca"
            }
        }
    };
    connector(config, address).err().map(|e| (key(&e), e)).into_iter().collect()
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = |cause| TlsError::Pem { path: path.clone(), cause };
    CertificateDer::pem_file_iter(path).map_err(pem)?.collect::<Result<_, _>>().map_err(pem)
}
