//! An account over TLS, end to end; a host that is not the configured one gets no frame.
use crate::common::*;
use payterm_schema::{Status, config::TlsConfig};
use payterm_tests::real::stack::Stack;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::{net::TcpStream, path::Path};

type Done<T = ()> = Result<T, Box<dyn std::error::Error>>;

const NAME: &str = "acquirer.test";

/// A CA in `<ca>.pem`, and a server certificate of it for [`NAME`].
fn authority(dir: &Path, ca: &str) -> Done<(String, String)> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (ca_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
    std::fs::write(dir.join(format!("{ca}.pem")), params.self_signed(&ca_key)?.pem())?;
    let cert = CertificateParams::new(vec![NAME.into()])?.signed_by(&key, &Issuer::new(params, ca_key))?;
    Ok((cert.pem(), key.serialize_pem()))
}

/// A stack whose acquirer speaks TLS with a certificate of the CA `good`.
fn stack(ca: &str, name: &str) -> Done<Stack> {
    let temp = tempfile::Builder::new().prefix("payterm-").tempdir()?;
    let dir = temp.path().to_owned();
    let (cert, key) = authority(&dir, "good")?;
    authority(&dir, "other")?;
    std::fs::write(dir.join("tls-cert.pem"), cert)?;
    std::fs::write(dir.join("tls-key.pem"), key)?;
    std::fs::write(dir.join("world.toml"), include_str!("../../../crates/simulator/worlds/demo.toml"))?;
    let tls = TlsConfig {
        ca: dir.join(format!("{ca}.pem")),
        server_name: Some(name.into()),
        cert: None,
        key: None,
    };
    Stack::start_in(dir, Some(temp), |c, _| {
        c.accounts[0].tls = Some(tls);
        // Nothing is prepared while no host can be reached: the sale itself must be refused.
        c.flow.prepare_timeout_ms = 2_000;
    })
}

#[tokio::test]
async fn a_sale_over_tls() -> Done {
    let stack = stack("good", NAME)?;
    let client = stack.client().await?;
    alice(&mut stack.virtuals()?);
    let o = pay(&client, sale("t-1", "12.34")).await;
    is(&o, Status::Approved);
    assert_eq!(stack.net("cup")?, 1234);
    // It is TLS that listens there: a plain frame gets no answer but an alert or an end.
    use std::io::{Read, Write};
    let mut plain = TcpStream::connect(&stack.config.accounts[0].address)?;
    plain.write_all(b"\x00\x0c\x60\x00\x03\x00\x00\x60\x31\x00\x00\x00\x00\x00")?;
    plain.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    let mut first = [0; 1];
    let n = plain.read(&mut first)?;
    assert!(n == 0 || first[0] == 0x15, "a TLS alert (21), not {first:?}");
    Ok(())
}

#[tokio::test]
async fn a_host_that_is_not_the_configured_one_gets_no_frame() -> Done {
    for (ca, name, words) in [("other", NAME, "tls.ca"), ("good", "bank.test", "not for bank.test")] {
        let stack = stack(ca, name)?;
        let client = stack.client().await?;
        alice(&mut stack.virtuals()?);
        let o = pay(&client, sale("t-1", "12.34")).await;
        let reason = o.reason.clone().ok_or("no reason")?;
        assert_eq!((o.status, reason.code.as_str()), (Status::Failed, "line-untrusted"), "{ca}, {name}");
        assert!(reason.detail.is_some_and(|d| d.contains(words)), "{o:?}");
        assert_eq!((stack.net("cup")?, seen(&stack).len()), (0, 0), "{ca}, {name}");
    }
    Ok(())
}
