//! Papers from outcomes, by template.
mod wording;

use crate::{Align, Line, Paper, Size, Templates, Texts, markup, report, report::mark};
use minijinja::{Environment, Value, context};
use payterm_schema::{
    Currency, Kind, Money, Outcome, Status, Time,
    config::Language,
    host::EntryMode,
    kind::Mark,
    money::decimal,
    outcome::{Chip, Cryptogram, Forwarding},
    paper::{PaperContent, PaperJob, PaperKind},
    zone::Zone,
};
use serde::Serialize;
use std::sync::OnceLock;
use wording::{result_by, wording};

/// Surroundings of a slip: what it needs besides its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlipContext {
    pub language: Language,
    pub zone: Zone,
    /// A time before it is of a clock that was never set: it is not printed.
    pub not_before: Time,
    /// Zone of the host's F12 and F13, by its profile, in minutes east of UTC.
    pub host_offset_minutes: i32,
    /// May be empty.
    pub service_phone: String,
    /// Content of the QR code with `{rrn}`, `{stan}`, `{batch}`, `{mid}`, `{tid}`, `{amount}`;
    /// empty = none (`paper.qr`).
    pub qr: String,
    /// Content of the QR code by which the customer asks for an invoice, on the customer's copy
    /// (`paper.invoice_qr`).
    pub invoice_qr: String,
    /// Heads the paper with DUPLICATE: it may be out already.
    pub duplicate: bool,
    /// Name of the acquirer by the profile; empty = its number from the host (F32) is shown.
    pub acquirer_name: String,
}

/// The paper of a job. It always comes out: when a template fails, as a plain list of the same facts. A copy
/// of a request that is not approved says so; one whose result is unknown becomes the "do not take the money
/// again" paper.
///
/// A template of the shop's makes the middle: test mark, duplicate head, title, warning, copy and void mark
/// stand above it, and below it each of kind, status, masked number, voucher and reference number, amount,
/// total and help that it did not show as a line of its own. When it fails, the built-in one serves.
pub fn slip(job: &PaperJob, ctx: &SlipContext, templates: &Templates) -> Paper {
    static ENGINE: OnceLock<Environment<'static>> = OnceLock::new();
    let texts = Texts::new(ctx.language);
    match &job.content {
        PaperContent::Outcome(outcome) if job.kind == PaperKind::SettlementReport => {
            report::settlement(texts, outcome, ctx)
        }
        PaperContent::Outcome(outcome) => framed(templates, job.kind, outcome, ctx)
            .unwrap_or_else(|| render(ENGINE.get_or_init(built_in), job.kind, outcome, ctx)),
        PaperContent::Totals(totals) => report::totals(texts, totals, ctx),
        PaperContent::Page(page) => report::page(texts, page, ctx),
        PaperContent::Invoice(invoice) => report::invoice(texts, invoice, ctx),
        PaperContent::SelfTest(report) => texts.self_test_slip(report, ctx),
        PaperContent::Onboarding(slip) => crate::onboarding::slip(slip, ctx),
        PaperContent::Drawer(_) => Paper { lines: vec![Line::Drawer(texts.word(PaperKind::Drawer))] },
    }
}

