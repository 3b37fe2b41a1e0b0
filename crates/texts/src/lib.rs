//! Texts, screens and papers, pure: `Outcome -> page`. No I/O, no clock; what is shown comes from `locales/` (Fluent) and `templates/` (minijinja).
//!
//! Invariant: nothing from a card, host, caller or config can become a printer command, a second line or a hidden character on a paper or a screen.
mod application;
mod escpos;
mod face;
mod markup;
mod paper;
mod screen;
mod slip;
mod texts;
mod words;

pub use paper::{Align, Line, Paper, QR_MAX, Size, columns_of};
pub use screen::ScreenContext;
pub use slip::{SlipContext, slip};
pub use texts::{Texts, clean};
pub use words::Word;
