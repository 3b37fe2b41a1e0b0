//! One journal of each record version is kept under `tests/journals/`: the program of today opens it, proves
//! it, and folds it to the state that stands beside it. `PAYTERM_JOURNAL=1` writes that of the present
//! version anew, from the run of the swarm that tells most in few records; this test alone.
use payterm_core::State;
use payterm_journal::{Commit, Options, PURPOSE, Store};
use payterm_schema::{Entry, Record, Time, record::RECORD_VERSION, secret::SecretBytes};
use payterm_tests::sim::{swarm::Case, world};
use payterm_vault::{SealingKey, Vault};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// TEST KEY under which the kept journals are chained and sealed.
const KEY: [u8; 32] = [7; 32];
/// TEST KEYS: a TMK as two components with their check values, and its own.
const TMK: [([u8; 16], [u8; 4]); 2] = [
    (0xA1B2_C3D4_E5F6_0718_293A_4B5C_6D7E_8F90_u128.to_be_bytes(), [0x76, 0xCD, 0xB5, 0x53]),
    (0xA091_86B3_6C5D_CAF7_D7E6_F1C4_1B2A_BD80_u128.to_be_bytes(), [0x78, 0x1F, 0x35, 0x52]),
];
const KCV: [u8; 4] = [0x08, 0xD7, 0xB4, 0xFB];
const ACCOUNT: &str = "main";
const PAN: &[u8] = b"6212345678900000003";
/// What sealed PANs are sealed for.
const SEALED_PAN: &str = "pan";
/// Greatest number of records in a kept journal.
const RECORDS: usize = 400;
/// What is kept of a state directory.
const FILES: [&str; 4] = ["journal.db", "journal.keys", "journal.marks", "vault.sealed"];
const STATE: &str = "state.txt";

fn kept(version: u32) -> PathBuf {
    PathBuf::from(format!("{}/journals/v{version}", env!("CARGO_MANIFEST_DIR")))
}
fn vault(dir: &Path) -> Vault {
    Vault::open(dir, SealingKey::new(KEY)).unwrap()
}
fn folded<'a>(mut state: State, entries: impl IntoIterator<Item = &'a Entry>) -> State {
    entries.into_iter().for_each(|e| state.apply(e).unwrap());
    state
}
fn names(entries: &[Entry]) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    entries.iter().for_each(|e| *names.entry(world::name(&e.record)).or_default() += 1);
    names
}

/// The run of 1,000 seeds with most kinds of records, and of those the shortest; cut where the state says
/// most, and an onboarding, which the swarm has not, behind it.
fn drawn() -> Vec<Entry> {
    let of = |seed: u64| {
        let (world, why) = Case::draw(seed).run();
        world.filter(|w| why.is_none() && w.journal.len() < RECORDS).map(|w| w.journal)
    };
    let runs = (1..=1_000).filter_map(of);
    let mut entries = runs.max_by_key(|all| (names(all).len(), RECORDS - all.len())).unwrap();
    let (most, mut state, mut longest) = (names(&entries).len(), State::default(), (0, 0));
    for n in 1..=entries.len() {
        state = folded(state, &entries[n - 1..n]);
        if names(&entries[..n]).len() * 10 >= most * 9 {
            longest = longest.max((serde_json::to_string(&state).unwrap().len(), n));
        }
    }
    entries.truncate(longest.1);
    let onboarding = r#"{"onboarding": {"id": "0123456789abcdef0123456789abcdef", "revision": 1,
        "stage": "draft", "since": 0, "draft": {"name": "Corner shop", "legal_name": "Corner Shop Ltd",
        "licence": "91310000MA1", "address": "1 Renmin Road", "city": "Shanghai", "category": "5411",
        "contact": "Wang", "phone": "021-5555", "products": ["card"]}}}"#;
    let record = serde_json::from_str(onboarding).unwrap();
    let (seq, at) = entries.last().map_or((1, Time(0)), |e| (e.seq + 1, e.at));
    entries.push(Entry { seq, at, txn: None, record });
    entries
}