/// The paper by the shop's template; none when there is no such template or it fails on this outcome.
fn framed(templates: &Templates, kind: PaperKind, outcome: &Outcome, ctx: &SlipContext) -> Option<Paper> {
    let name = template_of(kind, outcome);
    if !templates.has(name) {
        return None;
    }
    let texts = Texts::new(ctx.language);
    let f = facts(texts, kind, outcome, ctx, name);
    let body = templates.run(name, values(kind, outcome, ctx, name)).ok()?;
    let text = |text: String, size, bold| Line::Text { text, align: Align::Center, size, bold };
    let head = |id: &str| text(texts.get(id, &[]), Size::Normal, true);
    let heads =
        [(f.test, "slip-test"), (f.duplicate, "slip-duplicate"), (f.private_line, "slip-private-line")];
    let mut lines: Vec<Line> = heads.into_iter().filter(|(on, _)| *on).map(|(_, id)| head(id)).collect();
    lines.push(text(f.title.clone(), Size::Normal, true));
    lines.extend(f.warning.clone().map(|w| text(w, Size::Double, true)));
    lines.extend(f.copy.clone().map(|c| text(c, Size::Normal, false)));
    lines.extend(f.voided.then(|| head("slip-voided")));
    lines.push(Line::Rule);
    let shown = |value: &str| {
        body.lines.iter().any(|l| match l {
            Line::Text { text, .. } => text == value,
            Line::Row { right, .. } => right == value,
            Line::Columns { .. }
            | Line::Rule
            | Line::Barcode(_)
            | Line::Image(_)
            | Line::Qr(_)
            | Line::Feed(_)
            | Line::Cut
            | Line::Drawer(_) => false,
        })
    };
    let must: [(&str, Option<&String>); 7] = [
        ("slip-kind", Some(&f.kind)),
        ("slip-status", Some(&f.status)),
        (if f.wallet.is_some() { "slip-code" } else { "slip-card" }, f.card.as_ref()),
        ("slip-stan", f.stan.as_ref()),
        ("slip-rrn", f.rrn.as_ref()),
        ("slip-amount", f.amount.as_ref()),
        ("slip-total", f.total.as_ref()),
    ];
    let missing = must.into_iter().filter_map(|(id, value)| Some((id, value.filter(|v| !shown(v))?)));
    let missing: Vec<Line> = missing
        .map(|(id, value)| Line::Row { left: texts.get(id, &[]), right: value.clone(), bold: true })
        .collect();
    lines.extend(body.lines.iter().cloned());
    lines.extend(missing);
    lines.extend(f.help.clone().filter(|h| !shown(h)).map(|h| Line::Text {
        text: h,
        align: Align::Left,
        size: Size::Normal,
        bold: false,
    }));
    lines.extend(f.test.then(|| head("slip-test-void")));
    lines.extend([Line::Feed(3), Line::Cut]);
    Some(Paper { lines })
}

/// The template of a paper.
pub(crate) fn template_of(kind: PaperKind, outcome: &Outcome) -> &'static str {
    match (kind, outcome.status) {
        (PaperKind::UnknownSlip, _)
        | (PaperKind::MerchantCopy | PaperKind::CustomerCopy, Status::Unknown) => "unknown",
        (PaperKind::StuckSlip, _) => "stuck",
        (PaperKind::BalanceSlip, _) => "balance",
        // The others are no outcome's.
        (
            PaperKind::MerchantCopy
            | PaperKind::CustomerCopy
            | PaperKind::TotalsReport
            | PaperKind::ShiftReport
            | PaperKind::SettlementReport
            | PaperKind::Page
            | PaperKind::InvoiceSlip
            | PaperKind::SelfTestSlip
            | PaperKind::OnboardingSlip
            | PaperKind::Drawer,
            _,
        ) => "payment",
    }
}

/// Values that a template sees: [`VARIABLES`] and `t(id)`, a text of payterm's own.
pub(crate) fn values(kind: PaperKind, outcome: &Outcome, ctx: &SlipContext, template: &str) -> Value {
    let texts = Texts::new(ctx.language);
    let t = Value::from_function(move |id: String| texts.get(&id, &[]));
    context! { t => t, ..Value::from(minijinja::value::Serde(facts(texts, kind, outcome, ctx, template))) }
}

macro_rules! template {
    ($body:literal) => {
        concat!(
            include_str!("../templates/head.jinja"),
            include_str!("../templates/facts.jinja"),
            include_str!(concat!("../templates/", $body, ".jinja")),
            include_str!("../templates/foot.jinja")
        )
    };
}
const TEMPLATES: [(&str, &str); 4] = [
    ("payment", template!("payment")),
    ("balance", template!("balance")),
    ("unknown", template!("unknown")),
    ("stuck", template!("stuck")),
];

fn built_in() -> Environment<'static> {
    let mut env = markup::engine();
    for (name, source) in TEMPLATES {
        // A template that does not parse is absent, and its papers come out plain.
        let _ = env.add_template(name, source);
    }
    env
}

