//! The source keeps its measure: lines, files and functions that can be read, no knots of files, and a map
//! that is true. What does not yet stands in `tests/exceptions.txt`, which may only shrink
//! (`PAYTERM_BLESS=1` takes off what is no longer needed).
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const COLUMNS: usize = 110;
const LINES: usize = 700;
/// Of a function outside tests.
const FUNCTION: usize = 100;
/// Files that may call one another's methods in a ring.
const RING: usize = 3;
const KINDS: [&str; 9] = ["rs", "py", "java", "sh", "sql", "toml", "jinja", "service", "Makefile"];

/// Path and text of each file that a person writes.
fn source() -> Vec<(String, String)> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(ROOT).output().expect("git");
    let names = String::from_utf8(listed.stdout).expect("names");
    let kind = |name: &str| name.rsplit(['.', '/']).next().unwrap_or_default().to_owned();
    let all: Vec<(String, String)> = names
        .split('\0')
        .filter(|n| KINDS.contains(&&*kind(n)) || *n == ".ci/run")
        // One that was taken away and not yet committed is still listed.
        .filter_map(|n| Some((n.to_owned(), fs::read_to_string(Path::new(ROOT).join(n)).ok()?)))
        .collect();
    assert!(all.len() > 300, "{} files", all.len());
    all
}

fn is_wide(text: &str) -> bool {
    text.lines().any(|l| l.chars().count() > COLUMNS)
}
fn is_test(path: &str) -> bool {
    path.contains("/tests/")
}
/// What stands before a file's unit tests.
fn shipped(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default()
}
/// Name that a line begins a function with, after its indentation.
fn function(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    if let Some(public) = rest.strip_prefix("pub") {
        rest = public.strip_prefix('(').and_then(|p| p.split_once(')')).map_or(public, |p| p.1).trim_start();
    }
    for word in ["const ", "async ", "unsafe "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    rest.strip_prefix("fn ")?.split(|c: char| !is_word(c)).next()
}
/// Names and lines of the functions; rustfmt puts the closing brace where the first word stands.
fn functions(text: &str) -> Vec<(&str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function(line) else { continue };
        let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
        let one = line.ends_with(['}', ';']);
        let length = lines[at..].iter().position(|l| one || *l == end).unwrap_or_default();
        found.push((name, length + 1));
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
/// Type of a line that begins an `impl`.
fn implemented(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("impl")?;
    let rest = rest.strip_prefix('<').and_then(|r| r.split_once('>')).map_or(rest, |r| r.1);
    let kind = rest.rsplit(" for ").next()?.trim_start();
    let name = kind.split(|c: char| !is_word(c)).next()?;
    name.starts_with(char::is_uppercase).then_some(name)
}
/// Names of the methods that are called on `self`.
fn called(text: &str) -> BTreeSet<&str> {
    let after = text.match_indices("self.").filter(|(at, _)| !text[..*at].ends_with(is_word));
    let names = after.filter_map(|(at, found)| {
        let rest = &text[at + found.len()..];
        let end = rest.find(|c: char| !is_word(c))?;
        rest[end..].starts_with('(').then_some(&rest[..end])
    });
    names.collect()
}
/// Where the arrows lead from there.
fn reached<'a>(arrows: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &'a str) -> BTreeSet<&'a str> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(at) = next.pop() {
        next.extend(arrows[at].iter().filter(|to| seen.insert(**to)));
    }
    seen
}
/// Each largest ring of a crate's files in which one calls the methods of another on a type of both.
fn rings(files: &[(&str, &str)]) -> Vec<BTreeSet<String>> {
    let mut defined: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    let mut types: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (path, text) in files {
        let mut of = None;
        for line in shipped(text).lines() {
            of = implemented(line).or(of);
            let Some(of) = of else { continue };
            types.entry(path).or_default().insert(of);
            if let Some(name) = function(line).filter(|_| line.starts_with(' ')) {
                defined.entry((of, name)).or_default().insert(path);
            }
        }
    }
    let arrows = |(path, text): &(&str, &str)| -> BTreeSet<&str> {
        let of = types.get(path).into_iter().flatten();
        let calls = called(shipped(text));
        of.flat_map(|t| calls.iter().filter_map(|c| defined.get(&(*t, *c))).flatten().copied()).collect()
    };
    let arrows: BTreeMap<&str, BTreeSet<&str>> = files.iter().map(|f| (f.0, arrows(f))).collect();
    let reached: BTreeMap<&str, BTreeSet<&str>> = arrows.keys().map(|f| (*f, reached(&arrows, f))).collect();
    let ring = |f: &str| -> BTreeSet<String> {
        reached[f].iter().filter(|g| reached[**g].contains(f)).map(|g| (*g).to_owned()).collect()
    };
    arrows.keys().map(|f| ring(f)).collect::<BTreeSet<_>>().into_iter().filter(|r| !r.is_empty()).collect()
}

