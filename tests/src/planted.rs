//! Planted bugs: `tests/planted/*.patch`, each with the bug and what must catch it in its header: an
//! invariant (`Invariant: 4`), or a test where no run of the swarm comes to it (`Test: payterm-emv it
//! records::name`: package, target, name). A check that has never failed proves nothing: each patch is put
//! into a copy of the tree, built, and must be caught by that invariant within [`WITHIN`] seeds of the swarm,
//! or by that test.
use std::{
    fmt,
    path::{Path, PathBuf},
    process::{Command, Output},
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
    pub by: By,
    pub patch: PathBuf,
}

/// Check that a bug must break.
#[derive(Clone, Debug)]
pub enum By {
    /// 1 to 12 (architecture §3).
    Invariant(u8),
    Test {
        package: String,
        /// `lib`, or a test of the package.
        target: String,
        /// With its modules.
        name: String,
    },
}
impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invariant(n) => write!(f, "invariant {n}"),
            Self::Test { package, name, .. } => write!(f, "{name} of {package}"),
        }
    }
}

/// Planted bug, and what became of it.
#[derive(Clone, Debug)]
pub struct Caught {
    pub bug: Bug,
    /// By what: the seed at which its invariant broke, or its test.
    pub by: Option<String>,
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
        let test = field("Test:").and_then(|test| {
            let mut words = test.split(' ').map(ToOwned::to_owned);
            let (package, target, name) = (words.next()?, words.next()?, words.next()?);
            words.next().is_none().then_some(By::Test { package, target, name })
        });
        let by = match (invariant.map(By::Invariant), test) {
            (Some(by), None) | (None, Some(by)) => by,
            (_, _) => {
                return Err(format!("{name}: `Invariant:` 1 to 12, or `Test:`, in its header").into());
            }
        };
        bugs.push(Bug { name, what, by, patch });
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
        let by = match &bug.by {
            By::Invariant(n) => seeds(&bug, *n, &tree)?,
            By::Test { package, target, name } => test(package, target, name, &tree)?,
        };
        let told = by.as_ref().map_or("NOT CAUGHT".into(), |by| format!("caught by {by}"));
        println!("  {} ({}): {told}", bug.name, bug.by);
        caught.push(Caught { bug, by });
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

/// Cargo in a copy of the tree.
fn cargo(tree: &Path, args: &[&str]) -> Result<Output> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Ok(Command::new(cargo).args(args).current_dir(tree).env("CARGO_TARGET_DIR", build()).output()?)
}
/// Never the target directory of the tree itself: cargo knows packages by their place in the workspace and
/// would take these for ours.
fn build() -> PathBuf {
    PathBuf::from(format!("{ROOT}/target/planted/build"))
}

/// The first seed that breaks its invariant.
fn seeds(bug: &Bug, invariant: u8, tree: &Path) -> Result<Option<String>> {
    let out = cargo(tree, &["build", "--quiet", "-p", "payterm-tests", "--bin", "soak"])?;
    if !out.status.success() {
        return Err(format!("{}: {}", bug.name, String::from_utf8_lossy(&out.stderr)).into());
    }
    let out = Command::new(build().join("debug/soak"))
        .args(["--seed", "1", "--seeds", &WITHIN.to_string(), "--find", &invariant.to_string()])
        .output()?;
    let text = String::from_utf8_lossy(&out.stdout);
    let seed = text.lines().find_map(|l| l.strip_prefix("FOUND ")?.split(':').next().map(ToOwned::to_owned));
    if seed.is_none() {
        println!("{text}");
    }
    Ok(seed)
}

/// The test, if it runs and fails.
fn test(package: &str, target: &str, name: &str, tree: &Path) -> Result<Option<String>> {
    let of: &[&str] = if target == "lib" { &["--lib"] } else { &["--test", target] };
    let out = cargo(tree, &[&["test", "-p", package], of, &["--", "--exact", name]].concat())?;
    let text = String::from_utf8_lossy(&out.stdout);
    let failed = text.contains(&format!("test {name} ... FAILED"));
    if !failed {
        println!("{text}{}", String::from_utf8_lossy(&out.stderr));
    }
    Ok(failed.then(|| "its test".into()))
}