fn render(env: &Environment<'_>, kind: PaperKind, outcome: &Outcome, ctx: &SlipContext) -> Paper {
    let texts = Texts::new(ctx.language);
    let template = template_of(kind, outcome);
    markup::render(env, template, values(kind, outcome, ctx, template))
        .unwrap_or_else(|_| plain(texts, kind, outcome, ctx))
}

/// Facts that a template can show, as texts; absent = not known. The names are the template's variables.
#[derive(Serialize)]
struct Facts {
    test: bool,
    duplicate: bool,
    /// The line to the acquirer is plain TCP that leaves this machine.
    private_line: bool,
    voided: bool,
    approved: bool,
    merchant_copy: bool,
    pin: bool,
    /// The customer signs where no PIN was used: a card payment.
    signature: bool,
    thanks: bool,
    /// Sentence that the customer confirms on the merchant copy.
    agree: String,
    title: String,
    /// Words that must be read first.
    warning: Option<String>,
    copy: Option<String>,
    shop: String,
    address: String,
    mid: Option<String>,
    tid: Option<String>,
    operator: String,
    acquirer: Option<String>,
    issuer: Option<String>,
    scheme: Option<String>,
    kind: String,
    status: String,
    wallet: Option<String>,
    /// Masked number; a card's with its entry letter.
    card: Option<String>,
    batch: Option<String>,
    stan: Option<String>,
    auth_code: Option<String>,
    rrn: Option<String>,
    time: String,
    amount: Option<String>,
    tip: Option<String>,
    total: Option<String>,
    requested: Option<String>,
    no_cvm: Option<String>,
    /// Words for how it was accepted without the host, or that it was never sent there.
    offline_authority: Option<String>,
    partial: Option<String>,
    fee: Option<String>,
    balance: Option<String>,
    reason: Option<String>,
    note: Option<String>,
    host_texts: Vec<String>,
    original: Option<OriginalFacts>,
    chip: Option<ChipFacts>,
    result_by: String,
    help: Option<String>,
    request: String,
    /// Reference that customer service asks for.
    reference: String,
    phone: String,
    qr: String,
    invoice_qr: Option<String>,
}

/// The variables of a template; docs/templates.md says what each of them is.
pub const VARIABLES: [&str; 51] = [
    "test",
    "duplicate",
    "private_line",
    "voided",
    "approved",
    "merchant_copy",
    "pin",
    "signature",
    "thanks",
    "agree",
    "title",
    "warning",
    "copy",
    "shop",
    "address",
    "mid",
    "tid",
    "operator",
    "acquirer",
    "issuer",
    "scheme",
    "kind",
    "status",
    "wallet",
    "card",
    "batch",
    "stan",
    "auth_code",
    "rrn",
    "time",
    "amount",
    "tip",
    "total",
    "requested",
    "no_cvm",
    "offline_authority",
    "partial",
    "fee",
    "balance",
    "reason",
    "note",
    "host_texts",
    "original",
    "chip",
    "result_by",
    "help",
    "request",
    "reference",
    "phone",
    "qr",
    "invoice_qr",
];
#[derive(Serialize)]
struct OriginalFacts {
    batch: Option<String>,
    stan: Option<String>,
    rrn: Option<String>,
    auth_code: Option<String>,
    date: Option<String>,
}

/// What a chip says of its payment, as it is printed; of a refused one too.
#[derive(Serialize)]
struct ChipFacts {
    aid: String,
    label: String,
    sequence: Option<String>,
    cryptogram: Option<String>,
    /// TC, ARQC or AAC.
    cryptogram_kind: Option<&'static str>,
    atc: Option<String>,
    tvr: Option<String>,
    tsi: Option<String>,
}
impl ChipFacts {
    fn of(chip: &Chip) -> Self {
        Self {
            aid: chip.aid.clone(),
            label: chip.label.clone(),
            sequence: chip.sequence.map(|n| format!("{n:03}")),
            cryptogram: chip.cryptogram.clone(),
            cryptogram_kind: chip.cryptogram_kind.map(|kind| match kind {
                Cryptogram::Aac => "AAC",
                Cryptogram::Tc => "TC",
                Cryptogram::Arqc => "ARQC",
            }),
            atc: chip.atc.map(|n| format!("{n:04X}")),
            tvr: chip.tvr.clone(),
            tsi: chip.tsi.clone(),
        }
    }
}