/// What is too wide, too long or too knotted, one line each.
fn beyond(source: &[(String, String)]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut crates: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for (path, text) in source {
        if is_wide(text) {
            found.insert(format!("wide {path}"));
        }
        if text.lines().count() > LINES {
            found.insert(format!("long {path}"));
        }
        if !path.ends_with(".rs") || is_test(path) {
            continue;
        }
        let long = functions(shipped(text)).into_iter().filter(|(_, length)| *length > FUNCTION);
        found.extend(long.map(|(name, _)| format!("function {path} {name}")));
        if let Some((name, _)) = path.split_once("/src/") {
            crates.entry(name).or_default().push((path, text));
        }
    }
    let knotted = crates.iter().filter(|(_, files)| rings(files).iter().any(|r| r.len() > RING));
    found.extend(knotted.map(|(name, _)| format!("ring {name}")));
    found
}

#[test]
fn the_source_keeps_its_measure() {
    let path = Path::new(ROOT).join("tests/exceptions.txt");
    let text = fs::read_to_string(&path).unwrap();
    let excepted: BTreeSet<String> = text.lines().map(ToOwned::to_owned).collect();
    let found = beyond(&source());
    let new: Vec<&String> = found.difference(&excepted).collect();
    assert!(
        new.is_empty(),
        "over {COLUMNS} columns, {LINES} lines, {FUNCTION} lines a function or {RING} files a ring: {new:#?}"
    );
    let kept: Vec<&String> = excepted.intersection(&found).collect();
    if std::env::var_os("PAYTERM_BLESS").is_some() {
        return fs::write(path, kept.iter().map(|e| format!("{e}\n")).collect::<String>()).unwrap();
    }
    let old: Vec<&String> = excepted.difference(&found).collect();
    assert!(
        old.is_empty(),
        "no exceptions any more (PAYTERM_BLESS=1 cargo test -p payterm-tests source): {old:#?}"
    );
}

#[test]
fn each_measure_finds_what_is_beyond_it() {
    assert!(is_wide(&"宽".repeat(COLUMNS + 1)) && !is_wide(&"宽".repeat(COLUMNS)));
    let body = "    let _ = 1;\n".repeat(FUNCTION - 1);
    let long = format!(
        "impl A {{\n    pub(super) async fn long(&self) {{\n{body}    }}\n    fn short(&self) {{}}\n}}\n"
    );
    assert_eq!(functions(&long), [("long", FUNCTION + 1), ("short", 1)]);
    let tested = format!("fn a() {{}}\n\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert_eq!(functions(shipped(&tested)), [("a", 1)]);
    let calls = |own: &str, next: &str| {
        format!(
            "impl<'a> From<B> for A<'a> {{\n    fn {own}(&self) {{\n        self.{next}(1);\n    }}\n}}\n"
        )
    };
    let (a, b, c) = (calls("a", "b"), calls("b", "c"), calls("c", "a"));
    let ring = rings(&[("a.rs", &a), ("b.rs", &b), ("c.rs", &c)]);
    assert_eq!(ring, [["a.rs", "b.rs", "c.rs"].map(ToOwned::to_owned).into()]);
    assert_eq!(rings(&[("a.rs", &a), ("b.rs", &b), ("c.rs", "impl A {\n    fn c() {}\n}\n")]), []);
}

/// The arrows of README's map: `a, b  ->  c, d`, each of the left depends on each of the right.
fn drawn() -> BTreeMap<String, BTreeSet<String>> {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let map = readme.split("## The map\n").nth(1).unwrap().split("```").nth(1).unwrap();
    let names = |list: &str| -> Vec<String> { list.split(',').map(|n| n.trim().to_owned()).collect() };
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in map.lines().filter(|l| !l.is_empty()) {
        let (from, to) = line.split_once("->").unwrap_or_else(|| panic!("no arrow: {line}"));
        for name in names(from) {
            arrows.entry(name).or_default().extend(names(to));
        }
    }
    arrows
}

#[test]
fn the_map_shows_the_crates_and_what_each_depends_on() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let args = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let out = Command::new(cargo).args(args).current_dir(ROOT).output().unwrap();
    let metadata: Value = serde_json::from_slice(&out.stdout).unwrap();
    let ours = |name: &Value| name.as_str().unwrap().strip_prefix("payterm-").map(ToOwned::to_owned);
    let mut drawn = drawn();
    // It may use everything.
    assert_eq!(drawn.remove("tests").unwrap(), ["everything".to_owned()].into());
    let found: BTreeMap<String, BTreeSet<String>> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|p| Some((ours(&p["name"])?, p["dependencies"].as_array()?)))
        .map(|(name, all)| {
            (name, all.iter().filter(|d| d["kind"].is_null()).filter_map(|d| ours(&d["name"])).collect())
        })
        .filter(|(name, needs): &(String, BTreeSet<String>)| name != "tests" && !needs.is_empty())
        .collect();
    assert_eq!(drawn, found);
}
