//! Questions of the self-test to the journal and its disk, on connections and files of its own.
use crate::{Store, StoreError, files, queries, sql};
use payterm_schema::{Entry, Time};
use std::{
    io::Write,
    sync::{Arc, PoisonError},
};

/// Records looked at for the newest time. 1,000: many times what one start of the daemon writes.
const NEWEST: u32 = 1000;

/// Version of the tables.
pub const SCHEMA: usize = files::MIGRATIONS.len();

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The first thing that SQLite's quick_check complains of.
    pub damage: Option<String>,
    /// Bytes that this user may still write.
    pub free: u64,
    /// Reason why a synced write beside the journal failed; none: it did not.
    pub write: Option<String>,
    /// Reason why the generation file said nothing at the last start, or is not kept; none: it did, or none
    /// is configured.
    pub generation: Option<String>,
}

impl Store {
    /// Blocks: reads the whole journal (0.2 s a million records), and waits for the disk once.
    pub fn health(&self) -> Result<Health, StoreError> {
        let (_lock, dir) = (self.lock()?, &self.0.context.dir);
        let db = files::open_reader(dir)?;
        let said: String =
            db.query_row("PRAGMA quick_check(1)", [], |r| r.get(0)).map_err(sql("quick_check"))?;
        let disk = rustix::fs::statvfs(dir)
            .map_err(|e| StoreError::File { path: dir.clone(), cause: Arc::new(e.into()) })?;
        let path = dir.join("self-test.tmp");
        let write = files::private(&path)
            .map_err(|e| e.to_string())
            .and_then(|mut f| f.write_all(b"payterm").and_then(|()| f.sync_all()).map_err(|e| e.to_string()));
        let gone = std::fs::remove_file(&path).map_err(|e| e.to_string());
        Ok(Health {
            damage: (said != "ok").then_some(said),
            free: disk.f_bavail.saturating_mul(disk.f_frsize),
            write: write.and(gone).err(),
            generation: self.0.context.no_generation.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        })
    }

    /// The last records, oldest first.
    pub async fn last_entries(&self, count: u32) -> Result<Vec<Entry>, StoreError> {
        self.ask(move |db| {
            let read = "read the last records";
            let mut select = db
                .prepare_cached("SELECT seq, at, txn, version, json FROM record ORDER BY seq DESC LIMIT ?1")
                .map_err(sql(read))?;
            let mut rows = select.query([count]).map_err(sql(read))?;
            let mut all = Vec::new();
            while let Some(row) = rows.next().map_err(sql(read))? {
                all.push(queries::entry(row)?);
            }
            all.reverse();
            Ok(all)
        })
        .await
    }

    /// The latest time among the last records: a clock behind it was set back.
    pub async fn newest(&self) -> Result<Option<Time>, StoreError> {
        self.ask(|db| {
            let latest = "SELECT max(at) FROM (SELECT at FROM record ORDER BY seq DESC LIMIT ?1)";
            db.query_row(latest, [NEWEST], |r| r.get::<_, Option<i64>>(0))
                .map(|t| t.map(Time))
                .map_err(sql("read the newest time"))
        })
        .await
    }
}
