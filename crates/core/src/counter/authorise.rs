//! The step after which the message may leave: STAN, plan and obligation are on disk before any byte of it.
use super::{Devices, Next, Pin, ServedOriginal, Serving, pin, reply};
use crate::{AccountSettings, context::Context, signal::Signal, view};
use payterm_schema::{
    HostEvent, Kind, Outcome, RequestRecord,
    host::{CardSecrets, OriginalRef, Plan, SecretsFrom},
    kind::{CardRule, Recovery},
    offline::OfflineAuthority,
    outcome::Class,
};
use std::sync::Arc;

pub(super) fn enter(cx: &mut Context, s: &mut Serving, devices: &Devices) -> Next {
    let account = s.account().clone();
    let Some(settings) = cx.account(&account).cloned() else {
        unreachable!("account {account} of a request is not configured")
    };
    let (txn, kind) = (s.txn, s.kind());
    let row = kind.row();
    // It began before they were stopped.
    if row.authorisation && cx.state.recovering.is_some() {
        return Next::fail("payments-stopped", Class::D);
    }
    let view = view_of(cx, s, &settings);
    let (plan, secrets) = (plan_of(cx, s, &view), secrets_of(s, &view));
    let original = view.original.as_ref().and_then(|o| o.txn);
    if let Some(pan) = s.presented.as_ref().and_then(|p| p.secrets.pan.clone()) {
        cx.step.seal.push((txn, pan));
    }
    // Once a request: a try that the host refused held it already.
    if cx.running().frames == 0
        && let (Kind::Refund, Some(original), Some(minor)) = (kind, original, view.sums.amount)
    {
        cx.record(Some(original), RequestRecord::RefundHeld { txn: original, by: txn, minor });
    }
    let owes = row.recovery != Recovery::AskAgain;
    let card = s.presented.as_ref().and_then(|p| p.card.clone());
    // Earlier payments of this card are told first (one without a card belongs to its original's).
    let place = (card.clone(), if card.is_some() { 0 } else { original.unwrap_or(txn) });
    let queued = row.recovery == Recovery::Repeat && cx.state.obligations.queued(&account, &place);
    cx.record(
        Some(txn),
        RequestRecord::Allowed {
            txn,
            account: account.clone(),
            plan: Box::new(plan.clone()),
            view: Arc::new(view),
            owes,
            card,
        },
    );
    if queued {
        let why = "earlier payments of this card are told first".into();
        return reply::event(cx, s, devices, &account, plan.stan, HostEvent::NotSent { why });
    }
    cx.signal(Signal::Send {
        account,
        txn,
        plan: Box::new(plan),
        secrets: Box::new(secrets),
        log: s.key.to_string(),
    });
    Next::Stay
}

/// The outcome as far as it is known when the message leaves.
fn view_of(cx: &Context, s: &Serving, settings: &AccountSettings) -> Outcome {
    let (id, kind) = (&settings.config.id, s.kind());
    let mut view = (*cx.running().view).clone();
    view::with_account(&mut view, settings);
    if let Some(p) = &s.presented {
        view::with_instrument(&mut view, p);
    }
    match &s.original {
        Some(ServedOriginal::Ours(o)) => view::with_original(&mut view, o, s.presented.is_none()),
        Some(ServedOriginal::Elsewhere { rrn, auth_code, date }) => {
            view::with_foreign(&mut view, rrn.as_ref(), auth_code.as_ref(), date.as_ref())
        }
        None => {}
    }
    s.with_sums(&mut view);
    view.stan = Some(cx.state.next_stan(id));
    view.batch = Some(cx.state.ledger(id).batch);
    view.pin = matches!(s.pin, Pin::Typed(_));
    view.offline_authority = (kind == Kind::VoiceSale).then_some(OfflineAuthority::Voice);
    view.no_cvm = pin::no_cvm(cx, s).filter(|_| !view.pin);
    view
}

fn plan_of(cx: &Context, s: &Serving, view: &Outcome) -> Plan {
    let (kind, account) = (s.kind(), s.account());
    let presented = s.presented.as_ref();
    // An advice is sent again from disk, and no track is kept there: it carries the PAN itself.
    let repeats = kind.row().recovery == Recovery::Repeat;
    Plan {
        amount: s.amount(),
        mode: view.entry,
        pin: view.pin,
        track: !repeats && presented.is_some_and(|p| p.secrets.tracks.is_some()),
        fallback: view.fallback,
        wallet: view.wallet,
        expiry: presented
            .and_then(|p| if repeats { p.expiry.clone().or(p.on_card.clone()) } else { p.expiry.clone() }),
        original: view.original.as_ref().map(|o| OriginalRef {
            batch: o.batch,
            stan: o.stan,
            date: o.date.clone().or_else(|| own_date(cx, s)),
            rrn: o.rrn.clone(),
            auth_code: o.auth_code.clone(),
        }),
        operator: view.operator.clone(),
        auth_code: s.request.auth_code.clone(),
        tip: view.sums.tip,
        scheme: (kind == Kind::Refund).then(|| {
            // A wallet has no card scheme, whatever its payment's answer said.
            view.scheme.clone().filter(|_| view.wallet.is_none()).unwrap_or_else(|| "000".into())
        }),
        offline_authority: view.offline_authority,
        card_sequence: presented.and_then(|p| p.shown.as_ref()?.sequence),
        icc: s.icc.clone(),
        ..cx.control_plan(account, kind)
    }
}

/// Date of an original whose answer named none: by the terminal's own clock, set by the host's.
fn own_date(cx: &Context, s: &Serving) -> Option<String> {
    let o = s.original()?;
    let id = o.account.as_ref()?;
    cx.host_date(id, o.started + cx.state.ledger(id).offset)
}

fn secrets_of(s: &Serving, view: &Outcome) -> SecretsFrom {
    let row = s.kind().row();
    let original = view.original.as_ref().and_then(|o| o.txn);
    match (&s.presented, original) {
        (Some(p), _) if row.recovery == Recovery::Repeat => {
            SecretsFrom::Memory(CardSecrets { pan: p.secrets.pan.clone(), ..CardSecrets::default() })
        }
        (Some(p), _) => {
            let pin_block = if let Pin::Typed(block) = &s.pin { Some(block.clone()) } else { None };
            SecretsFrom::Memory(CardSecrets { pin_block, ..p.secrets.clone() })
        }
        (None, Some(original)) if view.wallet.is_none() && row.card == CardRule::None => {
            SecretsFrom::Sealed(original)
        }
        (None, _) => SecretsFrom::None,
    }
}
