//! The examples, run as programs against a private bus.
use crate::common::*;
use payterm_fake::{Fake, sample::*};
use payterm_schema::{Phase, Status, Terminal, terminal::Filter};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

/// A customer who pays 300 ms after each request.
fn customer(fake: Arc<Fake>) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let running = Filter { status: Some(Status::Running), ..Filter::default() };
            for o in fake.list(&nobody(), running).await.unwrap() {
                fake.tell(payterm_schema::Notice::Phase {
                    key: o.key.clone(),
                    phase: Phase::Presenting,
                    screen: present(),
                });
                tokio::time::sleep(Duration::from_millis(100)).await;
                fake.finish(&o.key, Status::Approved);
            }
        }
    });
}

async fn run(mut c: Command) -> (bool, String, serde_json::Value) {
    let o = tokio::task::spawn_blocking(move || c.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&o.stdout).into_owned();
    let json = said.lines().last().and_then(|l| serde_json::from_str(l).ok()).unwrap_or_default();
    (o.status.success(), format!("{said}{}", String::from_utf8_lossy(&o.stderr)), json)
}

#[tokio::test]
async fn the_rust_shop_app_takes_a_sale() {
    let w = World::start(vec![caller("till", false)]).await;
    customer(w.fake.clone());
    let program = std::env::current_exe().unwrap().parent().unwrap().join("../examples/pos");
    assert!(
        program.exists(),
        "built by a plain `cargo test -p payterm-dbus`, or by `cargo build -p payterm-dbus --example pos`"
    );
    for (id, at) in [("r-1", w.bus.address.clone()), ("r-2", format!("peer:{}", w.socket.display()))] {
        let mut c = Command::new(&program);
        c.args([id, "12.34", "CNY", &at]);
        let (good, said, json) = run(c).await;
        assert!(
            good && json["status"] == "approved" && json["id"] == id && said.contains("presenting"),
            "{said}"
        );
    }
    let mut c = Command::new(&program);
    c.args(["r-3", "12.345", "CNY", &w.bus.address]);
    let (good, said, json) = run(c).await;
    assert!(!good && json["fault"] == "Invalid" && json["field"] == "amount", "{said}");
}

/// A Python that has dbus-fast: PAYTERM_PYTHON, or the one on the path.
fn python() -> Option<PathBuf> {
    let it = PathBuf::from(std::env::var_os("PAYTERM_PYTHON").unwrap_or_else(|| "python3".into()));
    let has = Command::new(&it).args(["-c", "import dbus_fast"]).output().is_ok_and(|o| o.status.success());
    assert!(has || std::env::var_os("PAYTERM_PYTHON").is_none(), "PAYTERM_PYTHON has no dbus-fast");
    has.then_some(it)
}

#[tokio::test]
async fn the_python_examples_take_a_sale_and_lose_a_client() {
    let Some(python) = python() else {
        return eprintln!(
            "not run: no Python with dbus-fast (pip install -r dbus/examples/requirements.txt, \
             PAYTERM_PYTHON)"
        );
    };
    let w = World::start(vec![caller("till", false)]).await;
    customer(w.fake.clone());
    let example = |name: &str, rest: &[&str]| {
        let mut c = Command::new(&python);
        c.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)).args(rest);
        c.env("DBUS_SYSTEM_BUS_ADDRESS", &w.bus.address).env_remove("PAYTERM_BUS");
        run(c)
    };
    let (good, said, json) = example("pos.py", &["--order", "p-1", "--amount", "12.34"]).await;
    assert!(
        good && json["status"] == "approved" && json["id"] == "p-1" && said.contains("presenting: present"),
        "{said}"
    );
    let (good, said, json) = example("pos.py", &["--order", "p-2", "--amount", "1e3"]).await;
    assert!(!good && json["field"] == "amount", "{said}");
    for (address, lane) in [("unix:path=/nonexistent/bus", ""), (w.bus.address.as_str(), "lane9")] {
        let (good, said, json) =
            example("pos.py", &["--order", "p-3", "--amount", "1.00", "--address", address, "--lane", lane])
                .await;
        assert!(!good && json["fault"] == "Unreachable", "{address}: {said}");
    }
    let mut c = Command::new(&python);
    c.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/pos.py")).args(["--order", "p-4"]);
    c.env("PAYTERM_BUS", &w.bus.address).env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus");
    let (good, said, json) = run(c).await;
    assert!(good && json["status"] == "approved", "PAYTERM_BUS comes first, as for paytermctl: {said}");
    for (id, rest) in [("lost-1", &[][..]), ("lost.2", &["--kill"][..])] {
        let (good, said, json) = example("lost_client.py", &[&["--order", id][..], rest].concat()).await;
        assert!(
            good && json["status"] == "approved" && json["id"] == id && json["recovered"] == true,
            "{said}"
        );
        assert!(said.contains("recalled: running"), "{said}");
        until("the loss was told", || w.fake.has_done(&format!("lost till/{id}"))).await;
    }
}
