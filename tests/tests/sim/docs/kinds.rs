//! `docs/kinds.md` and `docs/codes.md`: the messages of each kind, reasons and response codes.
use super::*;

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

/// What a profile has for chip cards.
fn chips(file: &toml::Table) -> String {
    let mut out = String::new();
    for (name, m) in file["message"].as_table().unwrap() {
        if let Some(tags) = m.get("icc") {
            let _ = write!(out, "\nF55 of `{name}`: {}.", list(tags));
        }
    }
    if let Some(tags) = file["reversal"].get("icc") {
        let _ = write!(out, "\nF55 of a reversal: {}.", list(tags));
    }
    if let Some(script) = file.get("script_result") {
        let (mti, tags) = (script["mti"].as_str().unwrap(), list(&script["icc"]));
        let (own, all) = (fields(script.get("values")), script["fields"].as_str().unwrap());
        let _ = write!(
            out,
            "\nScript results: MTI {mti}; {all} ({own}; the others as their payment's). F55: {tags}."
        );
    }
    if let Some(condition) = file.get("ic_condition") {
        let of = |key: &str| condition[key].as_str().unwrap().to_owned();
        let _ =
            write!(out, "\nIC condition: {}, of a fallback to the stripe {}.", of("normal"), of("fallback"));
    }
    if out.is_empty() { "No chip cards.\n".into() } else { format!("{}\n", out.trim_start()) }
}

#[test]
fn the_kind_sheet_is_that_of_the_code() {
    let (zh, en) = (Texts::new(Language::ZhCn), Texts::new(Language::En));
    let mut out = format!(
        "{MADE}# The kind sheet\n\nOne row a kind of transaction (`Kind::row` in `schema/src/kind.rs`). \
         Flow, tests and this page come from it; what an acquirer's\n\
         message holds is in its profile (`crates/hosts/profiles`).\n\n\
         | kind | 中文 | amount | original | card | code | PIN | right | no answer came | offline | \
         settlement side | slip | authorisation | a second try |\n\
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
            "| `{}` {} | {} | {amount} | {original} | {card} | {} | {} | {right} | {recovery} | {} | \
             {side} | {} | {} | {} |",
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
        "\n*Authorisation*: waits until the account is signed in and owes nothing. *No answer came*: what \
         a frame that left owes then.\n\n\
         In the tables below F is a field of ISO 8583, `{...}` a value that the terminal fills in; M = \
         always sent, C = sent when it applies.\n",
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
        out.push_str(&chips(&file));
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
        "{MADE}# Reasons\n\nThe key `reason` of an outcome: `code`, `class`, `text` (what happened) and \
         `next` (what to do now), both in the terminal's language.\n\
         A host's F39 is `host-` and the code. A code that is not in the profile is a failure of class \
         C.\n\n| class | meaning |\n|---|---|\n"
    );
    for c in <Class as Word>::ALL {
        let _ = writeln!(out, "| {c:?} | {} |", en.word(*c));
    }
    out.push_str(
        "\n*Retry*: what the terminal does by itself in the same request: `now` try again with a new STAN \
         (`flow.busy_tries` times, after a countdown),\n\
         `pin` ask the PIN again, `sign_in` sign in and try again, `done` ends a reversal, `never` \
         nothing. *Reverse*: a payment refused with it is reversed all the same:\n\
         the card's bank may have debited.\n",
    );
    for (_, profile) in profiles() {
        let _ = write!(
            out,
            "\n## F39 of profile `{}`\n\n| F39 | class | again | reverse | 含义 | meaning | 下一步 | what to do \
             next |\n|---|---|---|---|---|---|---|---|\n",
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
    out.push_str(
        "\n## The terminal's own codes\n\n| code | 含义 | meaning | 下一步 | what to do next \
    |\n|---|---|---|---|---|\n",
    );
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
