//! `docs/config.md` and the example configuration.
use super::*;

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
            let types = types.iter().filter_map(Value::as_str).filter(|t| *t != "null");
            types.collect::<Vec<_>>().join(" or ")
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
        Some(_) if meaning.starts_with("Records") => "records",
        Some(_) | None => "",
    }
}

/// Writes a table of the file and, behind it, those inside it.
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
        "{MADE}# Configuration\n\n`/etc/payterm/payterm.toml`, or `paytermd --config FILE`. TOML; every \
         key is typed, an unknown key is refused with its line.\n\
         `paytermd --check-config` reads the file, checks it with all that it names, and leaves. It tells \
         everything that is wrong at once: file, line,\n\
         key, rule and what was probably meant; also files that are absent, directories that cannot be \
         written to, and that nobody can call, log on or\n\
         pay. A start and SIGHUP make the same checks. An account, device, route or caller is one `[[...]]` \
         table each. *needed* = no default; *none* = the key may be absent. The \
         same as JSON Schema:\n\
         `paytermd --print-schema` or `schema/json/config.schema.json`. A commented example is \
         `packaging/payterm.toml`.\n"
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
