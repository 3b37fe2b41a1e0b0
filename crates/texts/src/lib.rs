//! Texts, screens and papers, pure: `Outcome -> page`. No I/O, no clock; what is shown comes from `locales/`
//! (Fluent) and `templates/` (minijinja).
//!
//! Invariant: nothing from a card, host, caller or config can become a printer command, a second line or a
//! hidden character on a paper or a screen.
mod amount_words;
mod escpos;
mod face;
mod faults;
mod font;
mod kernel;
mod letters;
mod markup;
mod onboarding;
mod page;
mod paper;
mod report;
mod sample;
mod screen;
mod selftest;
mod slip;
mod templates;
mod texts;
mod words;

pub use escpos::Escpos;
pub use faults::rule_id;
pub use font::Font;
pub use letters::Letters;
pub use page::check_images;
pub use paper::{Align, Barcode, Cell, Image, Line, Paper, QR_MAX, Size, columns_of, dots_of};
pub use screen::{Audience, ScreenContext};
pub use slip::{SlipContext, VARIABLES, slip};
pub use templates::{TEMPLATE_MAX, TemplateFault, Templates};
pub use texts::{Texts, clean};
pub use words::Word;
