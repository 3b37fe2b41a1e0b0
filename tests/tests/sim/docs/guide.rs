//! The guides for authors of shop apps: `docs/integrator.md` and `docs/testing.md`.
use super::*;
use payterm_dbus::{INTERFACES, May, Patience};

/// Part of a page between its marks, made from the code.
fn part(path: &str, name: &str, now: &str) {
    let page = read(path);
    let (open, close) = (format!("<!-- {name}: "), format!("<!-- end of {name} -->"));
    let (before, rest) = page.split_once(&open).unwrap_or_else(|| panic!("{path}: no {open}"));
    let (mark, rest) = rest.split_once('\n').unwrap();
    let (_, after) = rest.split_once(&close).unwrap_or_else(|| panic!("{path}: no {close}"));
    same(path, &format!("{before}{open}{mark}\n\n{now}\n{close}{after}"));
}

#[test]
fn the_integrators_guide_has_the_signature_of_every_method_and_every_fault() {
    part("docs/integrator.md", "methods", &methods());
    part("docs/integrator.md", "faults", &faults());
}

fn methods() -> String {
    let may = |may| match may {
        May::Anybody => "anybody",
        May::Apps => "apps",
        May::Starters => "apps, their kinds up to their limit",
        May::Managers => "managers",
        May::Supervised => "managers, and the supervisor at the keypad",
    };
    let patience = |patience| match patience {
        Patience::Moment => "at once",
        Patience::Test => "when all was tested, in seconds",
        Patience::Long => "when customer, operator or printer are done",
    };
    let list =
        |all: &[(&str, &str)]| all.iter().map(|(n, s)| format!("{n} {s}")).collect::<Vec<_>>().join(", ");
    let mut out = String::from("| interface | method | answers | who may |\n|---|---|---|---|\n");
    for i in INTERFACES {
        let Some(name) = i.name.strip_prefix("org.payterm.Terminal1.") else { continue };
        for m in i.methods {
            let gives = if m.gives.is_empty() { String::new() } else { format!(" -> {}", list(m.gives)) };
            let signature = format!("{}({}){gives}", m.name, list(m.takes));
            let _ = writeln!(out, "| {name} | `{signature}` | {} | {} |", patience(m.patience), may(m.may));
        }
    }
    out
}

/// Each fault with the two paragraphs of its documentation: when, and what the calling program should do.
fn faults() -> String {
    let schema = serde_json::to_value(schemars::schema_for!(Fault)).unwrap();
    let mut out = String::from("| fault | when | your program |\n|---|---|---|\n");
    for fault in schema["oneOf"].as_array().unwrap() {
        let name = fault["properties"]["fault"]["const"].as_str().unwrap();
        let doc = text_of(fault, "description").unwrap_or_default();
        let (when, then) = doc.split_once("\n\n").unwrap_or_else(|| panic!("Fault::{name}: two paragraphs"));
        let _ = writeln!(out, "| `{name}` | {} | {} |", linked(when), linked(then));
    }
    out
}
/// A table cell whose `docs/page.md` is a link.
fn linked(text: &str) -> String {
    let mut words: Vec<String> = cell(text).split(' ').map(ToOwned::to_owned).collect();
    for word in &mut words {
        if let Some((before, rest)) = word.split_once("docs/")
            && let Some((page, after)) = rest.split_once(".md")
        {
            *word = format!("{before}[{page}.md]({page}.md){after}");
        }
    }
    words.join(" ")
}

#[test]
fn the_integrators_guide_names_every_method_fault_status_and_exit_code() {
    let page = read("docs/integrator.md");
    let mut names: BTreeSet<String> = Status::ALL.iter().map(|s| s.name().to_owned()).collect();
    let own = payterm_dbus::INTERFACES.iter().filter(|i| i.name.starts_with(payterm_dbus::BUS_NAME));
    names.extend(
        own.flat_map(|i| i.methods.iter().map(|m| m.name).chain(i.signals.iter().map(|s| s.name)))
            .map(str::to_owned),
    );
    let faults = serde_json::to_value(schemars::schema_for!(Fault)).unwrap();
    names.extend(
        faults["oneOf"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["properties"]["fault"]["const"].as_str().unwrap().to_owned()),
    );
    let cli = read("crates/cli/src/args.rs");
    let exits = cli.split_once("EXIT_STATUS: &str = \"").unwrap().1.split_once("\";").unwrap().0;
    names.extend(
        exits.lines().filter_map(|l| l.split_whitespace().next()?.parse::<u8>().ok()).map(|n| n.to_string()),
    );
    assert!(names.len() > 40, "{names:?}");
    let missing: Vec<_> = names.iter().filter(|n| !page.contains(&format!("`{n}`"))).collect();
    assert!(missing.is_empty(), "docs/integrator.md does not name {missing:?}");
}

/// The guide to testing and both extensions know the mishaps of the simulator, and no other.
#[test]
fn the_mishaps_of_the_extensions_are_those_of_the_simulator() {
    let unknown =
        serde_json::from_str::<payterm_simulator::mishap::Mishap>(r#"{"type":"?"}"#).unwrap_err().to_string();
    let known: BTreeSet<String> =
        unknown.split('`').skip(3).step_by(2).map(|n| n.replace('-', "_")).collect();
    assert!(known.len() >= 13 && known.contains("drop_reply"), "{unknown}");
    // The first word in quotes of each line of a part of a file.
    let named = |text: &str, from: &str, to: &str, open: &str, close: char| -> BTreeSet<String> {
        let part = text.split_once(from).unwrap().1.split_once(to).unwrap().0;
        part.lines()
            .filter_map(|l| l.trim().strip_prefix(open)?.split(close).next())
            .map(str::to_owned)
            .collect()
    };
    let python = read("integrations/pytest-payterm/src/pytest_payterm/acquirer.py");
    let java = read("integrations/junit-payterm/src/main/java/org/payterm/junit/Mishap.java");
    assert_eq!(named(&read("docs/testing.md"), "## Mishaps", "\n## ", "| `", '`'), known);
    assert_eq!(named(&python, "MISHAPS = {", "}", "\"", '"'), known);
    assert_eq!(named(&java, "static {", "    }\n", "NAMES.put(\"", '"'), known);
}

/// Each ```json block of a page is a request or an outcome that the terminal would take or give.
#[test]
fn examples_are_requests_and_outcomes() {
    let (mut requests, mut outcomes) = (0, 0);
    for (page, text) in pages() {
        for block in text.split("```json\n").skip(1).map(|b| b.split("```").next().unwrap()) {
            let value: Value = serde_json::from_str(block).unwrap_or_else(|e| panic!("{page}: {e}\n{block}"));
            if value.get("txn").is_some() {
                let outcome: Outcome =
                    serde_json::from_value(value.clone()).unwrap_or_else(|e| panic!("{page}: {e}\n{block}"));
                assert_eq!(
                    serde_json::to_value(outcome).unwrap(),
                    value,
                    "{page}: the outcome would be written otherwise"
                );
                outcomes += 1;
            } else if value.get("page").is_some() {
                payterm_schema::page::Printable::parse(block)
                    .unwrap_or_else(|e| panic!("{page}: {e}\n{block}"));
            } else {
                let wire: RequestWire =
                    serde_json::from_value(value).unwrap_or_else(|e| panic!("{page}: {e}\n{block}"));
                Request::try_from(wire).unwrap_or_else(|e| panic!("{page}: {e}\n{block}"));
                requests += 1;
            }
        }
    }
    assert!(requests > 1 && outcomes > 1);
}