fn facts(texts: Texts, kind: PaperKind, outcome: &Outcome, ctx: &SlipContext, template: &str) -> Facts {
    let mut o = outcome.clone();
    texts.fill(&mut o);
    let approved = o.status == Status::Approved;
    let code = o.entry == Some(EntryMode::Code);
    let money = |value: String| format!("{} {value}", mark(o.sums.currency));
    let minor = |minor: u64| money(decimal(minor, o.sums.currency));
    let back = matches!(o.kind.row().marks_original, Mark::Voided | Mark::Refunded);
    let tip = o.kind == Kind::TipAdjust;
    let withdrawn = o.forwarding == Some(Forwarding::Withdrawn);
    let asks = o.chip.as_ref().is_none_or(|c| c.sign);
    let signature = !code && o.no_cvm.is_none() && !tip && asks;
    let said = wording(texts, &o, template);
    let copy = match (template, kind) {
        ("payment", PaperKind::MerchantCopy) => Some("slip-merchant-copy"),
        ("payment", PaperKind::CustomerCopy) => Some("slip-customer-copy"),
        _ => None,
    };
    Facts {
        test: o.test,
        duplicate: ctx.duplicate,
        private_line: o.line.is_some(),
        voided: o.voided,
        approved,
        merchant_copy: kind == PaperKind::MerchantCopy,
        pin: o.pin || o.chip.as_ref().is_some_and(|c| c.pin),
        signature,
        thanks: approved && kind == PaperKind::CustomerCopy,
        agree: texts.get(if withdrawn { "slip-agree-withdrawn" } else { agree(o.kind, code) }, &[]),
        title: said.title,
        warning: said.warning,
        copy: copy.map(|id| texts.get(id, &[])),
        shop: o.place.shop.clone(),
        address: [o.place.city.as_str(), o.place.address.as_str()].join(" ").trim().into(),
        mid: o.mid.clone(),
        tid: o.tid.clone(),
        operator: o.operator.clone(),
        acquirer: Some(ctx.acquirer_name.clone()).filter(|n| !n.is_empty()).or_else(|| o.acquirer.clone()),
        issuer: o.issuer.as_deref().map(|code| texts.issuer_name(code)),
        scheme: o.scheme.as_deref().map(|code| texts.scheme_name(code)),
        kind: texts.word(o.kind),
        status: texts.word(o.status),
        wallet: o.wallet.map(|w| texts.word(w)),
        card: o
            .masked_pan
            .as_ref()
            .map(|pan| [pan.as_str(), o.entry.map_or("", |e| entry_letter(e, o.fallback))].concat()),
        batch: o.batch.map(|b| b.to_string()),
        stan: o.stan.map(|s| s.to_string()),
        auth_code: o.auth_code.clone(),
        rrn: o.rrn.clone(),
        time: date_time(&o, ctx),
        amount: o
            .sums
            .amount_money()
            .map(Money::value)
            .map(|v| money(if back { format!("-{v}") } else { v })),
        tip: o.sums.tip.map(minor),
        total: o.sums.amount.filter(|_| tip).map(minor),
        requested: o.sums.asked.map(minor),
        no_cvm: o.no_cvm.map(|limit| no_cvm(texts, limit, o.sums.currency)),
        offline_authority: texts.without_host(&o),
        partial: o.sums.asked.map(|_| texts.get("slip-partial", &[])),
        // The merchant's own business: never on a paper that a customer gets.
        fee: o.sums.fee_text().filter(|_| kind == PaperKind::MerchantCopy).map(money),
        balance: o.sums.balance_text().map(money),
        reason: o.reason.as_ref().map(|r| texts.reason_text(r)),
        note: o.note.clone(),
        host_texts: o.host_texts.clone(),
        original: o.original.as_ref().map(|orig| OriginalFacts {
            batch: orig.batch.map(|b| b.to_string()),
            stan: orig.stan.map(|s| s.to_string()),
            rrn: orig.rrn.clone(),
            auth_code: orig.auth_code.clone(),
            date: orig.date.clone(),
        }),
        chip: o.chip.as_deref().map(ChipFacts::of),
        result_by: result_by(texts, &o, ctx),
        help: said.help,
        request: o.key.to_string(),
        reference: o.reference(),
        phone: ctx.service_phone.clone(),
        qr: qr(&ctx.qr, &o),
        invoice_qr: (approved && kind == PaperKind::CustomerCopy && template == "payment" && !back)
            .then(|| qr(&ctx.invoice_qr, &o))
            .filter(|q| !q.is_empty()),
    }
}

