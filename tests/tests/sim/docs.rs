//! What is written about the terminal is checked against the code: generated references are compared
//! (`PAYTERM_BLESS=1` rewrites them), prose must name what there is, examples must be taken, and the
//! installation must hold what it says.
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
    if std::env::var_os("PAYTERM_BLESS").is_some() {
        return fs::write(root().join(path), now).unwrap();
    }
    let committed = fs::read_to_string(root().join(path)).unwrap_or_default();
    assert!(
        committed == now,
        "{path} has drifted from the code: PAYTERM_BLESS=1 cargo test -p payterm-tests docs, then look at the difference"
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

// ---- JSON Schemas

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

// ---- docs/config.md

fn text_of<'a>(v: &'a Value, key: &str) -> Option<&'a str> {
    v.get(key)?.as_str()
}
/// The type behind a property: through an optional value, an array's items and `$ref`.
fn behind<'a>(defs: &'a Value, p: &'a Value) -> &'a Value {
    let optional = p.get("anyOf").and_then(|a| a.as_array()?.iter().find(|v| v.get("$ref").is_some()));
    let inner = optional.or_else(|| p.get("items")).unwrap_or(p);
    text_of(inner, "$ref").map_or(inner, |r| &defs[r.trim_start_matches("#/$defs/")])
}
/// The words that a closed type allows, with their meaning.
fn words(t: &Value) -> Vec<(&str, &str)> {
    let rows = t.get("oneOf").and_then(Value::as_array).into_iter().flatten().chain([t]);
    rows.flat_map(|row| {
        let many = row.get("enum").and_then(Value::as_array).into_iter().flatten();
        let meaning = text_of(row, "description").filter(|_| row.get("const").is_some()).unwrap_or_default();
        row.get("const").into_iter().chain(many).filter_map(Value::as_str).map(move |w| (w, meaning))
    })
    .collect()
}
fn kind_of_value(t: &Value, list: bool) -> String {
    let words: Vec<String> = words(t).iter().map(|(w, _)| code(w)).collect();
    let one = match t.get("type") {
        _ if !words.is_empty() => words.join(", "),
        Some(Value::Array(types)) => {
            types.iter().filter_map(Value::as_str).filter(|t| *t != "null").collect()
        }
        Some(Value::String(t)) => t.clone(),
        _ => "?".into(),
    };
    if list { format!("list of {one}") } else { one }
}
fn unit(key: &str, meaning: &str) -> &'static str {
    match key.rsplit('_').next() {
        Some("ms") => "ms",
        Some("mm") => "mm",
        Some("mib") => "MiB",
        Some("hours") => "h",
        Some("minutes") => "min",
        Some("tries") => "tries",
        Some(_) if meaning.contains("minor units") => "minor units",
        Some(_) if meaning.starts_with("Records") => "records",
        Some(_) | None => "",
    }
}
/// One table of the file and, behind it, those inside it.
fn config_table(out: &mut String, defs: &Value, path: &str, list: bool, table: &Value) {
    let (open, close) = if list { ("[[", "]]") } else { ("[", "]") };
    let _ = write!(out, "\n## `{open}{path}{close}`\n\n");
    if let Some(text) = text_of(table, "description") {
        let _ = write!(out, "{}\n\n", text.replace('\n', " "));
    }
    let _ = write!(out, "| key | type | unit | default | meaning |\n|---|---|---|---|---|\n");
    let needed = |k: &str| table["required"].as_array().is_some_and(|r| r.iter().any(|v| v == k));
    let mut rows: Vec<_> = table["properties"].as_object().unwrap().iter().collect();
    rows.sort_by_key(|(k, _)| !needed(k));
    let mut inside = Vec::new();
    for (key, p) in rows {
        let (t, many) = (behind(defs, p), p.get("items").is_some());
        if t.get("properties").is_some() {
            inside.push((format!("{path}.{key}"), many, t));
            continue;
        }
        let mut meaning =
            text_of(p, "description").or_else(|| text_of(t, "description")).unwrap_or_default().to_owned();
        assert!(!meaning.is_empty(), "{path}.{key} has no meaning: a doc comment in schema::config");
        for (word, text) in words(t).into_iter().filter(|(_, text)| !text.is_empty()) {
            let _ = write!(meaning, " `{word}`: {text}");
        }
        let default = match p.get("default") {
            None if needed(key) => "needed".into(),
            None | Some(Value::Null) => "none".into(),
            Some(v) => code(&v.to_string()),
        };
        let _ = writeln!(
            out,
            "| `{key}` | {} | {} | {default} | {} |",
            kind_of_value(t, many),
            unit(key, &meaning),
            cell(&meaning)
        );
    }
    for (path, many, t) in inside {
        config_table(out, defs, &path, many, t);
    }
}

