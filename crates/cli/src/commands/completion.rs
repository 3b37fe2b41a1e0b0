//! `paytermctl completion`.
use super::payment::{AuthorisationOf, Paid, paid, pay};
use crate::{Failure, args::Global, ui::Ui};
use clap::Args;
use payterm_schema::Kind;

/// Takes a payment out of a pre-authorisation 预授权完成.
#[derive(Args)]
pub struct Completion {
    #[command(flatten)]
    original: AuthorisationOf,
    /// Told to the acquirer afterwards 预授权完成通知: it is accepted without waiting for the line.
    #[arg(long)]
    advice: bool,
    #[command(flatten)]
    paid: Paid,
}

impl Completion {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let kind = if self.advice { Kind::CompletionAdvice } else { Kind::Completion };
        let wire = paid(self.paid.amount, self.paid.currency, self.original.wire());
        pay(global, ui, kind, wire, self.paid.run).await
    }
}
