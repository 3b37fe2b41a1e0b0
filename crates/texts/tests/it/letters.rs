//! Printers of other models, and the shop's font for what they lack.
use payterm_schema::device::PrinterModel;
use payterm_texts::{Align, Cell, Font, Letters, Line, Paper, Size};
use std::sync::Arc;

fn u16s(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|v| (*v as u16).to_be_bytes()).collect()
}
fn u32s(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_be_bytes()).collect()
}
/// A TrueType font whose characters fill their cells: `A`, half as wide as high, and 中, as wide as high.
fn font() -> Vec<u8> {
    let full = |wide: i32| {
        let head = u16s(&[1, 0, -200, wide, 800, 3, 0]);
        [head, vec![1; 4], u16s(&[0, wide, 0, -wide, -200, 0, 1000, 0])].concat()
    };
    let (narrow, wide) = (full(500), full(1000));
    let size = narrow.len() as u32;
    let cmap = [
        u16s(&[0, 1, 3, 10]),
        u32s(&[12]),
        u16s(&[12, 0]),
        u32s(&[16 + 24, 0, 2, 0x41, 0x41, 1, 0x4e2d, 0x4e2d, 2]),
    ];
    let head = [
        u32s(&[0x1_0000, 0x1_0000, 0, 0x5f0f_3cf5]),
        u16s(&[0, 1000]),
        vec![0; 16],
        u16s(&[0, -200, 1000, 800, 0, 8, 2, 1, 0]),
    ];
    let hhea = [u32s(&[0x1_0000]), u16s(&[800, -200, 0, 1000, 0, 0, 1000, 1, 0, 0, 0, 0, 0, 0, 0, 3])];
    let tables = [
        (b"cmap", cmap.concat()),
        (b"glyf", [narrow, wide].concat()),
        (b"head", head.concat()),
        (b"hhea", hhea.concat()),
        (b"hmtx", u16s(&[500, 0, 500, 0, 1000, 0])),
        (b"loca", u32s(&[0, 0, size, 2 * size])),
        (b"maxp", [u32s(&[0x5000]), u16s(&[3])].concat()),
    ];
    let mut file = [u32s(&[0x1_0000]), u16s(&[7, 64, 2, 48])].concat();
    let (mut at, mut bodies) = (12 + 16 * 7, Vec::new());
    for (tag, body) in tables {
        file.extend(tag);
        file.extend(u32s(&[0, at + bodies.len() as u32, body.len() as u32]));
        bodies.extend(body);
        bodies.resize(bodies.len().next_multiple_of(4), 0);
    }
    at = file.len() as u32;
    assert_eq!(at, 12 + 16 * 7);
    [file, bodies].concat()
}

fn text(text: &str, size: Size, bold: bool) -> Paper {
    Paper { lines: vec![Line::Text { text: text.into(), align: Align::Left, size, bold }] }
}
/// GS v 0 with its size in bytes and rows.
fn image(wide: u8, high: u8) -> [u8; 8] {
    [0x1d, b'v', b'0', 0, wide, 0, high, 0]
}

#[test]
fn a_line_that_the_printer_lacks_is_drawn() {
    let font = Some(Arc::new(Font::new(font()).unwrap()));
    let letters = Letters { model: PrinterModel::Cp437, font };
    let made = text("A中", Size::Normal, false).to_escpos(58, &letters);
    assert_eq!(made.replaced, 0);
    let (head, rows) = made.bytes.split_at(5 + 8);
    assert_eq!(head, [&b"\x1b@\x1bt\x00"[..], &image(5, 30)].concat());
    let (black, white) = rows.split_at(5 * 24);
    assert!(black.chunks(5).all(|row| row == [0xff, 0xff, 0xff, 0xff, 0xf0]), "{black:02x?}");
    assert_eq!(white, [0; 5 * 6]);

    let made = text("A中", Size::Double, false).to_escpos(58, &letters);
    let (head, rows) = made.bytes.split_at(5 + 8);
    assert_eq!(head[5..], image(9, 54));
    assert!(rows[..9 * 48].iter().all(|b| *b == 0xff) && rows[9 * 48..] == [0; 9 * 6]);

    // A line of its own characters is left to the printer; what the font lacks is counted.
    let own = text("Aé", Size::Normal, true).to_escpos(58, &letters);
    assert_eq!((own.bytes.as_slice(), own.replaced), (&b"\x1b@\x1bt\x00\x1bE\x01A\x82\n"[..], 0));
    assert_eq!(text("A面中", Size::Normal, false).to_escpos(58, &letters).replaced, 1);
    assert!(Font::new(b"no font".to_vec()).is_none());
}

#[test]
fn each_model_prints_in_its_page_and_counts_what_it_lacks() {
    for (model, bytes, replaced) in [
        (PrinterModel::Gb18030, &b"\x1b@\x1c&\xc3\xe6 5\xa2\xe3\n"[..], 0),
        (PrinterModel::Gbk, b"\x1b@\x1c&\xc3\xe6 5EUR\n", 0),
        (PrinterModel::Cp1252, b"\x1b@\x1bt\x10? 5\x80\n", 1),
        (PrinterModel::Cp437, b"\x1b@\x1bt\x00? 5EUR\n", 1),
        (PrinterModel::Ascii, b"\x1b@? 5EUR\n", 1),
    ] {
        let made = text("面 5€", Size::Normal, false).to_escpos(58, &Letters { model, font: None });
        assert_eq!((made.bytes.as_slice(), made.replaced), (bytes, replaced), "{model:?}");
    }
    // In a row and in columns too, each once.
    let cell = |text: &str| Cell { text: text.into(), align: Align::Right, width: 1 };
    let lines = vec![
        Line::Row { left: "面".into(), right: "é面".into(), bold: false },
        Line::Columns { cells: vec![cell("é"), cell("面")], bold: false },
    ];
    let made = Paper { lines }.to_escpos(58, &Letters { model: PrinterModel::Cp437, font: None });
    assert_eq!(made.replaced, 3);
    let row = made.bytes.split(|b| *b == b'\n').nth(1).unwrap();
    assert_eq!((row.len(), row[15], row[31]), (32, 0x82, b'?'), "a character of its page is one column");
}
