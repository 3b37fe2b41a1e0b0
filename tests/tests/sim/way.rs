//! The way of a sale in `docs/architecture.md`: each step names a file and what of it the sale passes, and
//! all of that is there.
use super::source::function;
use std::{collections::BTreeMap, fs, path::Path};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Fewer steps are no whole way.
const STEPS: usize = 40;
/// Closed enums by which control is handed over; a step may name their variants, wherever it is.
const ENUMS: [(&str, &str); 12] = [
    ("Ask", "crates/core/src/io.rs"),
    ("DeviceEvent", "crates/engine/src/device.rs"),
    ("Effect", "crates/core/src/io.rs"),
    ("HostEvent", "schema/src/host.rs"),
    ("Input", "crates/core/src/io.rs"),
    ("Next", "crates/core/src/counter/stage.rs"),
    ("Notice", "schema/src/notice.rs"),
    ("Out", "crates/engine/src/terminal/pacing.rs"),
    ("PaperRecord", "schema/src/record/paper.rs"),
    ("RequestRecord", "schema/src/record/request.rs"),
    ("Signal", "crates/core/src/signal.rs"),
    ("Stage", "crates/core/src/counter/stage.rs"),
];

fn read(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(ROOT).join(path)).ok()
}

/// What follows the first `name` of the line that is a word of its own.
fn after<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let ends = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
    line.match_indices(name)
        .map(|(at, _)| (&line[..at], &line[at + name.len()..]))
        .find(|(before, rest)| ends(before.chars().next_back()) && ends(rest.chars().next()))
        .map(|(_, rest)| rest)
}

/// Tells whether the line, inside an item that begins with `head`, defines it: a function, a row of a macro
/// that makes one, or a variant.
fn defines(head: &str, line: &str, name: &str) -> bool {
    let rest = line.trim_start().strip_prefix(name);
    let row = rest.is_some_and(|r| r.starts_with('(') && r.contains(") -> "));
    let variant =
        after(head, "enum").is_some() && rest.is_some_and(|r| r.is_empty() || r.starts_with([' ', '(', ',']));
    function(line) == Some(name) || row || variant
}

/// Tells whether the text has `name`, a function that stands alone or a macro, or `Owner::name`, which an
/// item of that owner has.
fn has(text: &str, name: &str) -> bool {
    let Some((owner, name)) = name.rsplit_once("::") else {
        return text.lines().any(|l| {
            !l.starts_with(' ')
                && (function(l) == Some(name) || l.starts_with(&format!("macro_rules! {name} ")))
        });
    };
    let mut head = "";
    text.lines().any(|line| {
        if !line.starts_with([' ', '}']) && !line.is_empty() {
            head = line;
        }
        line.starts_with(' ') && after(head, owner).is_some() && defines(head, line, name)
    })
}

/// Steps of the list: what each quotes, its file first.
fn steps(page: &str) -> Vec<Vec<&str>> {
    let way = page.split("\n## The way of a sale\n").nth(1).expect("the way of a sale");
    let way = way.split("\n## ").next().unwrap_or_default();
    let mut starts = Vec::new();
    let mut at = 0;
    for line in way.split_inclusive('\n') {
        let number = line.split_once(". `").and_then(|(n, _)| n.parse::<usize>().ok());
        if let Some(n) = number {
            assert_eq!(n, starts.len() + 1, "the steps are not numbered on: {line}");
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([way.len()]);
    // A step ends with its paragraph.
    let step = |(from, to)| way[from..to].split("\n\n").next().unwrap_or_default();
    starts.iter().copied().zip(ends).map(|s| step(s).split('`').skip(1).step_by(2).collect()).collect()
}

/// What a list of steps names and the source does not have.
fn missing(steps: &[Vec<&str>], read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let enums: BTreeMap<&str, &str> = ENUMS.into();
    let mut missing = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        let n = n + 1;
        let [file, names @ ..] = &step[..] else { panic!("step {n} names nothing") };
        let Some(text) = read(file) else {
            missing.push(format!("{n}: {file}"));
            continue;
        };
        if names.is_empty() {
            missing.push(format!("{n}: a function of {file}"));
        }
        for name in names {
            let elsewhere = name.rsplit_once("::").and_then(|(owner, _)| enums.get(owner));
            let there = match elsewhere {
                Some(of) => read(of).is_some_and(|text| has(&text, name)),
                None => has(&text, name),
            };
            if !there {
                missing.push(format!("{n}: {name} of {file}"));
            }
        }
    }
    missing
}

#[test]
fn the_way_of_a_sale_is_there() {
    let page = read("docs/architecture.md").expect("the page");
    let steps = steps(&page);
    assert!(steps.len() >= STEPS, "{} steps", steps.len());
    let missing = missing(&steps, read);
    assert!(missing.is_empty(), "docs/architecture.md names what is not there, by step: {missing:#?}");
}

#[test]
fn a_name_that_is_not_there_is_found() {
    let page = [
        "x\n## The way of a sale\n\n1. `a.rs` `A::f`, `g`: by `Signal::Want`.\n2. `b.rs` `A::g`\n   and `f`.",
        "Not `this`.\n3. `a.rs` `m`.\n4. `c.rs` `f`.\n5. `a.rs`.\n## More\n6. `a.rs` `x`\n",
    ];
    let page = page.join("\n\n");
    let read = |path: &str| match path {
        "a.rs" => Some("impl A {\n    pub fn f() {}\n}\nfn g() {}\nmacro_rules! m {\n}\n".to_owned()),
        "b.rs" => Some("impl AB {\n    fn g() {}\n    fn f() {\n        g(1);\n    }\n}\n".to_owned()),
        "crates/core/src/signal.rs" => Some("enum Signal {\n    Wants,\n    Send {\n}\n".to_owned()),
        _ => None,
    };
    let expected =
        ["1: Signal::Want of a.rs", "2: A::g of b.rs", "2: f of b.rs", "4: c.rs", "5: a function of a.rs"];
    assert_eq!(missing(&steps(&page), read), expected);
    let text = "impl T for A {\n    f(a: B) -> C;\n    f(b);\n}\nenum Signal {\n    Send {\n}\n";
    assert!(has(text, "A::f") && has(text, "Signal::Send") && !has(text, "A::b") && !has(text, "Send::f"));
}
