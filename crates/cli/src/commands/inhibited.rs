//! `paytermctl inhibited`.
use crate::{
    Failure,
    args::{Global, inhibit_reason},
    bus::Bus,
    show::inhibits,
    ui::Ui,
};
use clap::Args;
use futures_util::StreamExt;
use payterm_schema::{Fault, InhibitReason, Notice, Terminal};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Exit status when the terminal may be neither updated nor restarted.
const INHIBITED: u8 = 30;
/// A notice may have been lost.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// A terminal that is not there is looked for this often while it is waited for.
const KNOCK_AGAIN: Duration = Duration::from_secs(1);

/// Tells whether the terminal may be updated or restarted now: exit status 0, else 30 and why not.
#[derive(Args)]
pub struct Inhibited {
    /// Wait until it may be, at most so many seconds; without a number as long as it takes.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "4294967295")]
    wait: Option<u32>,
    /// A reason that does not count: payment, unknown, obligation, queue, settlement, stuck, restoring.
    /// May be given several times.
    #[arg(long, value_name = "REASON", value_parser = inhibit_reason)]
    except: Vec<InhibitReason>,
}

impl Inhibited {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let until = Instant::now() + Duration::from_secs(u64::from(self.wait.unwrap_or(0)));
        let reasons = loop {
            match free(global, ui, until, &self.except).await {
                Ok(reasons) => break reasons,
                Err(Fault::Unreachable { .. } | Fault::Restarting { .. } | Fault::ShuttingDown)
                    if Instant::now() + KNOCK_AGAIN < until =>
                {
                    sleep(KNOCK_AGAIN).await
                }
                Err(fault) => return Err(fault.into()),
            }
        };
        ui.result(&serde_json::json!({"inhibited": !reasons.is_empty(), "reasons": reasons}), || {
            inhibits(ui, &reasons)
        });
        Ok(if reasons.is_empty() { 0 } else { INHIBITED })
    }
}

/// The reasons that are left at `until`, or none before.
async fn free(
    global: &Global,
    ui: &Ui,
    until: Instant,
    except: &[InhibitReason],
) -> Result<Vec<InhibitReason>, Fault> {
    let client = Bus::connect(global, ui).await?.client;
    // First the ear, then the look.
    let mut notices = client.notices();
    loop {
        let mut reasons = client.info().await?.inhibit_reasons.clone();
        reasons.retain(|r| !except.contains(r));
        let left = until.saturating_duration_since(Instant::now());
        if reasons.is_empty() || left.is_zero() {
            return Ok(reasons);
        }
        let changed = async {
            while let Some(notice) = notices.next().await {
                if matches!(notice, Notice::Inhibited { .. }) {
                    return true;
                }
            }
            false
        };
        if !timeout(left.min(LOOK_AGAIN), changed).await.unwrap_or(true) {
            return Err(Fault::Unreachable { cause: "the connection was lost".into() });
        }
    }
}