fn write(dir: &Path) {
    fs::remove_dir_all(dir).ok();
    let held = payterm_journal::hold(dir).unwrap();
    let vault = vault(dir);
    let bytes = |c: [u8; 16]| SecretBytes::new(c.to_vec());
    let [one, two] = TMK;
    vault.load_tmk_components(ACCOUNT, &bytes(one.0), &one.1, &bytes(two.0), &two.1, &KCV).unwrap();
    let options = Options { reserve: 0, ..Options::default() };
    let (store, _) = Store::open(held, dir, vault.hasher(PURPOSE), options).unwrap();
    let entries = drawn();
    let mut sealed = payterm_core::sealed_needs(None, &entries).unwrap().owed;
    sealed.extend(entries.iter().rev().find_map(|e| e.txn));
    let middle = entries.len() / 2;
    let seal = |txn: &u64| (*txn, vault.seal(SEALED_PAN, &txn.to_be_bytes(), PAN).unwrap());
    let mut state = State::default();
    for (n, entry) in entries.iter().enumerate() {
        state = folded(state, [entry]);
        let mut commit = Commit { records: vec![entry.clone()], ..Commit::default() };
        if n == middle {
            state.snapshot_seq = state.seq;
            commit.snapshot = Some((state.seq, serde_json::to_string(&state).unwrap()));
        }
        if n + 1 == entries.len() {
            commit.seal = sealed.iter().map(seal).collect();
        }
        store.commit(commit).blocking_recv().unwrap().unwrap();
    }
    store.close();
    for file in fs::read_dir(dir).unwrap().flatten() {
        if !FILES.iter().any(|name| file.file_name() == *name) {
            fs::remove_file(file.path()).unwrap();
        }
    }
}

/// Every record as it stands in its row; each is written today as it was then.
fn records(journal: &Path) -> Vec<Entry> {
    let db = rusqlite::Connection::open(journal).unwrap();
    let mut select = db.prepare("SELECT seq, at, txn, version, json FROM record ORDER BY seq").unwrap();
    let rows = select.query_map([], |r| {
        let (seq, version, json) = (r.get(0)?, r.get(3)?, r.get::<_, String>(4)?);
        Ok((
            Entry { seq, at: Time(r.get(1)?), txn: r.get(2)?, record: decoded(seq, version, &json) },
            version,
            json,
        ))
    });
    let rows = rows.unwrap().map(Result::unwrap);
    rows.map(|(entry, version, json)| {
        assert!(version < RECORD_VERSION || entry.record.encode().unwrap() == json, "record {}", entry.seq);
        entry
    })
    .collect()
}
fn decoded(seq: u64, version: u32, json: &str) -> Record {
    Record::decode(seq, version, json).unwrap()
}

/// Opens a copy and tells all that it says.
fn read(dir: &Path) -> String {
    let copy = tempfile::tempdir().unwrap();
    let to = copy.path();
    for name in FILES {
        fs::copy(dir.join(name), to.join(name)).unwrap();
    }
    let vault = vault(to);
    assert_eq!(vault.tmk_check_value(ACCOUNT).unwrap()[..], KCV[..3]);
    let key = vault.hasher(PURPOSE);
    let proved = payterm_journal::verify(&to.join("journal.db"), Some(&key), None).unwrap();
    assert!(proved.holds(), "{proved:?}");
    let options = Options { reserve: 0, ..Options::default() };
    let held = payterm_journal::hold(to).unwrap();
    let (store, loaded) = Store::open(held, to, key, options).unwrap();
    assert_eq!(Some(loaded.head.to_string()), proved.head);
    let state = folded(serde_json::from_str(loaded.snapshot.as_ref().unwrap()).unwrap(), &loaded.tail);
    store.close();
    let all = records(&to.join("journal.db"));
    let from_the_first = State { snapshot_seq: state.snapshot_seq, ..folded(State::default(), &all) };
    assert_eq!(from_the_first, state, "the snapshot and the records behind it are the whole history");
    let db = rusqlite::Connection::open(to.join("journal.db")).unwrap();
    let mut select = db.prepare("SELECT txn, blob FROM sealed").unwrap();
    let rows = select.query_map([], |r| Ok((r.get::<_, u64>(0)?, r.get::<_, Vec<u8>>(1)?))).unwrap();
    let sealed: Vec<u64> = rows
        .map(Result::unwrap)
        .map(|(txn, blob)| {
            assert_eq!(vault.unseal(SEALED_PAN, &txn.to_be_bytes(), &blob).unwrap().reveal(), PAN);
            txn
        })
        .collect();
    let counts: String = names(&all).iter().map(|(name, n)| format!("{name} {n}\n")).collect();
    let state = serde_json::to_string_pretty(&state).unwrap();
    format!("head {}\nsealed {sealed:?}\n\n{counts}\n{state}\n", loaded.head)
}

#[test]
fn a_journal_of_each_version_is_read_as_it_was_written() {
    if std::env::var_os("PAYTERM_JOURNAL").is_some() {
        let dir = kept(RECORD_VERSION);
        write(&dir);
        return fs::write(dir.join(STATE), read(&dir)).unwrap();
    }
    let mut read_of = 0;
    for version in 3..=RECORD_VERSION {
        let said = read(&kept(version));
        let kept = fs::read_to_string(kept(version).join(STATE)).unwrap();
        let other = said.lines().zip(kept.lines()).find(|(now, then)| now != then);
        assert!(said == kept, "version {version} is read as something else: {other:?}");
        read_of += 1;
    }
    assert_eq!(read_of, RECORD_VERSION - 2, "one of each version");
}
