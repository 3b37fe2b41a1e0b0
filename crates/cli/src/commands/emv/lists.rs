//! `paytermctl emv lists`.
use crate::{Failure, args::Global, bus::Bus, ui::Ui};
use payterm_schema::{
    Terminal,
    config::ExpiredKeys,
    emv_lists::{EmvLists, ListedAid, ListedKey, ListedTap, Origin, Validity},
};

/// Shows the applications and CA keys that the running terminal's card kernel works with, and where each came
/// from.
///
/// Sums are in minor units. A CA key that has ended, or ends within 30 days, is marked.
#[derive(clap::Args)]
pub struct Lists {}

impl Lists {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let lists = Bus::connect(global, ui).await?.client.emv_lists().await?;
        ui.result(&lists, || lists.as_ref().map_or_else(|| ui.text("cli-lists-none"), |l| page(ui, l)));
        Ok(0)
    }
}

fn page(ui: &Ui, lists: &EmvLists) -> String {
    let sources = lists
        .sources
        .iter()
        .map(|s| [s.origin.name().into(), s.version.to_string(), s.sha256.chars().take(16).collect()]);
    let mut page = ui.table(["cli-lists-origin", "cli-version", "cli-lists-sha256"], sources);
    if let Some(why) = &lists.unused {
        page += &format!("{}\n", ui.say("cli-lists-unused", &[("why", why)]));
    }
    let header = [
        "cli-lists-aid",
        "cli-version",
        "cli-lists-floor",
        "cli-lists-random",
        "cli-lists-action-codes",
        "cli-lists-tap",
        "cli-lists-origin",
        "cli-lists-replaced",
    ];
    page += &format!("\n{}", ui.table(header, lists.aids.iter().map(aid)));
    let header = [
        "cli-lists-rid",
        "cli-lists-index",
        "cli-lists-bits",
        "cli-lists-checksum",
        "cli-lists-last-day",
        "cli-state",
        "cli-lists-origin",
        "cli-lists-replaced",
    ];
    page += &format!("\n{}", ui.table(header, lists.keys.iter().map(|k| key(ui, lists, k))));
    if !lists.revoked.is_empty() {
        let rows = lists.revoked.iter().map(|r| [r.rid.clone(), r.index.clone(), r.serial.clone()]);
        page += &format!("\n{}", ui.table(["cli-lists-rid", "cli-lists-index", "cli-lists-revoked"], rows));
    }
    page
}

fn aid(a: &ListedAid) -> [String; 8] {
    let random = format!("{} {}-{}%", a.threshold, a.target_percent, a.most_percent);
    let tap = |t: &ListedTap| format!("{} / {} / {}", t.floor, t.no_cvm, t.limit);
    [
        format!("{}{}", a.aid, if a.partial { "*" } else { "" }),
        a.version.clone(),
        a.floor.to_string(),
        random,
        format!("{} / {} / {}", a.denial, a.online, a.default),
        a.tap.as_ref().map(tap).unwrap_or_default(),
        a.origin.name().into(),
        names(&a.replaced),
    ]
}

fn key(ui: &Ui, lists: &EmvLists, k: &ListedKey) -> [String; 8] {
    let state = match (k.validity, lists.expired_keys) {
        (Validity::Endless, _) => "cli-lists-endless",
        (Validity::Good, _) => "cli-lists-good",
        (Validity::Ends, _) => "cli-lists-ends",
        (Validity::Ended, ExpiredKeys::Use) => "cli-lists-ended",
        (Validity::Ended, ExpiredKeys::Refuse) => "cli-lists-ended-refused",
    };
    let day = k.last_day.as_deref().unwrap_or_default();
    let day = [(0..4), (4..6), (6..8)].map(|part| day.get(part).unwrap_or_default());
    [
        k.rid.clone(),
        k.index.clone(),
        k.bits.to_string(),
        k.checksum.clone(),
        if k.last_day.is_some() { day.join("-") } else { String::new() },
        ui.text(state),
        k.origin.name().into(),
        names(&k.replaced),
    ]
}

fn names(of: &[Origin]) -> String {
    of.iter().map(Origin::name).collect::<Vec<_>>().join(" ")
}
