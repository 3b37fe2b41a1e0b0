//! Printers: their state, and one paper at a time.
use crate::DeviceError;
use payterm_schema::{
    device::{Confirm, PrinterModel},
    paper::PrintResult,
    selftest::{Finding, Verdict},
};
use std::time::Duration;

/// Paper that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaperLevel {
    Enough,
    NearEnd,
    Out,
}

/// Problem of a printer that has no paper.
pub const PAPER_OUT: &str = "paper out";
/// Problem of a printer that takes what it is sent and answers nothing.
const MUTE: &str =
    "it answers nothing: is it switched on? One that never can needs confirm = \"none\" in [device.options]";

/// State of a printer. A printer without a back-channel is always reported as working.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrinterStatus {
    pub online: bool,
    pub paper: PaperLevel,
    pub cover_open: bool,
    /// Fault of cutter, temperature or another part, in words.
    pub error: Option<String>,
    /// Way in which it says that a paper is out; none: not found out yet. With [`Confirm::None`] it is not
    /// asked, and all of the above is assumed; or it is mute, and not online.
    pub confirms: Option<Confirm>,
}
impl PrinterStatus {
    /// State of a printer against which nothing is known.
    pub const fn works(confirms: Option<Confirm>) -> Self {
        Self { online: true, paper: PaperLevel::Enough, cover_open: false, error: None, confirms }
    }
    /// State of a printer that should answer and says nothing.
    pub fn mute() -> Self {
        Self { online: false, ..Self::works(Some(Confirm::None)) }
    }
    /// Problem for which nothing can be printed now.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self { cover_open: true, .. } => Some("cover open".into()),
            Self { paper: PaperLevel::Out, .. } => Some(PAPER_OUT.into()),
            Self { error: Some(e), .. } => Some(e.clone()),
            Self { online: false, confirms: Some(Confirm::None), .. } => Some(MUTE.into()),
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
            Self { online: false, confirms: Some(Confirm::None), .. } => Finding::failed("printer-mute"),
            Self { online: false, .. } => Finding::failed("printer-offline"),
            Self { paper: PaperLevel::NearEnd, .. } => Finding::degraded("paper-near-end"),
            Self { confirms: Some(Confirm::ProcessId), .. } => {
                Finding::new(Verdict::Passed, "confirms-papers")
            }
            Self { confirms: Some(Confirm::Status), .. } => Finding::new(Verdict::Passed, "confirms-status"),
            // It cannot be asked: nothing is known against it.
            Self { confirms: Some(Confirm::None), .. } => Finding::new(Verdict::Passed, "not-askable"),
            Self { confirms: None, .. } => Finding::works(),
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
    /// The pulse that opens a drawer: there is no paper, and it is not done again. Once its bytes are taken
    /// it counts as done.
    pub drawer: bool,
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

/// Resting printer is asked for its state this often.
pub(crate) const RESTING: Duration = Duration::from_secs(3);

/// Printer. Every wait is bounded by `command_timeout_ms` of the device.
pub trait Printer: Send {
    /// Width for which jobs are laid out. It does not change while the driver is open.
    fn paper_width(&self) -> PaperWidth {
        PaperWidth::default()
    }
    /// Characters that the printer has. They do not change while the driver is open.
    fn model(&self) -> PrinterModel {
        PrinterModel::default()
    }
    /// State of the printer now; of one that is not asked at each call, because others use it too, as it was
    /// last heard.
    fn status(&mut self) -> Result<PrinterStatus, DeviceError>;
    /// Time after which a printer that rests is to be asked for its state again. Default 3 s.
    fn rest(&self) -> Duration {
        RESTING
    }
    /// Prints, and waits for the confirmation. Every call is an attempt of its own: an answer to an earlier
    /// one is never taken for this one's. Returns within the device's `command_timeout_ms`.
    fn print(&mut self, job: &PrintJob) -> PrintResult;
    /// Tests the printer without printing. Default: what [`Printer::status`] says.
    fn self_test(&mut self) -> Result<Finding, DeviceError> {
        self.status().map(|s| s.finding())
    }
}
