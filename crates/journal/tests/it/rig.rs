//! Journals of a shop for the tests of recovery: sales in real files, and what must hold whatever happened to
//! them.
use payterm_journal::{Commit, Loaded, Options, Store, StoreError};
use payterm_schema::{
    AccountId, Batch, Entry, Kind, Money, Outcome, Record, Request, RequestKey, RequestRecord, Stan,
    TerminalRecord, Time,
    host::{EntryMode, Plan},
    request::RequestWire,
};
use payterm_vault::{KeyedHash, SealingKey};
use serde_json::json;
use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

pub fn key() -> KeyedHash {
    SealingKey::new([7; 32]).keyed_hash(payterm_journal::PURPOSE)
}
pub fn open(dir: &Path) -> Result<(Store, Loaded), StoreError> {
    let held = loop {
        match payterm_journal::hold(dir) {
            // A program that another test begins holds a copy of the lock between its fork and its exec.
            Err(StoreError::StateInUse(_)) => std::thread::sleep(std::time::Duration::from_millis(5)),
            held => break held?,
        }
    };
    Store::open(
        held,
        dir,
        key(),
        Options { reserve: 0, sealed_needs: payterm_core::sealed_needs, ..Options::default() },
    )
}
pub fn put(store: &Store, c: Commit) -> Result<u64, StoreError> {
    store.commit(c).blocking_recv().unwrap_or(Err(StoreError::Stopped)).map(|d| d.head.seq)
}
pub fn wait<T>(f: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(f)
}
pub fn main_account() -> AccountId {
    AccountId::new("main").unwrap()
}
pub fn request_key(txn: u64) -> RequestKey {
    RequestKey::new("pos", &format!("o{txn}")).unwrap()
}

pub fn outcome(txn: u64, status: &str) -> Outcome {
    serde_json::from_value(json!({
        "app": "pos", "id": format!("o{txn}"), "txn": txn, "kind": "sale", "status": status,
        "currency": "CNY", "amount": "12.34", "account": "main", "started": 1_000 + txn,
        "place": {"shop": "s", "address": "", "city": ""}, "operator": "01", "test": true,
    }))
    .unwrap()
}

/// The three records of a sale, a commit each; its STAN is its number.
pub fn sale(store: &Store, txn: u64) -> Result<(), StoreError> {
    let wire = RequestWire {
        id: format!("o{txn}"),
        kind: "sale".into(),
        amount: Some("12.34".into()),
        currency: Some("CNY".into()),
        ..RequestWire::default()
    };
    let request = Request::try_from(wire).unwrap();
    let plan = Plan {
        kind: Kind::Sale,
        stan: Stan::new(txn as u32).unwrap(),
        batch: Batch::FIRST,
        amount: Some(Money::new(1234, "CNY".parse().unwrap()).unwrap()),
        mode: Some(EntryMode::Swipe),
        pin: false,
        track: false,
        wallet: None,
        expiry: None,
        fallback: false,
        card_sequence: None,
        original: None,
        operator: "01".into(),
        at: Time(1),
        offset: Default::default(),
        auth_code: None,
        tip: None,
        scheme: None,
        settlement: None,
        offline_authority: Default::default(),
        icc: None,
        download: None,
    };
    let records = [
        Record::Request(RequestRecord::Started {
            txn,
            key: request_key(txn),
            hash: request.content_hash(),
            request: Box::new(request),
            view: outcome(txn, "running").into(),
        }),
        Record::Request(RequestRecord::Allowed {
            txn,
            account: main_account(),
            plan: Box::new(plan),
            view: outcome(txn, "running").into(),
            owes: false,
            card: None,
        }),
        Record::Request(RequestRecord::Outcome {
            outcome: outcome(txn, "approved").into(),
            papers: Vec::new(),
        }),
    ];
    for (n, record) in (1..).zip(records) {
        let seal = if n == 2 { vec![(txn, vec![txn as u8; 40])] } else { Vec::new() };
        let entry = Entry { seq: 3 * (txn - 1) + n, at: Time(1_000), txn: Some(txn), record };
        put(store, Commit { records: vec![entry], seal, ..Commit::default() })?;
    }
    Ok(())
}

/// Eight sales; after `backup` of them a backup was made.
pub fn sales(dir: &Path, backup: Option<u64>) -> Store {
    let (store, loaded) = open(dir).unwrap();
    assert!(loaded.restored.is_none() && loaded.last_seq == 0);
    for txn in 1..=8 {
        sale(&store, txn).unwrap();
        if backup == Some(txn) {
            assert_eq!(store.check_and_back_up().unwrap().broken, None);
        }
    }
    store
}
/// What a kill -9 leaves: the files as they are, without closing.
pub fn killed(store: &Store, dir: &Path) -> PathBuf {
    let copy = dir.with_extension("killed");
    fs::create_dir(&copy).unwrap();
    for f in fs::read_dir(dir).unwrap().flatten().filter(|f| f.file_name() != "lock") {
        fs::copy(f.path(), copy.join(f.file_name())).unwrap();
    }
    store.close();
    copy
}
pub fn journal(dir: &Path) -> PathBuf {
    dir.join("journal.db")
}
pub fn aside(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().flatten().map(|f| f.file_name().into_string().unwrap());
    names.filter(|n| n.starts_with("journal.damaged-") && n.ends_with(".db")).collect()
}

