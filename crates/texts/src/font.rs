//! The shop's font: characters as dots, for what a printer has no character for.
use crate::Image;
use ab_glyph::{Font as _, FontVec, PxScale, ScaleFont as _, point};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

/// Dots that a character is high, and those of its line with the gap below.
const HIGH: u16 = 24;
const LINE: u16 = 30;
/// Dots of a column.
const COLUMN: u16 = 12;
/// Characters whose dots are kept. 512: those of a shop's slips.
const KEPT: usize = 512;
/// Share of a dot that must be covered for it to be black: thin strokes stay.
const BLACK: f32 = 0.4;

/// TrueType or OpenType font, with the dots of the characters that were last printed.
pub struct Font {
    face: FontVec,
    kept: Mutex<Kept>,
}
/// Dots of a character, by its size; the oldest go first.
#[derive(Default)]
struct Kept {
    glyphs: HashMap<(char, u16), Arc<[u64]>>,
    order: VecDeque<(char, u16)>,
}

impl Font {
    /// Font of a file's bytes, the first one of a collection; none: they are no font.
    pub fn new(file: Vec<u8>) -> Option<Self> {
        let face = FontVec::try_from_vec_and_index(file, 0).ok()?;
        Some(Self { face, kept: Mutex::default() })
    }
    pub(crate) fn has(&self, c: char) -> bool {
        self.face.glyph_id(c).0 != 0
    }

    /// A line of text in cells of so many columns a character; `factor` is 2 for double size.
    pub(crate) fn line(&self, text: &str, columns: impl Fn(char) -> usize, factor: u16, bold: bool) -> Image {
        let cell = |c: char| columns(c) as u16 * COLUMN * factor;
        let width: u16 = text.chars().map(cell).sum();
        let height = (LINE - HIGH + HIGH * factor).max(LINE);
        let bytes = usize::from(width).div_ceil(8);
        let mut rows = vec![0; bytes * usize::from(height)];
        let mut left = 0;
        for c in text.chars() {
            for (y, dots) in self.glyph(c, cell(c), factor).iter().enumerate() {
                let dots = if bold { dots | dots >> 1 } else { *dots };
                for x in (0..cell(c)).filter(|x| dots << x >> 63 == 1) {
                    let x = usize::from(left + x);
                    rows[y * bytes + x / 8] |= 0x80 >> (x % 8);
                }
            }
            left += cell(c);
        }
        Image { width, height, rows }
    }

    /// Rows of a character, the left dot in the highest bit: `width` dots, at most 48.
    fn glyph(&self, c: char, width: u16, factor: u16) -> Arc<[u64]> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rows) = kept.glyphs.get(&(c, factor)) {
            return rows.clone();
        }
        let rows = self.drawn(c, width, factor);
        if kept.order.len() == KEPT
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.glyphs.remove(&oldest);
        }
        kept.order.push_back((c, factor));
        kept.glyphs.insert((c, factor), rows.clone());
        rows
    }
    fn drawn(&self, c: char, width: u16, factor: u16) -> Arc<[u64]> {
        let mut rows = vec![0_u64; usize::from(HIGH * factor)];
        let high = f32::from(HIGH * factor);
        let id = self.face.glyph_id(c);
        let advance = self.face.as_scaled(high).h_advance(id).max(1.0);
        // Too wide a character is made as narrow as its cell, and a narrow one stands in its middle.
        let squeeze = (f32::from(width) / advance).min(1.0);
        let scale = PxScale { x: high * squeeze, y: high };
        let left = (f32::from(width) - advance * squeeze) / 2.0;
        let ascent = self.face.as_scaled(scale).ascent();
        if let Some(outline) = self.face.outline_glyph(id.with_scale_and_position(scale, point(left, ascent)))
        {
            let at = outline.px_bounds().min;
            outline.draw(|x, y, covered| {
                let (x, y) = (at.x as i64 + i64::from(x), at.y as i64 + i64::from(y));
                let row = usize::try_from(y).ok().and_then(|y| rows.get_mut(y));
                if let (Some(row), 0.., true) = (row, x, covered >= BLACK && x < i64::from(width)) {
                    *row |= 1 << (63 - x);
                }
            });
        }
        rows.into()
    }
}
