//! `paytermctl reprint`.
use crate::{
    Failure,
    args::Global,
    bus::{self, Bus},
    ui::Ui,
};
use clap::{Args, ValueEnum};
use payterm_schema::{Fault, RequestKey, Status, Terminal, paper::SlipCopy, terminal::Filter};

/// Prints the slip again, headed as a duplicate.
#[derive(Args)]
pub struct Reprint {
    /// Its request id; last or nothing = the last one that has a slip.
    id: Option<String>,
    #[arg(long, value_enum)]
    copy: Option<CopyName>,
}

impl Reprint {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let id = self.id.filter(|id| id != "last");
        if let Some(id) = &id {
            bus::parse(id)?;
        }
        let bus = Bus::connect(global, ui).await?;
        let key: RequestKey = match id {
            Some(id) => bus.key(&id).await?,
            None => {
                let all =
                    bus.client.list(&bus.caller, Filter { limit: Some(200), ..Filter::default() }).await?;
                let has = |status, slip| status == Status::Unknown || (status == Status::Approved && slip);
                let last = all.into_iter().find(|o| has(o.status, o.kind.row().slip));
                last.ok_or_else(|| Fault::not_found("request", "last"))?.key
            }
        };
        let copy = self.copy.map(|c| match c {
            CopyName::Merchant => SlipCopy::Merchant,
            CopyName::Customer => SlipCopy::Customer,
        });
        bus.client.reprint(&bus.caller, &key, copy).await?;
        ui.done();
        Ok(0)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CopyName {
    Merchant,
    Customer,
}
