//! `paytermctl papers`.
use crate::{
    Failure,
    args::Global,
    bus::Bus,
    show::{amount, paper_of, shown},
    ui::Ui,
};
use clap::{Args, Subcommand};
use payterm_schema::{Terminal, paper::PaperJob};

#[derive(Subcommand)]
pub enum PapersAction {
    /// Decides on a held paper (managers).
    Release {
        job: u64,
        #[command(flatten)]
        how: Release,
    },
}

#[derive(Args)]
#[group(id = "decision", required = true, multiple = false)]
pub struct Release {
    /// Print it again, headed as a duplicate.
    #[arg(long)]
    pub print: bool,
    /// Give it up.
    #[arg(long)]
    pub drop: bool,
}

pub async fn run(global: &Global, ui: &Ui, action: Option<PapersAction>) -> Result<u8, Failure> {
    let bus = Bus::connect(global, ui).await?;
    match action {
        None => {
            let all = bus.client.papers(&bus.caller).await?;
            ui.result(&all, || page(ui, &all));
        }
        Some(PapersAction::Release { job, how }) => {
            bus.client.release_paper(&bus.caller, job, how.print).await?;
            ui.done();
        }
    }
    Ok(0)
}

fn page(ui: &Ui, all: &[PaperJob]) -> String {
    if all.is_empty() {
        return ui.text("cli-papers-empty");
    }
    let header = [
        "cli-job",
        "label-kind",
        "label-status",
        "cli-tries",
        "label-request",
        "label-amount",
        "cli-problem",
    ];
    let rows = all.iter().map(|j| {
        [
            j.id.to_string(),
            ui.texts.word(j.kind),
            ui.texts.word(j.state),
            j.attempts.to_string(),
            paper_of(j),
            j.outcome().map_or_else(String::new, |o| amount(ui, o)),
            shown(j.problem.as_ref()),
        ]
    });
    ui.table(header, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::tests::each_language;

    #[test]
    fn no_papers_are_one_line() {
        assert_eq!(each_language().map(|ui| page(&ui, &[])), ["No paper waits", "无待打印单据"]);
    }
}
