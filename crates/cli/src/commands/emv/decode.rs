//! `paytermctl emv decode`.
use super::{bytes_of, objects};
use crate::{
    Failure,
    ui::{Ui, out},
};
use clap::Args;
use payterm_schema::Fault;

/// Shows data objects (BER-TLV): field 55 of a frame, an answer or a record of a card, an issuer's script.
///
/// Each object by name, its bits and lists in words. Card numbers are masked; names, tracks, certificates of
/// a card and what nobody knows are hidden.
#[derive(Args)]
pub struct Decode {
    /// Hexadecimal digits, with or without space; - = stdin, better for real card data.
    #[arg(default_value = "-")]
    hex: String,
}

impl Decode {
    pub fn run(self, ui: &Ui) -> Result<u8, Failure> {
        let bytes = bytes_of(self.hex, "tlv")?;
        let (all, broken) = objects::objects(&bytes, &[]);
        if let Some(objects::Broken { offset, why }) = broken {
            // Scripts get the fault alone.
            if !ui.json {
                out(objects::page(ui, &all, 0).trim_end());
            }
            return Err(Fault::invalid("tlv", &format!("byte {offset}: {why}")).into());
        }
        ui.result(&all, || objects::page(ui, &all, 0));
        Ok(0)
    }
}
