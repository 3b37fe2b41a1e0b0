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

/// A 1-bit greyscale PNG (ISO/IEC 15948) in base64. Size and kind are looked at before any dot is decoded.
fn image(base64: &str) -> Result<Image, String> {
    let wrong = |rule: &str| rule.to_owned();
    let bytes = BASE64_STANDARD.decode(base64).map_err(|_| "base64".to_owned())?;
    if bytes.len() > IMAGE_MAX {
        return Err(wrong("a PNG of up to 64 KiB"));
    }
    let limits = png::Limits { bytes: 1 << 20 };
    let mut reader = png::Decoder::new_with_limits(std::io::Cursor::new(bytes), limits)
        .read_info()
        .map_err(|e| format!("a PNG: {e}"))?;
    let info = reader.info();
    if (info.color_type, info.bit_depth) != (png::ColorType::Grayscale, png::BitDepth::One) {
        return Err(wrong("a PNG of 1-bit greyscale"));
    }
    let (Ok(width), Ok(height)) = (u16::try_from(info.width), u16::try_from(info.height)) else {
        return Err(wrong("up to 576 dots wide and 800 high"));
    };
    if usize::from(width) > dots_of(80) || u32::from(height) > HEIGHT_MAX {
        return Err(wrong("up to 576 dots wide and 800 high"));
    }
    let mut rows = vec![0; usize::from(width).div_ceil(8) * usize::from(height)];
    reader.next_frame(&mut rows).map_err(|e| format!("a PNG: {e}"))?;
    // A PNG's 0 is black, and what stands behind its last dot is anything.
    let last = 0xff_u8 << ((8 - width % 8) % 8);
    let bytes = usize::from(width).div_ceil(8);
    rows.iter_mut()
        .enumerate()
        .for_each(|(i, b)| *b = !*b & if i % bytes + 1 == bytes { last } else { 0xff });
    Ok(Image { width, height, rows })
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