#[test]
fn the_config_reference_is_the_schema() {
    let schema = serde_json::to_value(schemars::schema_for!(Config)).unwrap();
    let defs = &schema["$defs"];
    let mut out = format!(
        "{MADE}# Configuration\n\n`/etc/payterm/payterm.toml`, or `paytermd --config FILE`. TOML; every key is typed, an unknown key is refused with its line.\n\
         `paytermd --check-config` reads the file, checks it and leaves; an error names file, line, key and rule. An account, device, route or\n\
         caller is one `[[...]]` table each. *needed* = no default; *none* = the key may be absent. The same as JSON Schema:\n\
         `paytermd --print-schema` or `schema/json/config.schema.json`. A commented example is `packaging/payterm.toml`.\n"
    );
    // In the order in which a person fills them in; a table that is not named here is at the end.
    let order = [
        "terminal",
        "account",
        "route",
        "device",
        "flow",
        "operators",
        "paper",
        "self_test",
        "bus",
        "inhibit",
        "store",
        "vault",
        "log",
        "tms",
    ];
    let mut tables: Vec<_> = schema["properties"].as_object().unwrap().iter().collect();
    tables.sort_by_key(|(k, _)| order.iter().position(|o| o == k).unwrap_or(order.len()));
    for (key, p) in tables {
        config_table(&mut out, defs, key, p.get("items").is_some(), behind(defs, p));
    }
    same("docs/config.md", &out);
}

