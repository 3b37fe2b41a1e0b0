//! The onboarding in words: fee rows, and the onboarding slip.
use crate::{Align, Line, Paper, Size, SlipContext, Texts};
use payterm_schema::{
    config::Sum,
    onboarding::{FeeRow, OnboardingSlip, Product},
};

impl Texts {
    /// "bank cards CUP: 0.60 %, at least CNY 0.01, at most CNY 80.00".
    pub fn fee_row(self, row: &FeeRow) -> String {
        let bound = |id: &str, sum: Option<Sum>| {
            sum.map(|s| self.get(id, &[("amount", &self.amount_text(s.money()))])).unwrap_or_default()
        };
        let of = [Some(self.word(row.product)), row.wallet.map(|w| self.word(w)), row.scheme.clone()];
        let product = of.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let rate = format!("{}.{:02}", row.basis_points / 100, row.basis_points % 100);
        let share = self.get("apply-fee", &[("product", &product), ("rate", &rate)]);
        [share, bound("apply-fee-min", row.min), bound("apply-fee-max", row.max)].concat()
    }
    /// "bank cards, payment codes".
    pub fn products(self, all: &[Product]) -> String {
        all.iter().map(|p| self.word(*p)).collect::<Vec<_>>().join(&self.get("list-separator", &[]))
    }
}

/// Slip of an onboarding: what was applied for, what was accepted, and what came of it.
pub(crate) fn slip(slip: &OnboardingSlip, ctx: &SlipContext) -> Paper {
    let texts = Texts::new(ctx.language);
    let t = |id: &str| texts.get(id, &[]);
    let (a, d) = (&slip.onboarding, &slip.onboarding.draft);
    let head = |text: String| Line::Text { text, align: Align::Center, size: Size::Normal, bold: true };
    let text = |text: String| Line::Text { text, align: Align::Left, size: Size::Normal, bold: false };
    let row = |id: &str, right: String| Line::Row { left: t(id), right, bold: false };
    let mut lines = Vec::new();
    lines.extend(
        [(slip.test, "slip-test"), (ctx.duplicate, "slip-duplicate")]
            .into_iter()
            .filter(|(on, _)| *on)
            .map(|(_, id)| head(t(id))),
    );
    lines.extend([head(t("apply-slip-title")), head(texts.word(a.stage)), Line::Rule]);
    lines.extend(a.reason.clone().map(|r| row("apply-label-reason", r)));
    lines.extend([
        row("apply-label-since", ctx.time(a.since)),
        row("apply-label-onboarding", a.id.clone()),
        row("apply-label-revision", a.revision.to_string()),
        Line::Rule,
        row("apply-label-name", d.name.clone()),
        row("apply-label-legal-name", d.legal_name.clone()),
        row("apply-label-licence", d.licence.clone()),
        row("slip-address", format!("{} {}", d.city, d.address)),
        row("apply-label-category", d.category.clone()),
        row("apply-label-contact", format!("{} {}", d.contact, d.phone)),
        row("apply-label-products", texts.products(&d.products)),
        Line::Rule,
    ]);
    if let Some(accepted) = &a.accepted {
        let offer = &accepted.offer;
        lines.extend([
            row("apply-label-offer", offer.id.clone()),
            row("apply-label-settlement", offer.settlement.name().into()),
        ]);
        lines.extend(offer.fees.iter().map(|r| text(texts.fee_row(r))));
        lines.extend([
            row("apply-label-accepted", ctx.time(accepted.at)),
            text(accepted.hash.clone()),
            Line::Rule,
        ]);
    }
    for account in a.parameters.iter().flat_map(|p| &p.accounts) {
        lines.extend([
            row("apply-label-account", account.id.to_string()),
            row("slip-mid", account.mid.to_string()),
            row("slip-tid", account.tid.to_string()),
            Line::Rule,
        ]);
    }
    lines.push(text(t(&format!("apply-next-{}", a.stage.name().replace('_', "-")))));
    if !ctx.service_phone.is_empty() {
        lines.push(row("slip-phone", ctx.service_phone.clone()));
    }
    lines.extend([Line::Feed(3), Line::Cut]);
    Paper { lines }
}
