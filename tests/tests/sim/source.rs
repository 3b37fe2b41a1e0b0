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
/// Most lines of a function outside tests.
const FUNCTION: usize = 100;
/// Files that may call one another's methods in a ring.
const RING: usize = 3;
/// Ends of the names of files that a person writes in a language. Not prose, nor what is made from code.
const KINDS: [&str; 18] = [
    "rs", "py", "java", "kt", "aidl", "c", "h", "js", "css", "html", "sh", "sql", "toml", "jinja", "rules",
    "service", "Makefile", "run",
];

/// Path and text of each file that a person writes, those that git does not know yet too.
fn source() -> Vec<(String, String)> {
    let args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = Command::new("git").args(args).current_dir(ROOT).output().expect("git");
    let names = String::from_utf8(listed.stdout).expect("names");
    let kind = |name: &str| name.rsplit(['.', '/']).next().unwrap_or_default().to_owned();
    let all: Vec<(String, String)> = names
        .split('\0')
        .filter(|n| KINDS.contains(&&*kind(n)))
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
/// Text before a file's unit tests.
fn shipped(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default()
}
/// Name that a line begins a function with, after its indentation.
pub(super) fn function(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    if let Some(public) = rest.strip_prefix("pub") {
        rest = public.strip_prefix('(').and_then(|p| p.split_once(')')).map_or(public, |p| p.1).trim_start();
    }
    for word in ["const ", "async ", "unsafe ", "extern \"C\" ", "extern \"system\" "] {
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
        let indent = &line[..line.len() - line.trim_start().len()];
        let (end, declared) = (format!("{indent}}}"), format!("{indent})"));
        let one = line.ends_with(['}', ';']);
        let ends = |l: &str| one || l == end || l.starts_with(&declared) && l.ends_with(';');
        let length = lines[at..].iter().position(|l| ends(l)).unwrap_or_default();
        found.push((name, length + 1));
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
/// Type of a line that begins an `impl`, without its path.
fn implemented(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("unsafe ").unwrap_or(line).strip_prefix("impl")?;
    let mut open = 0;
    let after_generics = |c: char| {
        open += i32::from(c == '<') - i32::from(c == '>');
        open == 0
    };
    let end = rest.find(after_generics).unwrap_or_default();
    let kind = rest[end..].trim_start_matches('>').rsplit(" for ").next()?.trim_start();
    let path = kind.split(|c: char| !is_word(c) && c != ':').next()?;
    path.rsplit(':').next().filter(|name| name.starts_with(char::is_uppercase))
}
/// Names of the methods that are called on `self`.
fn called(text: &str) -> BTreeSet<&str> {
    let after = text.match_indices("self.").filter(|(at, _)| !text[..*at].ends_with(is_word));
    let names = after.filter_map(|(at, found)| {
        let rest = &text[at + found.len()..];
        let end = rest.find(|c: char| !is_word(c))?;
        (rest[end..].starts_with('(') || rest[end..].starts_with("::<")).then_some(&rest[..end])
    });
    names.collect()
}
/// Files to which the arrows lead from there.
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
            of = if line == "}" { None } else { implemented(line).or(of) };
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

/// Measures that the source breaks: what is too wide, too long or too knotted, one line each.
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
        if !path.ends_with(".rs") {
            continue;
        }
        let room = if is_test(path) { "/tests/" } else { "/src/" };
        if let Some(at) = path.find(room) {
            crates.entry(&path[..at + room.len() - 1]).or_default().push((path, text));
        }
        if !is_test(path) {
            let long = functions(shipped(text)).into_iter().filter(|(_, length)| *length > FUNCTION);
            found.extend(long.map(|(name, _)| format!("function {path} {name}")));
        }
    }
    for (name, files) in &crates {
        for ring in rings(files).into_iter().filter(|r| r.len() > RING) {
            eprintln!("a ring: {ring:?}");
            found.insert(format!("ring {}", name.trim_end_matches("/src")));
        }
    }
    found
}

#[test]
fn the_source_keeps_its_measure() {
    let path = Path::new(ROOT).join("tests/exceptions.txt");
    let text = fs::read_to_string(&path).unwrap();
    let excepted: BTreeSet<String> = text.lines().map(ToOwned::to_owned).collect();
    let found = beyond(&source());
    let bless = std::env::var_os("PAYTERM_BLESS").is_some();
    if bless {
        let kept = excepted.intersection(&found).map(|e| format!("{e}\n")).collect::<String>();
        fs::write(path, kept).unwrap();
    }
    let new: Vec<&String> = found.difference(&excepted).collect();
    assert!(
        new.is_empty(),
        "over {COLUMNS} columns, {LINES} lines, {FUNCTION} lines a function or {RING} files a ring: {new:#?}"
    );
    let old: Vec<&String> = excepted.difference(&found).collect();
    assert!(
        bless || old.is_empty(),
        "no exceptions any more (PAYTERM_BLESS=1 cargo test -p payterm-tests source): {old:#?}"
    );
}

/// A file of one `impl` whose method `own` calls `next` on itself.
fn calls(head: &str, own: &str, next: &str) -> String {
    format!("{head} {{\n    fn {own}(&self) {{\n        self.{next}(1);\n    }}\n}}\n")
}

#[test]
fn each_measure_finds_what_is_beyond_it() {
    let body = "    let _ = 1;\n".repeat(FUNCTION - 1);
    let long = format!(
        "impl A {{\n    pub(super) async fn long(&self) {{\n{body}    }}\n    fn short(&self) {{}}\n}}\n"
    );
    let tested = format!("fn a() {{}}\n\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    let heads =
        ["impl A", "impl<'a, T: Into<B<T>>> From<B> for super::A<'a>", "unsafe impl Send for A", "impl A"];
    let ring = |to: &str, names: [&str; 5]| -> Vec<(String, String)> {
        let arrows = names.windows(2).zip(heads);
        arrows.map(|(n, head)| (format!("{to}/{}.rs", n[0]), calls(head, n[0], n[1]))).collect()
    };
    let mut source = vec![
        ("a.rs".to_owned(), "宽".repeat(COLUMNS + 1)),
        ("b.rs".to_owned(), "宽".repeat(COLUMNS)),
        ("c.py".to_owned(), "#\n".repeat(LINES + 1)),
        ("d.py".to_owned(), "#\n".repeat(LINES)),
        ("crates/e/src/e.rs".to_owned(), long.clone()),
        ("crates/e/src/f.rs".to_owned(), tested),
        ("crates/e/tests/it/g.rs".to_owned(), long),
    ];
    source.extend(ring("crates/h/src", ["a", "b", "c", "d", "a"]));
    source.extend(ring("crates/i/src", ["a", "b", "c", "a", "a"]));
    source.extend(ring("tests/src/sim", ["a", "b", "c", "d::<u8>", "a"]));
    source.extend(ring("tests/tests/sim", ["a", "b", "c", "d", "a"]));
    let found: Vec<String> = beyond(&source).into_iter().collect();
    let expected = [
        "function crates/e/src/e.rs long",
        "long c.py",
        "ring crates/h",
        "ring tests",
        "ring tests/tests",
        "wide a.rs",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_declaration_over_some_lines_is_no_function_without_end() {
    let text = "trait A {\n    fn a(\n        &self,\n    ) -> B;\n    fn b(&self) {\n    }\n}\n";
    assert_eq!(functions(text), [("a", 3), ("b", 2)]);
    // What stands after an `impl` is no method of its type.
    let (a, b, c) =
        (calls("impl A", "a", "b"), calls("impl A", "b", "c"), "impl A {\n}\nmod m {\n    fn c() {}\n}\n");
    assert_eq!(rings(&[("a.rs", &a), ("b.rs", &b), ("c.rs", c)]), []);
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
