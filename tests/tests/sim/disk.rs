//! The page of the disk formats names what the source names: every table, column of bytes, file, and purpose
//! of a key.
use std::{collections::BTreeSet, fs, path::Path};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}
/// Shipped source of the crates that write into the state directory.
fn source() -> String {
    let mut all = String::new();
    for dir in ["crates/journal/src", "crates/vault/src", "crates/engine/src", "daemon/src"] {
        let mut dirs = vec![Path::new(ROOT).join(dir)];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap().flatten().map(|e| e.path()) {
                if entry.is_dir() {
                    dirs.push(entry);
                } else {
                    let text = fs::read_to_string(&entry).unwrap();
                    all += text.split("\n#[cfg(test)]\nmod ").next().unwrap();
                }
            }
        }
    }
    all
}
/// What stands between backticks.
fn named(page: &str) -> BTreeSet<&str> {
    page.split('`').skip(1).step_by(2).collect()
}
/// Names of files in the source: literals that begin as one of ours and end as a file's name.
fn files(source: &str) -> BTreeSet<&str> {
    let ours = |l: &&str| {
        let starts = ["journal.", "vault.", "terminal."].iter().any(|p| l.starts_with(p));
        let ends = [".db", ".marks", ".keys", ".reserve", ".suspect", ".sealed", ".key", "{}.db", "damaged-"];
        starts && ends.iter().any(|e| l.ends_with(e)) && !l.contains(' ')
    };
    source.split('"').filter(ours).collect()
}

#[test]
fn the_page_of_the_disk_names_what_the_source_names() {
    let (page, sql, source) = (read("docs/disk.md"), read("crates/journal/sql/0001_journal.sql"), source());
    let named = named(&page);
    let tables: BTreeSet<&str> = sql
        .lines()
        .filter_map(|l| l.strip_prefix("CREATE TABLE "))
        .map(|l| l.trim_end_matches(" ("))
        .collect();
    assert_eq!(tables.len(), 7, "{tables:?}");
    for table in &tables {
        assert!(page.contains(&format!("\n| `{table}` |")), "table {table} has no row");
    }
    let columns = sql.lines().filter(|l| l.contains(" BLOB")).filter_map(|l| l.split_whitespace().next());
    for column in columns {
        assert!(named.contains(column), "column {column} is not told");
    }
    let files = files(&source);
    assert!(files.len() >= 11, "{files:?}");
    for file in files {
        let file = file.replace("before-{}", "before-N").replace("damaged-", "damaged-TIME.db");
        assert!(named.contains(&*file), "{file} is not in docs/disk.md");
    }
    // The other way round: what has a row is there.
    let rows = page.lines().filter_map(|l| l.strip_prefix("| `")).flat_map(|l| l.split(" | ").next());
    let rows: Vec<&str> = rows.flat_map(|cell| cell.split("`, `")).map(|n| n.trim_matches('`')).collect();
    assert!(rows.len() > 25, "{rows:?}");
    for name in rows {
        let bare = name.replace("before-N", "before-{}").replace("damaged-TIME.db", "damaged-");
        let last = bare.rsplit(':').next().unwrap();
        let there =
            tables.contains(name) || source.contains(&format!("\"{last}\"")) || source.contains(&bare);
        assert!(there, "{name} has a row in docs/disk.md and is nowhere in the source");
    }
    for fact in ["PAYTERMV", "payterm-vault", "payterm-vault-key", "chain_start", "@terminal"] {
        assert!(page.contains(fact) && source.contains(fact), "{fact}");
    }
    assert!(source.contains("0x5054_4a4c") && page.contains("0x50544A4C"));
}
