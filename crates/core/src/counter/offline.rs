//! A sale whose message could not leave: may the merchant accept it at its own risk? One list of rules, each
//! with its limit and what it stands at; the same list answers beforehand, before a card is there.
//!
//! Invariant: nothing of the sale has left, no payment of its card is in doubt, and what is kept is what the
//! advice needs: the sealed PAN and the expiry.
use super::{Pin, Serving, pin};
use crate::{AccountSettings, Heard, Settings, State, context::Context, instrument::Presented, view};
use payterm_schema::{
    Kind, RequestRecord, Time,
    config::BinRange,
    host::{EntryMode, Plan},
    offline::{Check, Judgement, OfflineAnswer, OfflineAuthority, OfflineRule},
    outcome::{Authority, Forwarding},
    record::Duty,
};
use std::sync::Arc;

const HOUR: i64 = 3_600_000;

/// What only the running sale tells.
struct Sale<'a> {
    kind: Kind,
    presented: &'a Presented,
    /// A PIN is typed for it, or would be.
    pin: bool,
}

/// Every rule on a payment of this amount, in their order; without a sale those that need no card.
fn checks(
    settings: &Settings,
    account: &AccountSettings,
    state: &State,
    heard: Option<&Heard>,
    now: Time,
    minor: u64,
    sale: Option<Sale<'_>>,
) -> Vec<Check> {
    let (id, c) = (&account.config.id, account.config.offline.clone().unwrap_or_default());
    let currency = account.config.currency;
    let plain = |rule, passed| Check { rule, passed, limit: None, now: None };
    let limit =
        |rule, limit: u64, now: u64| Check { rule, passed: now <= limit, limit: Some(limit), now: Some(now) };
    let mut all = vec![
        plain(OfflineRule::Off, c.merchant),
        plain(OfflineRule::Profile, account.rules.offline_authorities.contains(&OfflineAuthority::Merchant)),
        plain(OfflineRule::Settlement, state.ledger(id).settling.is_none()),
    ];
    let mut of_card = None;
    if let Some(Sale { kind, presented, pin }) = sale {
        let listed = |bins: &[BinRange]| {
            presented.secrets.pan.as_ref().is_some_and(|pan| bins.iter().any(|b| b.contains(pan)))
        };
        let card = presented.card.as_ref();
        // Of an older journal a frame may not tell its card: then it may be this one.
        let in_doubt = state
            .obligations
            .unknown()
            .any(|o| o.plan.wallet.is_none() && (o.card.is_none() || o.card.as_ref() == card));
        all.extend([
            plain(OfflineRule::Kind, kind.row().offline),
            plain(
                OfflineRule::Instrument,
                presented.mode == EntryMode::Swipe && presented.wallet.is_none() && card.is_some(),
            ),
            plain(OfflineRule::Chip, !presented.chip),
            plain(OfflineRule::Pin, !pin),
            plain(
                OfflineRule::Expired,
                presented.on_card.as_ref().is_some_and(|e| valid(e, now, account.host_offset_minutes)),
            ),
            plain(OfflineRule::Listed, c.bins.is_empty() || listed(&c.bins)),
            plain(OfflineRule::Refused, !listed(&c.refused_bins)),
            plain(OfflineRule::Reversal, !in_doubt),
        ]);
        let of = card.map(|card| {
            state
                .obligations
                .of_card(id, card)
                .filter(|o| o.duty == Duty::Repeat && o.at_risk())
                .map(|o| o.plan.amount)
        });
        of_card = Some(
            of.into_iter()
                .flatten()
                .fold((1, minor), |(n, sum), m| (n + 1, sum + m.map_or(0, |m| m.minor()))),
        );
    }
    let online = state.accounts.get(id).and_then(|l| l.online).map(|at| now.since(at).0);
    let hours = online.map(|ms| u64::try_from(ms.max(0)).unwrap_or(0).div_ceil(HOUR.unsigned_abs()));
    let contact = hours.is_some_and(|h| h <= u64::from(c.contact_hours)) && online.is_some_and(|ms| ms >= 0);
    let trusted =
        now >= settings.not_before && state.clock_trusted(now) && heard.is_none_or(|h| h.off_by.is_none());
    all.extend([
        plain(OfflineRule::Clock, trusted),
        Check {
            rule: OfflineRule::Contact,
            passed: contact,
            limit: Some(u64::from(c.contact_hours)),
            now: hours,
        },
        limit(OfflineRule::Transaction, c.per_transaction(currency), minor),
    ]);
    if let Some((count, sum)) = of_card {
        all.extend([
            limit(OfflineRule::CardCount, u64::from(c.per_card_count), count),
            limit(OfflineRule::CardSum, c.per_card(currency), sum),
        ]);
    }
    let total = state.obligations.exposure(id).with(minor, true);
    all.extend([
        limit(OfflineRule::TotalCount, u64::from(c.total_count), total.count),
        limit(OfflineRule::TotalSum, c.total(currency), total.minor),
    ]);
    all
}

