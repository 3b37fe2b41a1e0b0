//! The glossary tells the truth about where a word lives, and the reference of the configuration about the
//! profiles that are built in.
use std::{fs, path::Path};

/// Text of a file, or of all files below a folder.
fn text(path: &Path) -> String {
    if path.is_file() {
        return fs::read_to_string(path).unwrap_or_default();
    }
    let inside = fs::read_dir(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    inside.map(|f| text(&f.unwrap().path())).collect()
}

/// Names that a part of a row gives with the place in which they are: `` `Half`, `Halves` in `path` ``.
fn placed(part: &str) -> Option<(Vec<&str>, &str)> {
    let (names, place) = part.rsplit_once(" in `")?;
    let names = names.split('`').skip(1).step_by(2).filter(|n| !n.contains('*'));
    Some((names.map(|n| n.rsplit("::").next().unwrap_or(n)).collect(), place.split('`').next()?))
}

fn is_word(text: &str, name: &str) -> bool {
    let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
    text.match_indices(name)
        .any(|(at, _)| edge(text[..at].chars().next_back()) && edge(text[at + name.len()..].chars().next()))
}

#[test]
fn each_word_is_in_the_file_that_the_glossary_gives() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = text(&root.join("docs/words.md"));
    let mut seen = 0;
    for row in page.lines() {
        for (names, place) in row.split([';', '|', '(']).filter_map(placed) {
            let source = text(&root.join(place));
            for name in names {
                assert!(is_word(&source, name), "docs/words.md: `{name}` is not in `{place}`");
                seen += 1;
            }
        }
    }
    assert!(seen > 70, "{seen}");
}

#[test]
fn the_configuration_names_each_built_in_profile() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = text(&root.join("docs/config.md"));
    let row = page.lines().find(|l| l.starts_with("| `profile` |")).unwrap();
    for file in fs::read_dir(root.join("crates/hosts/profiles")).unwrap() {
        let name = file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(row.contains(&format!("`{name}`")), "docs/config.md: profile {name}");
    }
}

#[test]
fn names_are_read_with_their_place() {
    assert_eq!(placed(" `Half`, `A::has` in `schema/src` "), Some((vec!["Half", "has"], "schema/src")));
    assert_eq!(placed(" `found-*` in `crates` "), Some((vec![], "crates")));
    assert_eq!(placed(" config `[[account]]` "), None);
    assert!(is_word("fn has(self)", "has") && !is_word("hash, _has, hast", "has"));
}
