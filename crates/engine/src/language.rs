//! The terminal's language: one place, read whenever a text is made.
use payterm_schema::config::Language;
use payterm_texts::Texts;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Clones share it.
#[derive(Clone, Debug)]
pub struct Spoken {
    english: Arc<AtomicBool>,
}

impl Spoken {
    pub fn new(language: Language) -> Self {
        Self { english: Arc::new(AtomicBool::new(language == Language::En)) }
    }
    pub fn set(&self, language: Language) {
        self.english.store(language == Language::En, Ordering::Relaxed);
    }
    pub fn language(&self) -> Language {
        if self.english.load(Ordering::Relaxed) { Language::En } else { Language::ZhCn }
    }
    pub fn texts(&self) -> Texts {
        Texts::new(self.language())
    }
}