#[test]
fn the_example_config_is_taken_as_it_is_and_filled_in() {
    let text = read("packaging/payterm.toml");
    let check = |text: &str| {
        let config: Config = toml::from_str(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(config.check(), Ok(()));
        let drivers = payterm_devices::Drivers::default();
        assert_eq!(drivers.check(&config), Ok(()));
        assert!(
            !drivers.any_virtual(&config.devices) && !config.terminal.lab,
            "the example is no test bench"
        );
        config
    };
    check(&text);
    // "#key = value" is a setting that is off, "# text" is a comment.
    let on = |l: &str| {
        l.strip_prefix('#')
            .filter(|rest| !rest.is_empty() && !rest.starts_with([' ', '#']))
            .unwrap_or(l)
            .to_owned()
    };
    let full = check(&text.lines().map(on).collect::<Vec<_>>().join("\n"));
    assert!(
        !full.accounts.is_empty()
            && !full.devices.is_empty()
            && !full.bus.callers.is_empty()
            && !full.routes.is_empty()
    );
}

// ---- docs/kinds.md, docs/codes.md

/// The profiles that are built in: the file as a table, and as the code reads it.
fn profiles() -> Vec<(toml::Table, Profile)> {
    let mut names: Vec<_> =
        fs::read_dir(root().join("crates/hosts/profiles")).unwrap().map(|f| f.unwrap().path()).collect();
    names.sort();
    assert!(names.len() >= 2);
    let load = |p: PathBuf| {
        let name = p.file_stem().unwrap().to_str().unwrap().to_owned();
        (
            fs::read_to_string(&p).unwrap().parse().unwrap(),
            Profile::builtin(&name).unwrap_or_else(|e| panic!("{name}: {e}")),
        )
    };
    names.into_iter().map(load).collect()
}
fn yes(b: bool) -> &'static str {
    if b { "yes" } else { "-" }
}
fn list(v: &toml::Value) -> String {
    let shown = |v: &toml::Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    v.as_array().map(|a| a.iter().map(shown).collect::<Vec<_>>().join(" ")).unwrap_or_default()
}
fn fields(values: Option<&toml::Value>) -> String {
    let mut rows: Vec<(u8, String)> = Vec::new();
    for (n, v) in values.and_then(toml::Value::as_table).into_iter().flatten() {
        rows.push((n.parse().unwrap(), format!("F{n} {}", code(v.as_str().unwrap()))));
    }
    rows.sort();
    rows.into_iter().map(|(_, t)| t).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_kind_sheet_is_that_of_the_code() {
    let (zh, en) = (Texts::new(Language::ZhCn), Texts::new(Language::En));
    let mut out = format!(
        "{MADE}# The kind sheet\n\nOne row a kind of transaction (`Kind::row` in `schema/src/kind.rs`). Flow, tests and this page come from it; what an acquirer's\n\
         message holds is in its profile (`crates/hosts/profiles`).\n\n\
         | kind | 中文 | amount | original | card | code | PIN | right | no answer came | offline | settlement side | slip | authorisation | a second try |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
    );
    for kind in Kind::ALL {
        let r = kind.row();
        let amount = match r.amount {
            AmountRule::None => "-",
            AmountRule::Needed => "needed",
            AmountRule::Optional => "what is left, or named",
        };
        let original = match r.original {
            OriginalBy::None => "-",
            OriginalBy::OpenBatch => "id, STAN or RRN, open batch",
            OriginalBy::AnyBatch => "id, or RRN + date",
            OriginalBy::Authorisation => "id, or authorisation code + date",
        };
        let card = match r.card {
            CardRule::None => "-",
            CardRule::Needed => "yes",
            CardRule::AsOriginal => "as the original",
        };
        let right = match r.right {
            Right::Cashier => "cashier",
            Right::Supervisor => "supervisor",
        };
        let recovery = match r.recovery {
            Recovery::Reverse => "reverse",
            Recovery::Repeat => "repeat",
            Recovery::ManualResolution => "ask a person",
            Recovery::AskAgain => "nothing is owed",
        };
        let side = match r.side {
            Side::Debit => "debit",
            Side::Credit => "credit",
            Side::None => "-",
        };
        let _ = writeln!(
            out,
            "| `{}` {} | {} | {amount} | {original} | {card} | {} | {} | {right} | {recovery} | {} | {side} | {} | {} | {} |",
            kind.name(),
            en.word(kind),
            zh.word(kind),
            yes(r.code),
            yes(r.pin),
            yes(r.offline),
            yes(r.slip),
            yes(r.authorisation),
            r.second
        );
    }
    out.push_str(
        "\n*Authorisation*: waits until the account is signed in and owes nothing. *No answer came*: what a frame that left owes then.\n\n\
         In the tables below F is a field of ISO 8583, `{...}` a value that the terminal fills in; M = always sent, C = sent when it applies.\n",
    );
    for (file, profile) in profiles() {
        let _ = write!(
            out,
            "\n## Profile `{}`: {}\n\n| message | MTI | its own values | fields |\n|---|---|---|---|\n",
            profile.name, profile.title
        );
        for (name, m) in file["message"].as_table().unwrap() {
            let _ = writeln!(
                out,
                "| `{name}` | {} | {} | {} |",
                m["mti"].as_str().unwrap(),
                fields(m.get("values")),
                m["fields"].as_str().unwrap()
            );
        }
        let r = &file["reversal"];
        let reasons: Vec<String> = r["reasons"]
            .as_table()
            .unwrap()
            .iter()
            .map(|(k, v)| format!("`{k}` {}", v.as_str().unwrap()))
            .collect();
        let _ = write!(
            out,
            "\nReversal: MTI {}; all fields of the original but {}; added {} ({}). F39: {}. Ended by {}.\n",
            r["mti"].as_str().unwrap(),
            list(&r["drop"]),
            r["add"].as_str().unwrap(),
            fields(r.get("values")),
            reasons.join(", "),
            list(&r["ends"])
        );
        let mac = &file["mac"];
        let _ = write!(
            out,
            "MAC: `{}`, on {}.\n\n| F22 | with PIN | without |\n|---|---|---|\n",
            mac["algorithm"].as_str().unwrap(),
            list(&mac["mtis"])
        );
        for (mode, row) in file["entry"].as_table().unwrap() {
            let _ = writeln!(
                out,
                "| `{mode}` | {} | {} |",
                row["pin"].as_str().unwrap(),
                row["no_pin"].as_str().unwrap()
            );
        }
    }
    same("docs/kinds.md", &out);
}

#[test]
fn the_code_tables_are_those_of_profiles_and_texts() {
    let (zh, en) = (Texts::new(Language::ZhCn), Texts::new(Language::En));
    let text = |t: Texts, c: &str, class| {
        let mut r = Reason::new(c, class);
        t.fill_reason(&mut r);
        (r.text, r.next)
    };
    let row = |c: &str, class| {
        let ((zh, zh_next), (en, en_next)) = (text(zh, c, class), text(en, c, class));
        format!("{} | {} | {} | {}", cell(&zh), cell(&en), cell(&zh_next), cell(&en_next))
    };
    let mut out = format!(
        "{MADE}# Reasons\n\nThe key `reason` of an outcome: `code`, `class`, `text` (what happened) and `next` (what to do now), both in the terminal's language.\n\
         A host's F39 is `host-` and the code. A code that is not in the profile is a failure of class C.\n\n| class | meaning |\n|---|---|\n"
    );
    for c in <Class as Word>::ALL {
        let _ = writeln!(out, "| {c:?} | {} |", en.word(*c));
    }
    out.push_str(
        "\n*Retry*: what the terminal does by itself in the same request: `now` try again with a new STAN (`flow.busy_tries` times, after a countdown),\n\
         `pin` ask the PIN again, `sign_in` sign in and try again, `done` ends a reversal, `never` nothing. *Reverse*: a payment refused with it is reversed all the same:\n\
         the card's bank may have debited.\n",
    );
    for (_, profile) in profiles() {
        let _ = write!(
            out,
            "\n## F39 of profile `{}`\n\n| F39 | class | again | reverse | 含义 | meaning | 下一步 | what to do next |\n|---|---|---|---|---|---|---|---|\n",
            profile.name
        );
        for (c, rule) in profile.rules().codes {
            let again = serde_json::to_value(rule.retry).unwrap();
            let _ = writeln!(
                out,
                "| {c} | {:?} | `{}` | {} | {} |",
                rule.class,
                again.as_str().unwrap(),
                yes(rule.reverse),
                row(&format!("host-{c}"), rule.class)
            );
        }
    }
    out.push_str("\n## The terminal's own codes\n\n| code | 含义 | meaning | 下一步 | what to do next |\n|---|---|---|---|---|\n");
    let reasons = read("crates/texts/locales/en/reasons.ftl");
    // `unknown` is the text of a code that has none.
    let own: Vec<&str> = reasons
        .lines()
        .filter_map(|l| l.strip_prefix("reason-")?.split_once(" =").map(|(id, _)| id))
        .filter(|id| *id != "unknown")
        .collect();
    assert!(own.len() > 20);
    for c in own {
        let _ = writeln!(out, "| `{c}` | {} |", row(c, Class::C));
    }
    same("docs/codes.md", &out);
}

// ---- Prose

fn pages() -> Vec<(String, String)> {
    let mut names = vec!["README.md".to_owned()];
    names.extend(
        fs::read_dir(root().join("docs"))
            .unwrap()
            .map(|f| format!("docs/{}", f.unwrap().file_name().to_str().unwrap()))
            .filter(|n| n.ends_with(".md")),
    );
    assert!(names.len() >= 7, "{names:?}");
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

#[test]
fn the_man_page_of_the_daemon_names_every_option() {
    let (program, page) = (read("daemon/src/main.rs"), read("packaging/paytermd.8"));
    let args = program.split_once("struct Args {").unwrap().1.split_once("\n}").unwrap().0;
    let options: Vec<String> = args
        .lines()
        .filter_map(|l| l.strip_prefix("    ")?.split_once(": "))
        .map(|(n, _)| n.replace('_', "\\-"))
        .filter(|n| !n.contains('/'))
        .collect();
    assert!(options.len() >= 5, "{options:?}");
    for o in options {
        assert!(
            page.contains(&format!("\\-\\-{o}\n"))
                || page.contains(&format!("\\-\\-{o} "))
                || page.contains(&format!("\\-\\-{o}\"")),
            "--{o}"
        );
    }
}

// ---- packaging/install.sh

fn install(bin: &Path, dest: &Path, prefix: &str) -> std::process::Output {
    let mut c = Command::new("sh");
    c.arg(root().join("packaging/install.sh")).args([dest.to_str().unwrap(), prefix]).env("PAYTERM_BIN", bin);
    c.output().unwrap()
}
fn tree(dir: &Path, at: &Path, out: &mut Vec<(String, u32)>) {
    for entry in fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
        let mode = fs::symlink_metadata(&entry).unwrap().permissions().mode() & 0o7777;
        if entry.is_dir() {
            assert_eq!(mode, 0o755, "{}", entry.display());
            tree(&entry, at, out);
        } else {
            out.push((entry.strip_prefix(at).unwrap().to_str().unwrap().to_owned(), mode));
        }
    }
}

#[test]
fn the_installation_holds_what_it_says_and_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let (bin, dest) = (dir.path().join("bin"), dir.path().join("dest"));
    fs::create_dir(&bin).unwrap();
    let program = "#!/bin/sh\ncase \"$1\" in man) echo page >\"$2/paytermctl.1\"; echo page >\"$2/paytermctl-sale.1\" ;; completions) echo \"for $2\" ;; esac\n";
    for name in ["paytermd", "paytermctl", "payterm-acquirer"] {
        let early = install(&bin, &dest, "/opt/payterm");
        assert!(!early.status.success() && !dest.exists(), "without all programs nothing is installed");
        assert!(String::from_utf8_lossy(&early.stderr).contains(&format!("/{name} is not there")));
        fs::write(bin.join(name), program).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o700)).unwrap();
    }
    let mut first = Vec::new();
    for round in 0..2 {
        let done = install(&bin, &dest, "/opt/payterm");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let mut now = Vec::new();
        tree(&dest, &dest, &mut now);
        now.sort();
        if round == 0 {
            first = now;
        } else {
            assert_eq!(first, now);
        }
    }
    let mode = |p: &str| first.iter().find(|(n, _)| n == p).map(|(_, m)| *m);
    for p in ["paytermd", "paytermctl", "payterm-acquirer"] {
        assert_eq!(mode(&format!("opt/payterm/bin/{p}")), Some(0o755), "{p}");
    }
    let interfaces = payterm_dbus::INTERFACES
        .iter()
        .filter(|i| i.name.starts_with(payterm_dbus::BUS_NAME))
        .map(|i| format!("share/dbus-1/interfaces/{}.xml", i.name));
    let plain = [
        "lib/systemd/system/paytermd.service",
        "lib/systemd/system/paytermd@.service",
        "lib/sysusers.d/payterm.conf",
        "share/dbus-1/system.d/org.payterm.Terminal1.conf",
        "share/dbus-1/system-services/org.payterm.Terminal1.service",
        "share/polkit-1/rules.d/50-payterm.rules",
        "share/man/man1/paytermctl.1",
        "share/man/man1/paytermctl-sale.1",
        "share/man/man8/paytermd.8",
        "share/bash-completion/completions/paytermctl",
        "share/zsh/site-functions/_paytermctl",
        "share/fish/vendor_completions.d/paytermctl.fish",
        "share/payterm/payterm.toml",
        "share/payterm/schema/config.schema.json",
        "share/doc/payterm/integrator.md",
        "share/doc/payterm/LICENSE-MIT",
        "share/doc/payterm/LICENSE-APACHE",
    ];
    for p in plain.map(str::to_owned).into_iter().chain(interfaces) {
        assert_eq!(mode(&format!("opt/payterm/{p}")), Some(0o644), "{p}");
    }
    let text = |p: &str| fs::read_to_string(dest.join("opt/payterm").join(p)).unwrap();
    for p in [
        "lib/systemd/system/paytermd.service",
        "lib/systemd/system/paytermd@.service",
        "share/dbus-1/system-services/org.payterm.Terminal1.service",
    ] {
        assert!(
            text(p).contains("=/opt/payterm/bin/paytermd") && !text(p).contains("/usr/bin/paytermd"),
            "{p}"
        );
    }
    assert_eq!(text("share/zsh/site-functions/_paytermctl"), "for zsh\n");
    // dbus-daemon reads /usr/share and /etc only: another prefix gets a link there.
    let link = fs::read_link(dest.join("etc/dbus-1/system.d/org.payterm.Terminal1.conf")).unwrap();
    assert_eq!(link, Path::new("/opt/payterm/share/dbus-1/system.d/org.payterm.Terminal1.conf"));
    let link = fs::read_link(dest.join("etc/polkit-1/rules.d/50-payterm.rules")).unwrap();
    assert_eq!(link, Path::new("/opt/payterm/share/polkit-1/rules.d/50-payterm.rules"));
    assert!(!dest.join("etc/payterm").exists(), "a shop's configuration is its own");
    let usr = dir.path().join("usr-dest");
    assert!(
        install(&bin, &usr, "/usr").status.success()
            && usr.join("usr/bin/paytermd").exists()
            && !usr.join("etc").exists()
    );
    for bad in ["opt", "/o|t", "/a b"] {
        let refused = dir.path().join("refused");
        assert!(!install(&bin, &refused, bad).status.success() && !refused.exists(), "{bad}");
    }
    // A program that fails leaves nothing behind.
    fs::write(bin.join("paytermctl"), "#!/bin/sh\nexit 1\n").unwrap();
    let nothing = dir.path().join("nothing");
    assert!(!install(&bin, &nothing, "/usr").status.success() && !nothing.exists());
}
