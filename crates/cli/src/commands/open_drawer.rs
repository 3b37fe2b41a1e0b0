//! `paytermctl open-drawer`.
use super::print;
use crate::{Failure, args::Global, ui::Ui};
use clap::Args;
use payterm_schema::page::{Drawer, Printable};

/// Opens the cash drawer at the receipt printer, at once or not at all.
#[derive(Args)]
pub struct OpenDrawer {
    /// One's own name for it, the sale's for example: the same id opens nothing again.
    #[arg(long)]
    id: String,
}

impl OpenDrawer {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        print::own(global, ui, Printable::Drawer(Drawer {}), self.id, false).await
    }
}
