//! `paytermctl self-test`.
use crate::{Failure, args::Global, bus::Bus, ui::Ui};
use clap::Args;
use payterm_schema::{SelfTest as Report, Terminal, selftest::Verdict};

/// Tests devices, store, clock, keys and lines 自检.
#[derive(Args)]
pub struct SelfTest {
    /// On paper too.
    #[arg(long)]
    print: bool,
}

impl SelfTest {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let bus = Bus::connect(global, ui).await?;
        let mut report = bus.client.self_test(&bus.caller, self.print).await?;
        ui.texts.fill_self_test(&mut report);
        ui.result(&report, || page(ui, &report));
        Ok(match report.verdict {
            Verdict::Passed => 0,
            Verdict::Degraded => 20,
            Verdict::Failed => 21,
        })
    }
}

fn page(ui: &Ui, report: &Report) -> String {
    let rows = report
        .items
        .iter()
        .map(|i| [ui.texts.part_name(i), ui.texts.word(i.verdict), i.reason.clone(), i.remedy.clone()]);
    let head = ui.say("self-test-title", &[("verdict", &ui.texts.word(report.verdict))]);
    format!(
        "{head}  {}\n{}",
        ui.time(report.at),
        ui.table(["cli-part", "cli-verdict", "cli-reason", "cli-remedy"], rows)
    )
}