/// Text id of what the customer confirms on the merchant copy.
fn agree(kind: Kind, code: bool) -> &'static str {
    match (kind, code) {
        (Kind::Void | Kind::CompletionCancel, _) => "slip-agree-void",
        (Kind::Refund, _) => "slip-agree-refund",
        (Kind::PreAuth, _) => "slip-agree-pre_auth",
        (Kind::PreAuthCancel, _) => "slip-agree-pre_auth_cancel",
        (Kind::TipAdjust, _) => "slip-agree-tip",
        (_, true) => "slip-agree-code",
        (_, false) => "slip-agree",
    }
}

/// Why nobody signs: a payment up to this limit, in minor units.
fn no_cvm(texts: Texts, limit: u64, currency: Currency) -> String {
    let limit = decimal(limit, currency);
    let limit = limit.strip_suffix(".00").unwrap_or(&limit);
    match currency {
        Currency::CNY => texts.get("slip-no-cvm", &[("limit", limit)]),
        other => texts.get("slip-no-cvm-other", &[("limit", limit), ("currency", other.code())]),
    }
}

/// The letter after the card number (UnionPay slips): how it came in.
fn entry_letter(mode: EntryMode, fallback: bool) -> &'static str {
    match mode {
        EntryMode::Swipe if fallback => " /F",
        EntryMode::Swipe => " /S",
        EntryMode::Chip => " /I",
        EntryMode::Contactless => " /C",
        EntryMode::Manual => " /M",
        EntryMode::Code => "",
    }
}

/// `YYYY-MM-DD HH:MM:SS`: the host's F13 and F12 when both are valid, with the year that brings them nearest
/// to our end of the transaction (a reply may cross New Year), else that end.
fn date_time(o: &Outcome, ctx: &SlipContext) -> String {
    let ours = o.ended.unwrap_or(o.started);
    let digits = |field: &Option<String>, len: usize| {
        field.clone().filter(|f| f.len() == len && f.bytes().all(|b| b.is_ascii_digit()))
    };
    let host = digits(&o.host_date, 4)
        .zip(digits(&o.host_time, 6))
        .and_then(|(d, t)| Time::nearest(ours, &d, &t, ctx.host_offset_minutes));
    ctx.time(host.filter(|_| ours >= ctx.not_before).unwrap_or(ours))
}

/// Fills the places of the config's template; an unknown place stays as it is written.
fn qr(template: &str, o: &Outcome) -> String {
    let places = [
        ("{rrn}", o.rrn.clone()),
        ("{stan}", o.stan.map(|s| s.to_string())),
        ("{batch}", o.batch.map(|b| b.to_string())),
        ("{mid}", o.mid.clone()),
        ("{tid}", o.tid.clone()),
        ("{amount}", o.sums.amount_money().map(Money::value)),
    ];
    // One pass from the left, so that a value that looks like a place is not filled in again.
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match places.iter().find(|(place, _)| rest.starts_with(place)) {
            Some((place, value)) => {
                out.push_str(value.as_deref().unwrap_or_default());
                rest = &rest[place.len()..];
            }
            None => {
                out.push('{');
                rest = &rest[1..];
            }
        }
    }
    out + rest
}

