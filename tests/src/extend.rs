//! Extensions: `tests/extend/*.patch`, a dummy for each heading of docs/extend.md. Each is put into a copy of
//! the tree and must build: what the page lists is all that has to be touched.
use crate::planted::{copy, patch};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[derive(Clone, Debug)]
pub struct Extension {
    /// Name of its file: `device-kind`.
    pub name: String,
    pub patch: PathBuf,
    /// Files that it adds.
    pub added: Vec<String>,
    /// Files that it adds lines to.
    pub touched: BTreeSet<String>,
}

/// All patches, by name.
pub fn all() -> Result<Vec<Extension>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(format!("{ROOT}/tests/extend"))? {
        let patch = entry?.path();
        let text = std::fs::read_to_string(&patch)?;
        let name = patch.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let (mut added, mut touched, mut old) = (Vec::new(), BTreeSet::new(), "");
        for line in text.lines() {
            if let Some(from) = line.strip_prefix("--- ") {
                old = from;
            } else if let Some(to) = line.strip_prefix("+++ b/") {
                match old {
                    "/dev/null" => added.push(to.to_owned()),
                    _ => drop(touched.insert(to.to_owned())),
                }
            }
        }
        all.push(Extension { name, patch, added, touched });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Checks that it can be put into the tree as it is now.
pub fn applies(extension: &Extension) -> Result<()> {
    patch(&extension.patch, Path::new(ROOT), &["--dry-run"])
}

/// Puts each into a copy of the tree under `target/extend`, one after the other, and checks that it builds:
/// its name, and why it does not.
pub fn build() -> Result<Vec<(String, Option<String>)>> {
    let (tree, target) = (format!("{ROOT}/target/extend/tree"), format!("{ROOT}/target/extend/build"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let all = all()?;
    let mut built = Vec::new();
    for extension in &all {
        copy(Path::new(&tree))?;
        for file in all.iter().flat_map(|e| &e.added) {
            // Of the one before.
            let _ = std::fs::remove_file(Path::new(&tree).join(file));
        }
        patch(&extension.patch, Path::new(&tree), &[])?;
        let args = ["check", "--quiet", "--workspace"];
        let out =
            Command::new(&cargo).args(args).current_dir(&tree).env("CARGO_TARGET_DIR", &target).output()?;
        let why = (!out.status.success()).then(|| String::from_utf8_lossy(&out.stderr).into_owned());
        println!("  {}: {}", extension.name, why.as_deref().unwrap_or("builds"));
        built.push((extension.name.clone(), why));
    }
    Ok(built)
}
