//! Screens as lines of a display.
use crate::Texts;
use payterm_schema::Screen;

/// What a screen needs to know besides its page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScreenContext {
    /// Every screen says TEST.
    pub test: bool,
    /// Columns (16 or more; a CJK character takes two) and lines (2 to 8) of the display.
    pub columns: usize,
    pub lines: usize,
    pub utc_offset_minutes: i32,
    pub shop: String,
    /// Shown with failures; may be empty.
    pub service_phone: String,
}

impl Texts {
    /// The page as at most `ctx.lines` lines of at most `ctx.columns` columns, the most important first.
    pub fn screen(self, screen: &Screen, ctx: &ScreenContext) -> Vec<String> {
        let _ = (screen, ctx);
        Vec::new()
    }
}
