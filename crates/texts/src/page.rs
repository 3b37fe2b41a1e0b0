//! An app's page as lines; its images decoded.
use crate::{Align, Barcode, Cell, Image, Line, Paper, Size, dots_of};
use base64::{Engine, prelude::BASE64_STANDARD};
use payterm_schema::{
    Fault,
    page::{IMAGE_MAX, Page, PageAlign, PageLine, PageSize, Symbology},
};

/// Dots that an image is high at most: 100 mm.
const HEIGHT_MAX: u32 = 800;

/// Checks what only the printer's width can tell: images and bar codes of the page fit `paper_mm`.
pub fn check_images(page: &Page, paper_mm: u8) -> Result<(), Fault> {
    let dots = dots_of(paper_mm);
    page.lines.iter().enumerate().try_for_each(|(i, line)| {
        let wrong = |key: &str, rule: String| Err(Fault::invalid(&format!("page.lines[{i}].{key}"), &rule));
        match line {
            PageLine::Image { png } => match image(png) {
                Err(rule) => wrong("png", rule),
                Ok(image) if usize::from(image.width) > dots => {
                    wrong("png", format!("up to {dots} dots wide on this paper"))
                }
                Ok(_) => Ok(()),
            },
            PageLine::Barcode { symbology, content } if !barcode(*symbology, content).fits(dots) => {
                wrong("content", format!("does not fit the {dots} dots of this paper"))
            }
            PageLine::Barcode { .. }
            | PageLine::Text { .. }
            | PageLine::Columns { .. }
            | PageLine::Rule
            | PageLine::Qr { .. }
            | PageLine::Feed { .. }
            | PageLine::Cut => Ok(()),
        }
    })
}

/// A PNG (ISO/IEC 15948) of any kind in base64. Its size is looked at before any dot is decoded.
fn image(base64: &str) -> Result<Image, String> {
    let wrong = |rule: &str| rule.to_owned();
    let bytes = BASE64_STANDARD.decode(base64).map_err(|_| "base64".to_owned())?;
    if bytes.len() > IMAGE_MAX {
        return Err(wrong("a PNG of up to 64 KiB"));
    }
    let limits = png::Limits { bytes: 4 << 20 };
    let bad = |e: png::DecodingError| format!("a PNG: {e}");
    let mut decoder = png::Decoder::new_with_limits(std::io::Cursor::new(bytes), limits);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(bad)?;
    let info = reader.info();
    let (Ok(width), Ok(height)) = (u16::try_from(info.width), u16::try_from(info.height)) else {
        return Err(wrong("up to 576 dots wide and 800 high"));
    };
    if usize::from(width) > dots_of(80) || u32::from(height) > HEIGHT_MAX {
        return Err(wrong("up to 576 dots wide and 800 high"));
    }
    let (kind, _) = reader.output_color_type();
    let mut dots = vec![0; usize::from(width) * usize::from(height) * kind.samples()];
    reader.next_frame(&mut dots).map_err(bad)?;
    Ok(Image { width, height, rows: black(&dots, kind.samples(), usize::from(width)) })
}

/// Rows of black dots of an 8-bit picture with 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 samples a dot. Paper
/// shines through; what a dot is too dark or too bright goes to its neighbours (Floyd and Steinberg).
fn black(dots: &[u8], samples: usize, width: usize) -> Vec<u8> {
    let bright = |dot: &[u8]| {
        let of = |i: usize| dot.get(i).copied().map_or(255, i32::from);
        // Luma by ITU-R BT.601.
        let grey = if samples < 3 { of(0) } else { (299 * of(0) + 587 * of(1) + 114 * of(2)) / 1000 };
        let alpha = if samples.is_multiple_of(2) { of(samples - 1) } else { 255 };
        (grey * alpha + 255 * (255 - alpha)) / 255
    };
    let mut rows = Vec::new();
    // What is left over for this row and the next, in sixteenths; one dot more at either side.
    let (mut now, mut next) = (vec![0; width + 2], vec![0; width + 2]);
    for row in dots.chunks_exact(width * samples) {
        let mut bytes = vec![0_u8; width.div_ceil(8)];
        for (x, dot) in row.chunks_exact(samples).enumerate() {
            let wanted = bright(dot) + now[x + 1] / 16;
            let is_black = wanted < 128;
            if is_black {
                bytes[x / 8] |= 0x80 >> (x % 8);
            }
            let left = wanted - if is_black { 0 } else { 255 };
            now[x + 2] += 7 * left;
            next[x] += 3 * left;
            next[x + 1] += 5 * left;
            next[x + 2] += left;
        }
        rows.extend(bytes);
        now = std::mem::replace(&mut next, vec![0; width + 2]);
    }
    rows
}

fn barcode(symbology: Symbology, content: &str) -> Barcode {
    match symbology {
        Symbology::Code128 => Barcode::Code128(content.into()),
        Symbology::Ean13 => Barcode::Ean13(content.into()),
    }
}

fn align(a: PageAlign) -> Align {
    match a {
        PageAlign::Left => Align::Left,
        PageAlign::Center => Align::Center,
        PageAlign::Right => Align::Right,
    }
}

/// The page as it was accepted; it ends with a cut.
pub(crate) fn page(page: &Page) -> Paper {
    let line = |line: &PageLine| {
        Some(match line {
            PageLine::Text { text, align: a, size, bold } => {
                let size = match size {
                    PageSize::Normal => Size::Normal,
                    PageSize::Double => Size::Double,
                };
                Line::Text { text: text.clone(), align: align(*a), size, bold: *bold }
            }
            PageLine::Columns { cells, bold } => {
                let cells = cells
                    .iter()
                    .map(|c| Cell { text: c.text.clone(), align: align(c.align), width: c.width })
                    .collect();
                Line::Columns { cells, bold: *bold }
            }
            PageLine::Rule => Line::Rule,
            PageLine::Barcode { symbology, content } => Line::Barcode(barcode(*symbology, content)),
            PageLine::Qr { content } => Line::Qr(content.clone()),
            PageLine::Image { png } => Line::Image(image(png).ok()?),
            PageLine::Feed { lines } => Line::Feed(*lines),
            PageLine::Cut => Line::Cut,
        })
    };
    let mut lines: Vec<Line> = page.lines.iter().filter_map(line).collect();
    if lines.last() != Some(&Line::Cut) {
        lines.extend([Line::Feed(3), Line::Cut]);
    }
    Paper { lines }
}
