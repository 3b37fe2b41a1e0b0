//! A request is accepted: what is said against it before anything of it is on record, and its first stage.
use super::{Devices, Next, Pin, Serving, Stage, original};
use crate::{AccountSettings, Call, context::Context, instrument, signal::Signal, view};
use payterm_schema::{
    Fault, Kind, Notice, Request, RequestKey, RequestRecord,
    kind::{CardRule, OriginalBy, Right},
    operator::{OperatorId, Role},
    outcome::Class,
};
use std::{collections::VecDeque, sync::Arc};

/// Keys that are remembered until they are on disk for certain.
const RECENT: usize = 16;

/// The answer to a request that is known already, or that cannot start whoever asks; none: it is a new one.
pub(super) fn known(
    cx: &Context,
    recent: &VecDeque<(RequestKey, String)>,
    key: &RequestKey,
    request: &Request,
) -> Option<Result<(), Fault>> {
    if let Some(r) = &cx.state.running {
        return Some(match (r.key == *key, r.hash == request.content_hash()) {
            (true, true) => Ok(()),
            (true, false) => Err(Fault::KeyReused { id: key.id.clone() }),
            (false, _) => Err(Fault::Busy { running: (r.key.app == key.app).then(|| r.key.id.clone()) }),
        });
    }
    // It has ended already, and is not found on disk yet.
    if let Some((_, hash)) = recent.iter().find(|(k, _)| k == key) {
        let same = *hash == request.content_hash();
        return Some(if same { Ok(()) } else { Err(Fault::KeyReused { id: key.id.clone() }) });
    }
    if cx.settings.accounts.is_empty() {
        return Some(Err(Fault::NotActivated));
    }
    cx.trustworthy(key, request.kind).err().map(Err)
}

/// The first account that could take it; the faults that are told before the card is asked for.
pub(super) fn first_account(cx: &Context, request: &Request) -> Result<AccountSettings, Fault> {
    if let Some(id) = &request.account {
        let named = cx.account(id).ok_or_else(|| Fault::not_found("account", id.as_str()))?;
        if request.amount.is_some_and(|m| m.currency != named.config.currency) {
            return Err(Fault::NoAccount {
                currency: request.amount.map(|m| m.currency.to_string()).unwrap_or_default(),
            });
        }
    }
    let candidates = instrument::candidates(&cx.settings, request);
    let first = *candidates.first().ok_or_else(|| Fault::NoAccount {
        currency: request.amount.map_or("any".into(), |m| m.currency.to_string()),
    })?;
    if candidates.iter().all(|a| !a.rules.kinds.contains(&request.kind)) {
        return Err(Fault::invalid("kind", "no account's acquirer takes it"));
    }
    if let Some(m) = request.amount
        && candidates.iter().all(|a| m.minor() > a.config.amount_limit())
    {
        return Err(Fault::invalid("amount", "above the amount_limit of every account of its currency"));
    }
    if !request.kind.row().authorisation && request.account.is_none() && candidates.len() > 1 {
        return Err(Fault::invalid("account", "needed: there are several accounts"));
    }
    Ok(first.clone())
}

/// From here on it is on record.
pub(super) fn enter(
    cx: &mut Context,
    call: Call,
    key: RequestKey,
    request: Request,
    account: &AccountSettings,
    recent: &mut VecDeque<(RequestKey, String)>,
) -> Serving {
    let txn = cx.state.last_txn + 1;
    let hash = request.content_hash();
    let view = Arc::new(view::first(txn, &key, &request, &cx.settings, cx.operator(), account, cx.now));
    if recent.len() == RECENT {
        recent.pop_front();
    }
    recent.push_back((key.clone(), hash.clone()));
    cx.record(
        Some(txn),
        RequestRecord::Started {
            txn,
            key: key.clone(),
            hash,
            request: Box::new(request.clone()),
            view: Arc::clone(&view),
        },
    );
    cx.answer(call, Ok(()));
    cx.tell(Notice::Started { key: key.clone(), txn, outcome: view });
    cx.signal(Signal::Begun);
    let id = &account.config.id;
    let authorisation = request.kind.row().authorisation;
    if authorisation && account.config.auto_sign_in && account.rules.sign_in && !cx.state.ledger(id).signed_in
    {
        cx.signal(Signal::SignInWanted { account: id.clone() });
    }
    Serving {
        txn,
        key,
        stage: Stage::Confirming { until: cx.after(cx.settings.flow.confirm_timeout_ms) },
        // A card or a code chooses the account of an authorisation.
        account: (!authorisation).then(|| id.clone()),
        presented: None,
        language: None,
        original: None,
        modes: request.modes.clone(),
        present_tries: 0,
        chip_tries: 0,
        fallback: None,
        chip_wanted: false,
        no_tap: false,
        icc: None,
        decided: false,
        chip: None,
        pin: Pin::NotAsked,
        pin_tries: 0,
        signed_again: false,
        busy_tries: 0,
        judged: false,
        left: false,
        request: Arc::new(request),
    }
}

/// The operator on duty may not do everything alone. What is asked for was judged before: nobody allows what
/// cannot be done.
pub(super) fn judged(cx: &Context, s: &Serving) -> Next {
    let role = cx.state.staff.on_duty.as_ref().map_or(Role::Cashier, OperatorId::role);
    let right = s.kind().row().right;
    let approval = cx.settings.operators.required && right == Right::Supervisor && role < Role::Supervisor;
    if approval { Next::Approve } else { allowed(s) }
}

/// It may be done: the instrument, or straight to the host.
pub(super) fn allowed(s: &Serving) -> Next {
    let row = s.kind().row();
    if s.kind() == Kind::Settlement {
        Next::Drain
    } else if row.original != OriginalBy::None {
        original::onward(s)
    } else if row.card != CardRule::None {
        Next::Present(None)
    } else {
        Next::Prepare
    }
}

/// After the confirmation: the original, the supervisor, the instrument, or straight to the host.
pub(super) fn begin(cx: &Context, s: &Serving, devices: &Devices) -> Next {
    let row = s.kind().row();
    if row.slip && cx.settings.paper.required && !devices.printer {
        Next::fail("printer-unavailable", Class::D)
    } else if s.kind() == Kind::Settlement {
        Next::Drain
    } else if row.original != OriginalBy::None {
        Next::Load
    } else {
        judged(cx, s)
    }
}
