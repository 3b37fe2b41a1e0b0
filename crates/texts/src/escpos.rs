//! A paper as ESC/POS bytes.
use crate::{Paper, columns_of};

impl Paper {
    /// The bytes of one job for a printer with a GB18030 font; `paper_mm` is 58 or 80. Process ids (`GS ( H`) are the driver's.
    pub fn to_escpos(&self, paper_mm: u8) -> Vec<u8> {
        let _ = columns_of(paper_mm);
        Vec::new()
    }
}
