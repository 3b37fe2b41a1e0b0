//! A paper as ESC/POS bytes.
//!
//! Commands used (Epson's command reference, names as there): `ESC @` initialise, `FS &` Chinese character
//! mode, `ESC a` justification, `GS !` character size, `ESC E` emphasis, `ESC d` feed lines, `GS ( k`
//! two-dimensional code (cn 49: QR), `GS k` bar code, `GS v 0` raster image, `GS V` cut, `ESC t` code page.
//! Texts are in the code page of the printer's model; the second bytes of GB18030 and GBK are 30 or more, so
//! a text never holds a byte below 20.
use crate::{Align, Barcode, Image, Letters, Paper, Size, columns_of, paper::Printed};
use payterm_schema::device::PrinterModel;

const ESC: u8 = 0x1b;
const GS: u8 = 0x1d;
const FS: u8 = 0x1c;
const LF: u8 = 0x0a;

/// A paper as a printer takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escpos {
    pub bytes: Vec<u8>,
    /// Characters that the printer lacks and that something else stands for.
    pub replaced: u32,
}

impl Paper {
    /// The bytes of one job for a printer with these characters; `paper_mm` is 58 or 80. Process ids
    /// (`GS ( H`) are the driver's.
    pub fn to_escpos(&self, paper_mm: u8, letters: &Letters) -> Escpos {
        let mut out = vec![ESC, b'@'];
        match letters.model {
            PrinterModel::Gb18030 | PrinterModel::Gbk => out.extend_from_slice(&[FS, b'&']),
            PrinterModel::Cp1252 => out.extend_from_slice(&[ESC, b't', 16]),
            PrinterModel::Cp437 => out.extend_from_slice(&[ESC, b't', 0]),
            PrinterModel::Ascii => {}
        }
        let mut now = (Align::Left, Size::Normal, false);
        let (lines, replaced) = self.layout(columns_of(paper_mm), letters);
        for line in lines {
            match line {
                Printed::Text { text, align, size, bold } => {
                    match letters.dots(&text, size.factor() as u16, bold) {
                        Some(image) => {
                            style(&mut out, &mut now, (align, Size::Normal, false));
                            raster(&mut out, &image);
                        }
                        None => {
                            style(&mut out, &mut now, (align, size, bold));
                            out.extend(text.chars().filter_map(|c| letters.bytes(c)).flatten());
                            out.push(LF);
                        }
                    }
                }
                Printed::Qr(content) => {
                    style(&mut out, &mut now, (Align::Center, Size::Normal, false));
                    qr(&mut out, content.as_bytes());
                }
                Printed::Barcode(code) => {
                    style(&mut out, &mut now, (Align::Center, Size::Normal, false));
                    barcode(&mut out, &code);
                }
                Printed::Image(image) => {
                    style(&mut out, &mut now, (Align::Center, Size::Normal, false));
                    raster(&mut out, &image);
                }
                Printed::Feed(n) => out.extend_from_slice(&[ESC, b'd', n]),
                // Function B: feed to the cutter, then a partial cut.
                Printed::Cut => out.extend_from_slice(&[GS, b'V', 66, 0]),
                // Connector pin 2; 50 ms on, at least 500 ms off.
                Printed::Drawer(_) => out.extend_from_slice(&[ESC, b'p', 0, 25, 250]),
            }
        }
        Escpos { bytes: out, replaced }
    }
}

fn raster(out: &mut Vec<u8>, image: &Image) {
    let [xl, xh] = image.width.div_ceil(8).to_le_bytes();
    let [yl, yh] = image.height.to_le_bytes();
    out.extend_from_slice(&[GS, b'v', b'0', 0, xl, xh, yl, yh]);
    out.extend_from_slice(&image.rows);
}

type Style = (Align, Size, bool);

/// Sends what differs from the style that holds.
fn style(out: &mut Vec<u8>, now: &mut Style, wanted: Style) {
    if now.0 != wanted.0 {
        let n = match wanted.0 {
            Align::Left => 0,
            Align::Center => 1,
            Align::Right => 2,
        };
        out.extend_from_slice(&[ESC, b'a', n]);
    }
    if now.1 != wanted.1 {
        let n = match wanted.1 {
            Size::Normal => 0x00,
            Size::Double => 0x11,
        };
        out.extend_from_slice(&[GS, b'!', n]);
    }
    if now.2 != wanted.2 {
        out.extend_from_slice(&[ESC, b'E', u8::from(wanted.2)]);
    }
    *now = wanted;
}

/// 80 dots high, 2 dots a module, its content below: `GS h`, `GS w`, `GS H`, `GS k` (function B, with its
/// length).
fn barcode(out: &mut Vec<u8>, code: &Barcode) {
    let content = code.content().as_bytes();
    let (m, data) = match code {
        Barcode::Ean13(_) => (67, content.to_vec()),
        Barcode::Code128(text) if Barcode::pairs(text) => {
            let pair = |p: &[u8]| p.iter().fold(0, |n, b| n * 10 + (b - b'0'));
            (73, [b"{C".to_vec(), content.chunks(2).map(pair).collect()].concat())
        }
        // `{` begins a code set; doubled it is itself.
        Barcode::Code128(text) => (73, [b"{B".to_vec(), text.replace('{', "{{").into_bytes()].concat()),
    };
    // At most 46 bytes of content, by the width of the paper.
    out.extend_from_slice(&[GS, b'h', 80, GS, b'w', 2, GS, b'H', 2, GS, b'k', m, data.len() as u8]);
    out.extend_from_slice(&data);
}

/// `GS ( k pL pH cn fn ...`: model 2, module size 5 dots, error correction M, store, print.
fn qr(out: &mut Vec<u8>, content: &[u8]) {
    let mut command = |function: u8, data: &[u8]| {
        // Content is at most QR_MAX bytes, so the length fits its two bytes.
        let [lo, hi] = (data.len() as u16 + 2).to_le_bytes();
        out.extend_from_slice(&[GS, b'(', b'k', lo, hi, 49, function]);
        out.extend_from_slice(data);
    };
    command(65, &[50, 0]);
    command(67, &[5]);
    command(69, &[49]);
    command(80, &[&[48], content].concat());
    command(81, &[48]);
}
