//! A changed configuration whose files are not to be read: on a dead mount, or a pipe without a writer.
use crate::rig::SOON;
use payterm_engine::{Engine, Options, demo};
use payterm_schema::config::TlsConfig;
use payterm_vault::SealingKey;
use std::{process::Command, time::Duration};

#[test]
fn a_reload_that_hangs_holds_up_no_end() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, pipe) = (dir.path().join("ca.pem"), dir.path().join("pipe"));
    let made = rcgen::generate_simple_self_signed(vec!["acquirer.test".into()]).unwrap();
    std::fs::write(&ca, made.cert.pem()).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut config = demo::config(0);
    config.store.dir = dir.path().join("state");
    let server_name = Some("acquirer.test".into());
    config.accounts[0].tls = Some(TlsConfig { ca, server_name, cert: None, key: None });
    demo::prepare(&mut config).unwrap();
    actix::System::new().block_on(async {
        let key = SealingKey::from_file(config.vault.key_file.as_ref().unwrap()).unwrap();
        let engine = Engine::start(config.clone(), key, Options::default()).await.unwrap();
        config.accounts[0].tls.as_mut().unwrap().ca = pipe;
        let ends = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            tokio::time::timeout(SOON, engine.quiet()).await.unwrap();
        };
        tokio::select! {
            done = engine.reload(&config) => panic!("{done:?}"),
            () = ends => {}
        }
        engine.close().await;
    });
}
