//! Planted bugs: `tests/planted/*.patch`, each with the bug and the invariant that must catch it in its
//! header. A check that has never failed proves nothing: each patch is put into a copy of the tree, built,
//! and must be caught by that invariant within [`WITHIN`] seeds of the swarm.
use std::{
    path::{Path, PathBuf},
    process::Command,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Seeds in which a bug must be caught.
pub const WITHIN: u64 = 200;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[derive(Clone, Debug)]
pub struct Bug {
    /// Name of its file: `03-drop-an-obligation`.
    pub name: String,
    pub what: String,
    pub invariant: u8,
    pub patch: PathBuf,
}

/// Planted bug, and what became of it.
#[derive(Clone, Debug)]
pub struct Caught {
    pub bug: Bug,
    /// The seed at which its invariant broke.
    pub seed: Option<u64>,
}

/// All patches, by name.
pub fn all() -> Result<Vec<Bug>> {
    let mut bugs = Vec::new();
    for entry in std::fs::read_dir(format!("{ROOT}/tests/planted"))? {
        let patch = entry?.path();
        if patch.extension().is_none_or(|e| e != "patch") {
            continue;
        }
        let name = patch.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let text = std::fs::read_to_string(&patch)?;
        let field = |field: &str| {
            text.lines()
                .take_while(|l| !l.starts_with("---"))
                .find_map(|l| l.strip_prefix(field).map(|v| v.trim().to_owned()))
        };
        let what = field("Bug:")
            .filter(|w| !w.is_empty())
            .ok_or_else(|| format!("{name}: no `Bug:` in its header"))?;
        let invariant = field("Invariant:").and_then(|n| n.parse().ok()).filter(|n| (1..=12).contains(n));
        let invariant = invariant.ok_or_else(|| format!("{name}: no `Invariant:` 1 to 12 in its header"))?;
        bugs.push(Bug { name, what, invariant, patch });
    }
    bugs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(bugs)
}

/// Puts a patch into a tree.
pub(crate) fn patch(file: &Path, tree: &Path, args: &[&str]) -> Result<()> {
    let out = Command::new("patch")
        .args(["-p1", "--force", "--fuzz=1", "--no-backup-if-mismatch", "-s", "-i"])
        .arg(file)
        .args(args)
        .current_dir(tree)
        .output()?;
    if out.status.success() {
        Ok(())
    } else {
        Err(format!("{}: {}", file.display(), String::from_utf8_lossy(&out.stdout)).into())
    }
}

/// Checks that it can be put into the tree as it is now.
pub fn applies(bug: &Bug) -> Result<()> {
    patch(&bug.patch, Path::new(ROOT), &["--dry-run"])
}

/// Puts each into a copy of the tree under `target/planted`, one after the other, and runs the seeds. With
/// names only those.
pub fn run(names: &[String]) -> Result<Vec<Caught>> {
    let tree = PathBuf::from(format!("{ROOT}/target/planted/tree"));
    let mut caught = Vec::new();
    for bug in
        all()?.into_iter().filter(|b| names.is_empty() || names.iter().any(|n| b.name.contains(n.as_str())))
    {
        copy(&tree)?;
        patch(&bug.patch, &tree, &[])?;
        let seed = seeds(&bug, &tree)?;
        println!(
            "  {} (invariant {}): {}",
            bug.name,
            bug.invariant,
            seed.map_or("NOT CAUGHT".into(), |s| format!("caught by seed {s}"))
        );
        caught.push(Caught { bug, seed });
    }
    Ok(caught)
}

/// The tree's own files; those that are the same stay as they are, so that each build is a small one.
pub(crate) fn copy(tree: &Path) -> Result<()> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(ROOT).output()?;
    for name in String::from_utf8(listed.stdout)?.split('\0').filter(|n| !n.is_empty()) {
        let (from, to) = (Path::new(ROOT).join(name), tree.join(name));
        let Ok(content) = std::fs::read(&from) else { continue };
        if std::fs::read(&to).is_ok_and(|there| there == content) {
            continue;
        }
        std::fs::create_dir_all(to.parent().unwrap_or(tree))?;
        std::fs::write(&to, content)?;
    }
    Ok(())
}

/// The first seed that breaks its invariant.
fn seeds(bug: &Bug, tree: &Path) -> Result<Option<u64>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Never the target directory of the tree itself: cargo knows packages by their place in the workspace and
    // would take these for ours.
    let build = PathBuf::from(format!("{ROOT}/target/planted/build"));
    let args = ["build", "--quiet", "-p", "payterm-tests", "--bin", "soak"];
    let out = Command::new(cargo).args(args).current_dir(tree).env("CARGO_TARGET_DIR", &build).output()?;
    if !out.status.success() {
        return Err(format!("{}: {}", bug.name, String::from_utf8_lossy(&out.stderr)).into());
    }
    let find = bug.invariant.to_string();
    let out = Command::new(build.join("debug/soak"))
        .args(["--seed", "1", "--seeds", &WITHIN.to_string(), "--find", &find])
        .output()?;
    let text = String::from_utf8_lossy(&out.stdout);
    let seed = text.lines().find_map(|l| l.strip_prefix("FOUND seed ")?.split(':').next()?.parse().ok());
    if seed.is_none() {
        println!("{text}");
    }
    Ok(seed)
}
