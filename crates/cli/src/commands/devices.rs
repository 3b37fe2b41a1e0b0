//! `paytermctl devices`.
use crate::{Failure, args::Global, bus::Bus, ui::Ui};
use payterm_schema::{Device, Terminal};

pub async fn run(global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let all = Bus::connect(global, ui).await?.client.devices().await?;
    ui.result(&all, || page(ui, &all));
    Ok(0)
}

fn page(ui: &Ui, all: &[Device]) -> String {
    let header = [
        "cli-name",
        "cli-kind",
        "cli-driver",
        "cli-state",
        "cli-restarts",
        "cli-virtual",
        "cli-confirms",
        "cli-health",
    ];
    let yes = |on: bool| if on { ui.text("yes") } else { String::new() };
    let rows = all.iter().map(|d| {
        [
            d.name.clone(),
            ui.texts.word(d.kind),
            d.driver.clone(),
            ui.texts.word(d.state),
            d.restarts.to_string(),
            yes(d.is_virtual),
            d.confirms.map(|c| ui.texts.word(c)).unwrap_or_default(),
            d.health.clone(),
        ]
    });
    ui.table(header, rows)
}
