//! Sentences of the card kernel (`crates/emv`, which speaks English only): each is found by its own words
//! among the English texts of `emv.ftl`, and said in another language by the text of the same id.
use crate::{
    Texts, clean,
    texts::{EN, EN_EMV},
};
use payterm_schema::config::Language;

impl Texts {
    /// A name or sentence of the kernel in this language. One that has no text stays in English.
    pub fn kernel(self, english: &str) -> String {
        self.found(english).unwrap_or_else(|| clean(english))
    }

    fn found(self, english: &str) -> Option<String> {
        // Digits, tags, abbreviations and names of commands are the same in all languages.
        if self.language() == Language::En || !english.contains(|c: char| c.is_ascii_lowercase()) {
            return Some(clean(english));
        }
        let forms = EN[EN_EMV].lines().filter_map(|line| line.split_once(" = "));
        forms.filter_map(|(id, form)| Some((id, places(form, english)?))).find_map(|(id, places)| {
            let said = places.into_iter().map(|(name, part)| Some((name, self.found(part)?)));
            let said: Vec<_> = said.collect::<Option<_>>()?;
            self.find(id, &said.iter().map(|(name, part)| (*name, part.as_str())).collect::<Vec<_>>())
        })
    }
}

/// What stands in the places (`{ $name }`) of a form, where the text is of it. A place ends where what
/// follows it in the form comes first.
fn places<'a>(form: &'static str, text: &'a str) -> Option<Vec<(&'static str, &'a str)>> {
    let mut pieces = form.split("{ $").peekable();
    let mut rest = text.strip_prefix(pieces.next()?)?;
    let mut all = Vec::new();
    while let Some(piece) = pieces.next() {
        let (name, behind) = piece.split_once(" }")?;
        let part;
        (part, rest) = match pieces.peek() {
            Some(_) => rest.split_once(behind)?,
            None => (rest.strip_suffix(behind)?, ""),
        };
        all.push((name, part));
    }
    rest.is_empty().then_some(all)
}
