//! `paytermctl frame`.
use crate::{Failure, dispute, secret, ui::Ui};
use clap::Subcommand;
use payterm_hosts::Profile;
use payterm_schema::Fault;

#[derive(Subcommand)]
pub enum FrameAction {
    /// Shows a frame field by field, card data masked; what is not of the profile's form stands in its place.
    Decode {
        /// Built-in profile (unionpay, demo-x919) or a profile's file.
        #[arg(long)]
        profile: String,
        /// The frame with its length prefix, in hex; - reads it from stdin.
        hex: String,
    },
}

impl FrameAction {
    pub fn run(self, ui: &Ui) -> Result<u8, Failure> {
        let FrameAction::Decode { profile, hex } = self;
        let profile = match Profile::builtin(&profile) {
            Ok(p) => p,
            Err(unknown) if !std::path::Path::new(&profile).exists() => return Err(Failure::local(unknown)),
            Err(_) => Profile::parse(
                &std::fs::read_to_string(&profile).map_err(|e| Failure::Local(format!("{profile}: {e}")))?,
            )
            .map_err(Failure::local)?,
        };
        let text = secret::or_stdin(hex, "frame")?;
        let bytes = zeroize::Zeroizing::new(
            hex::decode(text.as_bytes())
                .map_err(|_| Fault::invalid("frame", "pairs of hexadecimal digits"))?,
        );
        let frame = payterm_hosts::take_apart(&profile, &bytes).map_err(Failure::local)?;
        let fields = payterm_hosts::trace_of(&profile, &frame);
        ui.result(&fields, || dispute::fields(&fields));
        frame.fault().map_or(Ok(0), |fault| Err(Failure::local(fault)))
    }
}
