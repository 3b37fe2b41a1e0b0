//! Documents about the terminal, checked against the code: generated references are compared
//! (`PAYTERM_BLESS=1` rewrites them), prose must name what there is, examples must be taken, and the
//! installation must hold what it says.
mod config;
mod guide;
mod installation;
mod kinds;

use payterm_hosts::Profile;

use payterm_schema::{
    Device, Fault, Kind, Notice, Outcome, Phase, Request, Status,
    config::{Config, Language},
    host::{EntryMode, Wallet},
    kind::{AmountRule, CardRule, OriginalBy, Recovery, Right, Side},
    onboarding::{Draft, OfferShown, OnboardingShown, Stage},
    operator::{Operators, Role},
    outcome::{Class, Reason},
    paper::{PaperJob, PaperKind, PaperState},
    record::{Obligation, ObligationState},
    request::RequestWire,
    terminal::{BatchTotals, Explanation, Filter, TerminalInfo, Transaction},
};

use payterm_texts::{Texts, Word};

use schemars::{JsonSchema, generate::SchemaSettings};

use serde_json::Value;

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A generated file is what the code says, or is made so.
fn same(path: &str, now: &str) {
    let committed = fs::read_to_string(root().join(path)).unwrap_or_default();
    if std::env::var_os("PAYTERM_BLESS").is_some() && committed != now {
        return fs::write(root().join(path), now).unwrap();
    }
    assert!(
        committed == now,
        "{path} has drifted from the code: PAYTERM_BLESS=1 cargo test -p payterm-tests docs, then look at \
         the difference"
    );
}

const MADE: &str = "<!-- Made from the code by tests/tests/sim/docs.rs; PAYTERM_BLESS=1 rewrites it. -->\n";

/// A table cell.
fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{}`", cell(text)) }
}

fn text_of<'a>(v: &'a Value, key: &str) -> Option<&'a str> {
    v.get(key)?.as_str()
}

fn schema<T: JsonSchema>(name: &str, settings: SchemaSettings) {
    let mut text =
        serde_json::to_string_pretty(&settings.into_generator().into_root_schema_for::<T>()).unwrap();
    text.push('\n');
    same(&format!("schema/json/{name}.schema.json"), &text);
}

#[test]
fn the_json_schemas_are_those_of_the_types() {
    // What callers send, and what they are sent: a field that may be left out on the way in is always there
    // on the way out.
    let takes = SchemaSettings::draft2020_12;
    let gives = || SchemaSettings::draft2020_12().for_serialize();
    schema::<Config>("config", takes());
    schema::<RequestWire>("request", takes());
    schema::<Filter>("filter", takes());
    schema::<Outcome>("outcome", gives());
    schema::<Transaction>("transaction", gives());
    schema::<Explanation>("explanation", gives());
    schema::<Notice>("notice", gives());
    schema::<Device>("device", gives());
    schema::<Obligation>("obligation", gives());
    schema::<PaperJob>("paper_job", gives());
    schema::<BatchTotals>("batch_totals", gives());
    schema::<payterm_schema::page::Printable>("paper", takes());
    schema::<payterm_schema::paper::PaperStatus>("paper_status", gives());
    schema::<payterm_schema::totals::TotalsReport>("totals_report", gives());
    schema::<payterm_schema::reconciliation::Reconciliation>("reconciliation", gives());
    schema::<TerminalInfo>("terminal_info", gives());
    schema::<Operators>("operators", gives());
    schema::<Draft>("onboarding_draft", takes());
    schema::<OnboardingShown>("onboarding", gives());
    schema::<OfferShown>("offer", gives());
    schema::<Fault>("fault", gives());
    schema::<payterm_schema::SelfTest>("self_test", gives());
}

fn pages() -> Vec<(String, String)> {
    let mut names: Vec<_> = fs::read_dir(root())
        .unwrap()
        .map(|f| f.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.ends_with(".md"))
        .collect();
    names.extend(
        fs::read_dir(root().join("docs"))
            .unwrap()
            .map(|f| format!("docs/{}", f.unwrap().file_name().to_str().unwrap()))
            .filter(|n| n.ends_with(".md")),
    );
    assert!(names.len() >= 12, "{names:?}");
    names.into_iter().map(|n| (n.clone(), read(&n))).collect()
}

/// A folder or file that a page names, as `` `crates/core/src/flow.rs` `` or as a link, is there.
#[test]
fn what_pages_point_to_is_there() {
    let folders =
        ["crates/", "schema/", "daemon/", "dbus/", "docs/", "tests/", "packaging/", "integrations/"];
    let mut seen = 0;
    for (page, text) in pages() {
        let quoted = text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|t| folders.iter().any(|f| t.starts_with(f)) && !t.contains([' ', '*', '<', '\n']));
        for path in quoted {
            assert!(root().join(path).exists(), "{page}: `{path}` is not there");
            seen += 1;
        }
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|t| t.split_once(')'))
            .map(|(to, _)| to)
            .filter(|to| !to.contains("://") && !to.starts_with('#'));
        for to in links {
            let to = to.split('#').next().unwrap();
            assert!(
                root().join(Path::new(&page).parent().unwrap()).join(to).exists(),
                "{page}: link to {to}"
            );
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn the_map_has_every_crate() {
    let (readme, manifest) = (read("README.md"), read("Cargo.toml").parse::<toml::Table>().unwrap());
    for member in manifest["workspace"]["members"].as_array().unwrap() {
        assert!(
            readme.contains(&format!("| {} |", code(member.as_str().unwrap()))),
            "README.md: {member} is not on the map"
        );
    }
}

#[test]
fn nothing_shipped_computes_with_keys_but_the_vault() {
    let manifest = read("Cargo.toml").parse::<toml::Table>().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap().iter().filter_map(|m| m.as_str());
    let depends = |member: &&str| {
        let of = read(&format!("{member}/Cargo.toml")).parse::<toml::Table>().unwrap();
        of.get("dependencies").is_some_and(|d| d.get("payterm-primitives").is_some())
    };
    let mut who: Vec<&str> = members.filter(depends).collect();
    who.sort_unstable();
    assert_eq!(who, ["crates/simulator", "crates/vault", "tests"]);
}

#[test]
fn the_glossary_has_every_word_of_the_closed_enums() {
    fn missing<T: Word>(page: &str) -> Vec<String> {
        let names = T::ALL.iter().map(|w| w.id().to_owned());
        let short = |id: &String| id.rsplit('-').next().unwrap_or_default().to_owned();
        names.filter(|id| !page.contains(&format!("`{}`", short(id)))).collect()
    }
    let page = read("docs/words.md");
    let all = [
        missing::<Status>(&page),
        missing::<Kind>(&page),
        missing::<Phase>(&page),
        missing::<EntryMode>(&page),
        missing::<Wallet>(&page),
        missing::<ObligationState>(&page),
        missing::<Role>(&page),
        missing::<PaperKind>(&page),
        missing::<PaperState>(&page),
        missing::<payterm_schema::selftest::Verdict>(&page),
        missing::<payterm_schema::InhibitReason>(&page),
        missing::<Stage>(&page),
    ];
    assert_eq!(all.concat(), Vec::<String>::new());
}
