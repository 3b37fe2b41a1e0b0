//! Work of the store behind the payments: the full check, the backup, room on the disk.
use crate::{
    Store, StoreError, Verified, files,
    restore::{self, backups},
    verify,
};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use std::{io, path::Path, path::PathBuf, sync::Arc};

impl Store {
    /// Checks everything ([`verify`]), and when it holds makes a backup. A journal that does not hold is put
    /// aside and restored by the next start. Blocks for seconds with a long history; to be called on a thread
    /// of its own.
    pub fn check_and_back_up(&self) -> Result<Verified, StoreError> {
        let (_lock, dir, key) = (self.lock()?, &self.0.context.dir, &self.0.context.key);
        let which = files::which(dir);
        let db = files::open_reader(dir)?;
        let found = verify::of(&db, Some(key))?;
        let aside = || StoreError::File {
            path: files::journal(dir),
            cause: Arc::new(io::Error::other("it was restored while it was checked")),
        };
        if let Some(broken) = &found.broken {
            self.0
                .context
                .still(which, || restore::suspect(dir, &broken.to_string()))
                .ok_or_else(aside)??;
            return Ok(found);
        }
        let [newest, older] = backups(dir, &self.0.context.options);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |cause: io::Error| StoreError::File { path, cause: Arc::new(cause) }
        };
        let new = newest.with_file_name("journal.backup.new.db");
        files::back_up(&db, &new)?;
        // A bad copy must not take a good one's place.
        let copy = verify::verify(&new, Some(key), None)?;
        if let Some(broken) = copy.broken {
            return Err(failed(&new)(io::Error::other(format!("the copy is bad: {broken}"))));
        }
        let take = || {
            if newest.exists() {
                std::fs::rename(&newest, &older).map_err(failed(&newest))?;
            }
            std::fs::rename(&new, &newest).map_err(failed(&new))?;
            files::sync(&newest)
        };
        self.0.context.still(which, take).ok_or_else(aside)??;
        Ok(found)
    }

    /// Bytes that this user may still write.
    pub fn free(&self) -> Result<u64, StoreError> {
        free(&self.0.context.dir)
    }

    /// Takes the reserve of the disk (again) when that leaves `floor` bytes.
    pub fn keep_reserve(&self, floor: u64) -> Result<(), StoreError> {
        let (_lock, path, bytes) =
            (self.lock()?, reserve(&self.0.context.dir), self.0.context.options.reserve);
        if bytes == 0 || path.exists() || self.free()? < floor.saturating_add(bytes) {
            return Ok(());
        }
        let file = files::private(&path)?;
        fallocate(&file, FallocateFlags::empty(), 0, bytes).map_err(|e| {
            // Half a reserve is none.
            std::fs::remove_file(&path).ok();
            StoreError::File { path, cause: Arc::new(e.into()) }
        })
    }
}

fn free(dir: &Path) -> Result<u64, StoreError> {
    let disk =
        statvfs(dir).map_err(|e| StoreError::File { path: dir.to_owned(), cause: Arc::new(e.into()) })?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn reserve(dir: &Path) -> PathBuf {
    dir.join("journal.reserve")
}
/// Gives the reserve to what has begun; false: there is none any more.
pub(crate) fn release(dir: &Path) -> bool {
    std::fs::remove_file(reserve(dir)).is_ok()
}
