//! `paytermctl info`.
use crate::{
    Failure,
    args::Global,
    bus::Bus,
    show::inhibits,
    ui::{Ui, pairs},
};
use payterm_schema::{Terminal, terminal::TerminalInfo};

pub async fn run(global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let info = Bus::connect(global, ui).await?.client.info().await?;
    ui.result(&info, || page(ui, &info));
    Ok(0)
}

fn page(ui: &Ui, i: &TerminalInfo) -> String {
    let accounts = i.accounts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let rows = [
        ("cli-shop", i.shop.clone()),
        ("cli-accounts", accounts),
        ("cli-test-terminal", ui.yes_no(i.test)),
        ("cli-language", i.language.clone()),
        ("cli-service-phone", i.service_phone.clone()),
        ("cli-running", i.running.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("cli-screen", ui.texts.screen(&i.screen, &ui.screen_context(i.test, &i.shop)).join(" | ")),
        ("cli-updates", inhibits(ui, &i.inhibit_reasons)),
        ("cli-version", format!("{} (API {})", i.version, i.api)),
    ];
    pairs(rows.into_iter().map(|(id, v)| (ui.text(id), v)))
}