/// Without a template: the kind of paper, its warnings, and every fact.
fn plain(texts: Texts, kind: PaperKind, o: &Outcome, ctx: &SlipContext) -> Paper {
    let head = |text: String| Line::Text { text, align: Align::Center, size: Size::Normal, bold: true };
    let warnings =
        [(o.test, "slip-test"), (ctx.duplicate, "slip-duplicate"), (o.line.is_some(), "slip-private-line")];
    let on = warnings.into_iter().filter(|(on, _)| *on).map(|(_, id)| texts.get(id, &[]));
    let unknown = o.status == Status::Unknown && kind != PaperKind::StuckSlip;
    let warned = wording(texts, o, if unknown { "unknown" } else { template_of(kind, o) }).warning;
    let mut lines: Vec<Line> = on.chain(warned).map(head).collect();
    lines.extend([
        Line::Text { text: texts.word(kind), align: Align::Center, size: Size::Normal, bold: false },
        Line::Rule,
    ]);
    let own =
        kind == PaperKind::CustomerCopy || kind == PaperKind::UnknownSlip || kind == PaperKind::BalanceSlip;
    let o = if own {
        &Outcome { sums: payterm_schema::outcome::Sums { fee: None, ..o.sums.clone() }, ..o.clone() }
    } else {
        o
    };
    lines.extend(texts.outcome_lines(o, &ctx.zone).into_iter().map(|(left, right)| Line::Row {
        left,
        right,
        bold: false,
    }));
    lines.extend([Line::Feed(3), Line::Cut]);
    Paper { lines }
}

#[cfg(test)]
mod tests {
    use super::*;
    use payterm_schema::{RequestKey, outcome::Sums};

    fn outcome() -> Outcome {
        let key = RequestKey { app: "till".into(), id: "order-17".into() };
        Outcome {
            status: Status::Unknown,
            operator: "01".into(),
            rrn: Some("606414000118".into()),
            test: true,
            ..Outcome::running(key, 1, Kind::Sale, Sums::new(Currency::CNY, Some(1234)), Time(0))
        }
    }

    fn context() -> SlipContext {
        SlipContext {
            language: Language::En,
            zone: Zone::default(),
            not_before: Time(0),
            host_offset_minutes: 480,
            service_phone: String::new(),
            qr: String::new(),
            invoice_qr: String::new(),
            duplicate: true,
            acquirer_name: String::new(),
        }
    }

    #[test]
    fn the_variables_are_listed_and_documented() {
        let facts =
            facts(Texts::new(Language::En), PaperKind::MerchantCopy, &outcome(), &context(), "payment");
        let made = serde_json::to_value(&facts).expect("serialises");
        let made: std::collections::BTreeSet<&str> =
            made.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(made, VARIABLES.into_iter().collect());
        let page = include_str!("../../../docs/templates.md");
        for name in VARIABLES {
            assert!(page.contains(&format!("| `{name}` | ")), "docs/templates.md: {name}");
        }
    }

    #[test]
    fn a_paper_comes_out_when_its_template_fails() {
        let mut broken = markup::engine();
        for (name, source) in [
            ("unknown", "{% for i in range(99999) %}rule\n{% endfor %}"),
            ("stuck", "blink|x"),
            ("balance", "{{ no.such.thing }}"),
        ] {
            broken.add_template(name, source).expect("parses");
        }
        for kind in
            [PaperKind::MerchantCopy, PaperKind::UnknownSlip, PaperKind::StuckSlip, PaperKind::BalanceSlip]
        {
            let paper = render(&broken, kind, &outcome(), &context());
            let text = paper.to_text(32);
            for part in ["TEST", "DUPLICATE", "DO NOT CHARGE", "606414000118", "CNY 12.34"] {
                assert!(text.contains(part), "{part} is not on:\n{text}");
            }
            assert_eq!(paper.lines.last(), Some(&Line::Cut));
        }
    }

    #[test]
    fn the_built_in_templates_work_within_a_tenth_of_the_limit() {
        let mut env = built_in();
        env.set_fuel(Some(markup::FUEL / 10));
        for kind in [
            PaperKind::MerchantCopy,
            PaperKind::CustomerCopy,
            PaperKind::UnknownSlip,
            PaperKind::StuckSlip,
            PaperKind::BalanceSlip,
        ] {
            // Only a template prints the merchant's copy of these labels; the plain paper has a table's.
            assert!(
                render(&env, kind, &outcome(), &context()).to_text(32).contains("Operator no."),
                "{kind:?}"
            );
        }
    }
}