/// What must hold whatever happened: either the journal is whole, or it is in recovery, and then nothing is
/// used twice.
pub fn judge(dir: &Path, what: &str) -> Option<payterm_schema::record::Restored> {
    let (store, loaded) = open(dir).unwrap_or_else(|e| panic!("{what}: {e}"));
    let Some(restored) = loaded.restored.clone() else {
        assert_eq!(loaded.last_seq, 24, "{what}: records are gone, and nobody says so");
        assert_eq!(store.check_and_back_up().unwrap().broken.map(|b| b.to_string()), None, "{what}");
        for txn in 1..=8 {
            assert_eq!(
                wait(store.by_key(&request_key(txn))).unwrap().unwrap().outcome.status.name(),
                "approved",
                "{what}"
            );
        }
        store.close();
        return None;
    };
    assert!(restored.last_txn >= 8, "{what}: {restored:?}");
    if let Some(stans) = &restored.stans {
        assert!(stans[&main_account()].get() >= 8, "{what}: {restored:?}");
    }
    for txn in 1..=8 {
        let key = request_key(txn);
        let known = wait(store.by_key(&key)).unwrap();
        let refused = wait(store.lost(&key)).unwrap();
        assert!(known.is_some() != refused, "{what}: request {txn} is {known:?}, refused {refused}");
        assert_ne!(store.knows(&key), Some(false), "{what}: request {txn} would be begun again");
    }
    assert!(!wait(store.lost(&RequestKey::new("pos", "new").unwrap())).unwrap());
    // Still so at the next start, until it is on record.
    store.close();
    drop(store);
    let (store, again) = open(dir).unwrap();
    assert_eq!(again.restored.as_ref(), Some(&restored), "{what}");
    let record = Record::Terminal(TerminalRecord::Restored { restored: Box::new(restored.clone()) });
    put(
        &store,
        Commit {
            records: vec![Entry { seq: again.last_seq + 1, at: Time(1), txn: None, record }],
            ..Commit::default()
        },
    )
    .unwrap();
    assert_eq!(store.check_and_back_up().unwrap().broken.map(|b| b.to_string()), None, "{what}");
    store.close();
    drop(store);
    let (store, third) = open(dir).unwrap();
    assert!(third.restored.is_none() && third.last_seq == again.last_seq + 1, "{what}");
    store.close();
    Some(restored)
}

pub fn flip(path: &Path, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}
pub fn cut(path: &Path, to: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(to).unwrap();
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for f in fs::read_dir(from).unwrap().flatten().filter(|f| f.path().is_file() && f.file_name() != "lock") {
        fs::copy(f.path(), to.join(f.file_name())).unwrap();
    }
}

/// The two records of a sale that begins with record `seq`.
pub fn short_sale(txn: u64, status: &str) -> [Record; 2] {
    let wire = RequestWire {
        id: format!("o{txn}"),
        kind: "sale".into(),
        amount: Some("12.34".into()),
        currency: Some("CNY".into()),
        ..RequestWire::default()
    };
    let request = Request::try_from(wire).unwrap();
    let started = Record::Request(RequestRecord::Started {
        txn,
        key: request_key(txn),
        hash: request.content_hash(),
        request: Box::new(request),
        view: outcome(txn, "running").into(),
    });
    [
        started,
        Record::Request(RequestRecord::Outcome { outcome: outcome(txn, status).into(), papers: Vec::new() }),
    ]
}
pub fn short(txn: u64, seq: u64, status: &str) -> Commit {
    let records = (seq..)
        .zip(short_sale(txn, status))
        .map(|(seq, record)| Entry { seq, at: Time(1_000), txn: Some(txn), record })
        .collect();
    Commit { records, ..Commit::default() }
}
/// Damage that the check has found, and a commit that fails: the store is opened again, which restores.
/// Meanwhile somebody looks something up.
pub fn reopened<T>(store: &Store, dir: &Path, harm: &str, meanwhile: impl Future<Output = T>) -> Loaded {
    let db = rusqlite::Connection::open(journal(dir)).unwrap();
    db.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    db.execute_batch(harm).unwrap();
    drop(db);
    assert!(store.check_and_back_up().unwrap().broken.is_some());
    let gap = Entry {
        seq: 99,
        at: Time(1),
        txn: None,
        record: Record::Terminal(TerminalRecord::Booted { version: "x".into() }),
    };
    let refused = put(store, Commit { records: vec![gap], ..Commit::default() });
    assert!(matches!(refused, Err(StoreError::Gap { found: 99, .. })), "{refused:?}");
    wait(async {
        let mut again = Box::pin(store.reopen());
        std::future::poll_fn(|cx| {
            assert!(again.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        meanwhile.await;
        again.await.unwrap()
    })
}
