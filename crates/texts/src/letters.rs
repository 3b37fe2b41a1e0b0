//! The characters of a paper as its printer has them: its own, a twin that says the same, dots of the shop's
//! font, or a stand-in that is counted. Never another word without a sign.
use crate::{Image, clean, font::Font};
use encoding_rs::{Encoding, GB18030, GBK, WINDOWS_1252};
use payterm_schema::device::PrinterModel;
use std::{cell::Cell, sync::Arc};
use unicode_normalization::UnicodeNormalization;
use unicode_width::UnicodeWidthChar;

/// Upper half of code page 437, from 80.
const CP437: &str = "\
    ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»\
    ░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
    αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■";

/// Characters of a printer: those of its model, and the shop's font for all others.
#[derive(Clone, Default)]
pub struct Letters {
    pub model: PrinterModel,
    pub font: Option<Arc<Font>>,
}

impl Letters {
    /// Bytes of a character; none: the printer lacks it.
    pub(crate) fn bytes(&self, c: char) -> Option<Vec<u8>> {
        let by = |page: &'static Encoding| {
            let mut buffer = [0; 4];
            let (bytes, _, lacks) = page.encode(c.encode_utf8(&mut buffer));
            (!lacks).then(|| bytes.into_owned())
        };
        match self.model {
            _ if c.is_ascii() => Some(vec![c as u8]),
            // Private use has no agreed glyph; U+E5E5, the one that GB18030 does not map, is in there.
            _ if matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..) => None,
            PrinterModel::Gb18030 => by(GB18030).filter(|b| b.len() == 2 || c.is_alphanumeric()),
            // Its one byte for the euro is no character of a printer.
            PrinterModel::Gbk => by(GBK).filter(|b| b.len() == 2),
            PrinterModel::Cp1252 => by(WINDOWS_1252),
            PrinterModel::Cp437 => CP437.chars().zip(0x80..).find_map(|(own, b)| (own == c).then(|| vec![b])),
            PrinterModel::Ascii => None,
        }
    }
    fn has(&self, c: char) -> bool {
        self.bytes(c).is_some()
    }
    /// Columns of a character on paper, 12 dots each.
    pub(crate) fn width(&self, c: char) -> usize {
        match c {
            _ if c.is_ascii() => 1,
            _ if self.model.has_chinese() => 2,
            _ if self.has(c) => 1,
            _ => c.width().unwrap_or(1).clamp(1, 2),
        }
    }
    pub(crate) fn width_of(&self, text: &str) -> usize {
        text.chars().map(|c| self.width(c)).sum()
    }

    /// A text that this printer can print, as one line; characters that are replaced are counted.
    pub(crate) fn printable(&self, text: &str, replaced: &Cell<u32>) -> String {
        let mut out = String::new();
        for c in clean(text).chars() {
            if self.has(c) {
                out.push(c);
            } else if let Some(twin) = self.twin(c) {
                out.push_str(&twin);
            } else if self.font.as_ref().is_some_and(|f| f.has(c)) {
                out.push(c);
            } else {
                replaced.set(replaced.get() + 1);
                let base = c.nfd().next().filter(char::is_ascii_alphanumeric);
                out.push(base.unwrap_or('?'));
            }
        }
        out
    }

    /// What says the same in characters of the printer.
    fn twin(&self, c: char) -> Option<String> {
        if let '\u{ff01}'..='\u{ff5e}' = c {
            return char::from_u32(u32::from(c) - 0xfee0).map(String::from);
        }
        let words: &[&str] = match c {
            '\u{a5}' => &["\u{ffe5}"],
            '\u{ffe5}' => &["\u{a5}"],
            '\u{a3}' => &["\u{ffe1}", "GBP"],
            '\u{ffe1}' => &["\u{a3}", "GBP"],
            '\u{a2}' => &["\u{ffe0}", "c"],
            '\u{ffe0}' => &["\u{a2}", "c"],
            '€' => &["EUR"],
            '₩' | '\u{ffe6}' => &["KRW"],
            '₽' => &["RUB"],
            '₹' => &["INR"],
            '₫' => &["VND"],
            '₱' => &["PHP"],
            '฿' => &["THB"],
            '\u{2022}' | '\u{30fb}' | '\u{2219}' => &["\u{b7}", "*"],
            '\u{b7}' => &["*"],
            '\u{301c}' | '\u{223c}' => &["\u{ff5e}", "~"],
            '™' => &["(TM)"],
            '®' => &["(R)"],
            '©' => &["(C)"],
            '℠' => &["(SM)"],
            '№' => &["No."],
            '℃' => &["\u{b0}C"],
            '…' => &["..."],
            '\u{2010}' | '\u{2011}' | '\u{2012}' | '\u{2013}' | '\u{2212}' => &["-"],
            '\u{2014}' | '\u{2015}' => &["--"],
            '\u{2018}' | '\u{2019}' | '\u{2032}' => &["'"],
            '\u{201c}' | '\u{201d}' | '\u{2033}' => &["\""],
            '×' => &["x"],
            '¼' => &["1/4"],
            '½' => &["1/2"],
            '¾' => &["3/4"],
            _ => &[],
        };
        words.iter().find(|w| w.chars().all(|c| self.has(c))).map(|w| (*w).to_owned())
    }

    /// Dots of a line with characters that the printer has not; none: it prints the line itself.
    pub(crate) fn dots(&self, text: &str, factor: u16, bold: bool) -> Option<Image> {
        let font = self.font.as_ref().filter(|_| text.chars().any(|c| !self.has(c)))?;
        Some(font.line(text, |c| self.width(c), factor, bold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(model: PrinterModel, text: &str) -> (String, u32) {
        let replaced = Cell::new(0);
        let letters = Letters { model, font: None };
        (letters.printable(text, &replaced), replaced.get())
    }

    #[test]
    fn each_model_has_its_characters_a_twin_or_counts() {
        use PrinterModel::{Ascii, Cp437, Cp1252, Gb18030, Gbk};
        for (model, text, shown, replaced) in [
            // Composed first: decomposed Hangul and kana, and a letter with its accent.
            (Gb18030, "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}", "한글", 0),
            (Gb18030, "\u{30ab}\u{3099}\u{30d2}\u{309a}", "ガピ", 0),
            (Gb18030, "cafe\u{301}", "café", 0),
            (Cp437, "cafe\u{301}", "café", 0),
            (Gbk, "\u{30ab}\u{3099}", "ガ", 0),
            // A mark that composes with nothing does not go without a sign.
            (Gb18030, "q\u{303}", "q?", 1),
            (Gb18030, "1\u{a0}234\u{202f}567\u{2009}x", "1 234 567 x", 0),
            (Gb18030, "¥£¢•〜™®", "\u{ffe5}\u{ffe1}\u{ffe0}\u{b7}\u{ff5e}(TM)(R)", 0),
            (Gbk, "¥£¢•〜™®", "\u{ffe5}\u{ffe1}\u{ffe0}\u{b7}\u{ff5e}(TM)(R)", 0),
            (Cp1252, "¥£¢•〜™®", "¥£¢•~™®", 0),
            (Cp437, "¥£¢•〜™®", "¥£¢\u{b7}~(TM)(R)", 0),
            (Ascii, "£¢•〜™®½", "GBPc*~(TM)(R)1/2", 0),
            (Ascii, "¥5", "?5", 1),
            (Gbk, "€5", "EUR5", 0),
            (Gb18030, "€5 龘䶮", "€5 龘䶮", 0),
            (Gbk, "龘 ñ 한", "龘 n ?", 2),
            (Cp1252, "面 A 100%", "? A 100%", 1),
            (Cp437, "ñ ÿ ő", "ñ ÿ o", 1),
            (Gb18030, "a\u{1f600}b\u{e000}\u{e5e5}", "a?b??", 3),
            (Ascii, "1\u{fe0f}\u{202e}2", "12", 0),
        ] {
            assert_eq!(printed(model, text), (shown.to_owned(), replaced), "{model:?} {text:?}");
        }
    }

    #[test]
    fn a_code_page_is_one_byte_a_character() {
        let page = |model| Letters { model, font: None };
        assert_eq!(CP437.chars().count(), 127);
        assert_eq!(page(PrinterModel::Cp437).bytes('é'), Some(vec![0x82]));
        assert_eq!(page(PrinterModel::Cp437).bytes('■'), Some(vec![0xfe]));
        assert_eq!(page(PrinterModel::Cp1252).bytes('€'), Some(vec![0x80]));
        assert_eq!(page(PrinterModel::Cp437).width_of("é面"), 3);
        assert_eq!(page(PrinterModel::Gbk).width_of("é面"), 4);
    }
}
