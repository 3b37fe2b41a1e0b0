//! Printers: their state, and one paper at a time.
use crate::DeviceError;
use payterm_schema::{
    paper::PrintResult,
    selftest::{Finding, Verdict},
};

/// Paper that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaperLevel {
    Enough,
    NearEnd,
    Out,
}

/// State of a printer. A printer without a back-channel is always reported as working.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrinterStatus {
    pub online: bool,
    pub paper: PaperLevel,
    pub cover_open: bool,
    /// Fault of cutter, temperature or another part, in words.
    pub error: Option<String>,
    /// The printer can answer; false: all of the above is assumed.
    pub back_channel: bool,
}
impl PrinterStatus {
    /// Problem for which nothing can be printed now.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self { cover_open: true, .. } => Some("cover open".into()),
            Self { paper: PaperLevel::Out, .. } => Some("paper out".into()),
            Self { error: Some(e), .. } => Some(e.clone()),
            Self { online: false, .. } => Some("offline".into()),
            Self { .. } => None,
        }
    }
    /// State as a finding of the self-test; paper near its end is one too.
    pub fn finding(&self) -> Finding {
        match self {
            Self { cover_open: true, .. } => Finding::failed("cover-open"),
            Self { paper: PaperLevel::Out, .. } => Finding::failed("paper-out"),
            Self { error: Some(e), .. } if e.contains("cutter") => Finding::failed("cutter"),
            Self { error: Some(e), .. } => Finding::failed("printer-error").with("why", e),
            Self { online: false, .. } => Finding::failed("printer-offline"),
            Self { paper: PaperLevel::NearEnd, .. } => Finding::degraded("paper-near-end"),
            // It cannot be asked: nothing is known against it.
            Self { back_channel: false, .. } => Finding::new(Verdict::Passed, "not-askable"),
            Self { .. } => Finding::works(),
        }
    }
}

/// Paper in both forms; a driver takes the one that its device understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrintJob {
    pub id: u64,
    /// Bytes of ESC/POS, cut included.
    pub escpos: Vec<u8>,
    /// Lines of text.
    pub text: String,
}

/// Width of the paper in mm: 58 or 80. Default 58.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "u8")]
pub struct PaperWidth(u8);
impl PaperWidth {
    pub const fn mm(self) -> u8 {
        self.0
    }
}
impl Default for PaperWidth {
    fn default() -> Self {
        Self(58)
    }
}
impl TryFrom<u8> for PaperWidth {
    type Error = &'static str;
    fn try_from(mm: u8) -> Result<Self, Self::Error> {
        if matches!(mm, 58 | 80) { Ok(Self(mm)) } else { Err("58 or 80") }
    }
}

/// Printer. Every wait is bounded by `command_timeout_ms` of the device.
pub trait Printer: Send {
    /// Width for which jobs are laid out. It does not change while the driver is open.
    fn paper_width(&self) -> PaperWidth {
        PaperWidth::default()
    }
    /// State of the printer now.
    fn status(&mut self) -> Result<PrinterStatus, DeviceError>;
    /// Prints, and waits for the confirmation. Every call is an attempt of its own: an answer to an earlier
    /// one is never taken for this one's. Returns within the device's `command_timeout_ms`.
    fn print(&mut self, job: &PrintJob) -> PrintResult;
    /// Tests the printer without printing. Default: what [`Printer::status`] says.
    fn self_test(&mut self) -> Result<Finding, DeviceError> {
        self.status().map(|s| s.finding())
    }
}