/// YYMM, good to the end of its month.
fn valid(expiry: &str, now: Time, offset_minutes: i32) -> bool {
    let t = now.local(offset_minutes);
    let digits = expiry.len() == 4 && expiry.bytes().all(|b| b.is_ascii_digit());
    let month = expiry.get(2..).and_then(|m| m.parse::<u8>().ok()).is_some_and(|m| (1..=12).contains(&m));
    digits && month && expiry >= format!("{:02}{:02}", t.year().rem_euclid(100), u8::from(t.month())).as_str()
}

/// What a payment of this amount would be told, as far as no card is needed.
pub fn beforehand(
    settings: &Settings,
    account: &AccountSettings,
    state: &State,
    heard: Option<&Heard>,
    now: Time,
    minor: u64,
) -> Option<OfflineAnswer> {
    let checks = checks(settings, account, state, heard, now, minor, None);
    let judgement = Judgement::of(&checks, state.obligations.exposure(&account.config.id))?;
    Some(OfflineAnswer { account: account.config.id.clone(), judgement, checks })
}

/// The line is down, and nothing of the running request has left. True: it is accepted, and has ended.
pub(super) fn accept(cx: &mut Context, s: &mut Serving) -> bool {
    let id = s.account().clone();
    let Some(account) = cx.account(&id).cloned() else { return false };
    let (txn, running) = (s.txn, cx.running());
    let policy = account.config.offline.as_ref().is_some_and(|c| c.merchant);
    // After a frame of it left, whatever came of that, it is no longer for the merchant to say.
    let fresh = running.frames <= 1
        && !s.left
        && running.in_flight.is_none()
        && cx.state.obligations.of(txn).next().is_none();
    let (Some(presented), Some(amount)) =
        (s.presented.as_ref().filter(|p| p.wallet.is_none()), s.request.amount)
    else {
        return false;
    };
    if !policy || !fresh || s.judged || s.kind() != Kind::Sale || cx.state.recovering.is_some() {
        return false;
    }
    let pin = s.pin != Pin::NotAsked || pin::wanted(cx, s, &id);
    let sale = Sale { kind: s.kind(), presented, pin };
    let checks =
        checks(&cx.settings, &account, &cx.state, cx.heard.get(&id), cx.now, amount.minor(), Some(sale));
    let Some(judgement) = Judgement::of(&checks, cx.state.obligations.exposure(&id)) else { return false };
    s.judged = true;
    if !judgement.allowed {
        cx.record(Some(txn), RequestRecord::OfflineDenied { txn, account: id, judgement });
        return false;
    }
    let mut view = (*running.view).clone();
    view::with_account(&mut view, &account);
    view::with_instrument(&mut view, presented);
    view.sums.amount = Some(amount.minor());
    let plan = Plan {
        amount: Some(amount),
        mode: Some(presented.mode),
        expiry: presented.on_card.clone(),
        operator: view.operator.clone(),
        offline_authority: Some(OfflineAuthority::Merchant),
        ..cx.control_plan(&id, Kind::Sale)
    };
    (view.stan, view.batch, view.pin) = (Some(plan.stan), Some(plan.batch), false);
    (view.no_cvm, view.offline_authority, view.offline) =
        (pin::no_cvm(cx, s), Some(OfflineAuthority::Merchant), Some(judgement));
    if let Some(pan) = presented.secrets.pan.clone() {
        cx.step.seal.push((txn, pan));
    }
    let card = presented.card.clone();
    let mut outcome = view.clone();
    let (plan, view) = (Box::new(plan), Arc::new(view));
    cx.record(Some(txn), RequestRecord::OfflineAllowed { txn, account: id, plan, view, card, judgement });
    outcome.forwarding = Some(Forwarding::Pending);
    cx.approve(&mut outcome, Authority::Merchant);
    cx.finish(outcome);
    true
}
