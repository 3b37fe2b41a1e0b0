//! Papers from outcomes, by template.
use crate::Paper;
use payterm_schema::{config::Language, paper::PaperJob};

/// What a slip needs to know besides its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlipContext {
    pub language: Language,
    /// Minutes east of UTC.
    pub utc_offset_minutes: i32,
    /// May be empty.
    pub service_phone: String,
    /// Content of the QR code with `{rrn}`, `{stan}`, `{batch}`, `{merchant}`, `{terminal}`, `{amount}`; empty = none (`paper.qr`).
    pub qr: String,
    /// Heads the paper with DUPLICATE: it may be out already.
    pub duplicate: bool,
    /// Name of the acquirer by the profile; empty = its number from the host (F32) is shown.
    pub acquirer_name: String,
}

/// The paper of a job. It always comes out: when a template fails, as a plain list of the same facts.
pub fn slip(job: &PaperJob, ctx: &SlipContext) -> Paper {
    let _ = (job, ctx);
    Paper::default()
}
