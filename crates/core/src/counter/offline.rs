//! A sale without the host: may the merchant accept it at its own risk, or the chip by its TC? One list of
//! rules, each with its limit and what it stands at; the same list answers beforehand, before a card is
//! there.
//!
//! Invariant: nothing of the sale has left, no payment of its card is in doubt, and what is kept is what the
//! advice needs: the sealed PAN, the expiry, and of a chip its TC.
use super::{Pin, Serving, pin};
use crate::{AccountSettings, Heard, Settings, State, context::Context, instrument::Presented, view};
use payterm_schema::{
    Kind, Money, RequestRecord, Time,
    card::Interface,
    config::BinRange,
    host::{EntryMode, Plan},
    icc::Icc,
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

/// Every rule of this authority on a payment of this amount, in their order; without a sale those that need
/// no card.
#[allow(clippy::too_many_arguments, reason = "all that a rule looks at")]
fn checks(
    by: OfflineAuthority,
    settings: &Settings,
    account: &AccountSettings,
    state: &State,
    heard: Option<&Heard>,
    now: Time,
    minor: u64,
    sale: Option<Sale<'_>>,
) -> Vec<Check> {
    let (id, limits) = (&account.config.id, account.config.offline.limits(by));
    let c = limits.cloned().unwrap_or_default();
    let currency = account.config.currency;
    let plain = |rule, passed| Check { rule, passed, limit: None, now: None };
    let limit =
        |rule, limit: u64, now: u64| Check { rule, passed: now <= limit, limit: Some(limit), now: Some(now) };
    let mut all = vec![
        plain(OfflineRule::Off, limits.is_some()),
        plain(OfflineRule::Profile, account.rules.offline_authorities.contains(&by)),
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
        let swiped = by == OfflineAuthority::Merchant;
        let fits = match presented.mode {
            EntryMode::Swipe => swiped,
            EntryMode::Chip | EntryMode::Contactless => !swiped,
            EntryMode::Manual | EntryMode::Code => false,
        };
        all.extend([
            plain(OfflineRule::Kind, kind.row().offline),
            plain(OfflineRule::Instrument, fits && presented.wallet.is_none() && card.is_some()),
        ]);
        all.extend(swiped.then(|| plain(OfflineRule::Chip, !presented.chip)));
        all.extend([
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
                .filter(|o| o.duty == Duty::Repeat && o.at_risk() == Some(by))
                .map(|o| o.plan.amount)
        });
        of_card = Some(
            of.into_iter()
                .flatten()
                .fold((1, minor), |(n, sum), m| (n + 1, sum + m.map_or(0, |m| m.minor()))),
        );
    } else if by != OfflineAuthority::Merchant {
        // A tap that cannot be sent has no word any more.
        let inserted = by == OfflineAuthority::CardUnableOnline;
        let runs = settings.chip.iter().any(|i| *i == Interface::Contact || !inserted);
        all.push(plain(OfflineRule::Instrument, runs));
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
    let total = state.obligations.exposure(id, by).with(minor, true);
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

/// What a payment of this amount would be told by each authority that judges by itself, as far as no card is
/// needed.
pub fn beforehand(
    settings: &Settings,
    account: &AccountSettings,
    state: &State,
    heard: Option<&Heard>,
    now: Time,
    minor: u64,
) -> Vec<OfflineAnswer> {
    let answer = |by| {
        let checks = checks(by, settings, account, state, heard, now, minor, None);
        let judgement = Judgement::of(by, &checks, state.obligations.exposure(&account.config.id, by))?;
        Some(OfflineAnswer { account: account.config.id.clone(), judgement, checks })
    };
    let all = [OfflineAuthority::Merchant, OfflineAuthority::Card, OfflineAuthority::CardUnableOnline];
    all.into_iter().filter_map(answer).collect()
}

/// A card that is tapped may approve a payment of this amount by itself, as far as can be said before its
/// number is read: no PIN is wanted, whatever the card, and one of these accounts would accept it.
pub(super) fn tap_may(cx: &Context, accounts: &[&AccountSettings], amount: Money) -> bool {
    let (by, minor) = (OfflineAuthority::Card, amount.minor());
    let no_cvm = cx.settings.flow.no_cvm.as_ref().is_some_and(|rule| {
        let any = rule.bins.is_empty() && rule.modes.contains(&EntryMode::Contactless);
        any && minor <= rule.limit.of(amount.currency)
    });
    if !no_cvm {
        return false;
    }
    accounts.iter().any(|account| {
        let heard = cx.heard.get(&account.config.id);
        checks(by, &cx.settings, account, &cx.state, heard, cx.now, minor, None).iter().all(|c| c.passed)
    })
}

/// Judgement of the running request by this authority; none where it has no word: it accepts nothing, or a
/// frame of the request left, whatever came of that.
fn judge(cx: &Context, s: &Serving, by: OfflineAuthority) -> Option<Judgement> {
    let (id, running) = (s.account(), cx.running());
    let account = cx.account(id)?;
    account.config.offline.limits(by)?;
    let fresh = !s.left && running.in_flight.is_none() && cx.state.obligations.of(s.txn).next().is_none();
    let presented = s.presented.as_ref().filter(|p| p.wallet.is_none())?;
    let amount = s.request.amount?;
    if !fresh || s.kind() != Kind::Sale || cx.state.recovering.is_some() {
        return None;
    }
    let pin = match s.pin {
        Pin::NotAsked => pin::wanted(cx, s, id),
        Pin::Typed(_) | Pin::Bypassed => true,
        Pin::ByDevice => false,
    };
    let sale = Some(Sale { kind: s.kind(), presented, pin });
    let heard = cx.heard.get(id);
    let checks = checks(by, &cx.settings, account, &cx.state, heard, cx.now, amount.minor(), sale);
    Judgement::of(by, &checks, cx.state.obligations.exposure(id, by))
}

/// What the card approves of the running request is accepted by this authority.
pub(super) fn allows(cx: &Context, s: &Serving, by: OfflineAuthority) -> bool {
    judge(cx, s, by).is_some_and(|judgement| judgement.allowed)
}

/// What this card has paid without the host, and the acquirer has not heard of yet; minor units.
pub(super) fn of_card(cx: &Context, s: &Serving) -> u64 {
    let Some(card) = s.presented.as_ref().and_then(|p| p.card.as_ref()) else { return 0 };
    let all = cx.state.obligations.of_card(s.account(), card).filter(|o| o.at_risk().is_some());
    all.filter_map(|o| o.plan.amount).fold(0, |sum, m| sum.saturating_add(m.minor()))
}

/// The line is down, and nothing of the running request has left. True: the merchant accepts it, and it has
/// ended.
pub(super) fn accept(cx: &mut Context, s: &mut Serving) -> bool {
    if s.judged {
        return false;
    }
    let judgement = judge(cx, s, OfflineAuthority::Merchant);
    s.judged |= judgement.is_some();
    judgement.is_some_and(|judgement| decide(cx, s, judgement, None))
}

/// The card has approved the running request by its TC, which `icc` bears. True: it is accepted, and has
/// ended.
pub(super) fn accept_card(cx: &mut Context, s: &Serving, by: OfflineAuthority, icc: &Icc) -> bool {
    judge(cx, s, by).is_some_and(|judgement| decide(cx, s, judgement, Some(icc)))
}

fn decide(cx: &mut Context, s: &Serving, judgement: Judgement, icc: Option<&Icc>) -> bool {
    let (txn, id) = (s.txn, s.account().clone());
    if !judgement.allowed {
        cx.record(Some(txn), RequestRecord::OfflineDenied { txn, account: id, judgement });
        return false;
    }
    let (Some(account), Some(presented)) = (cx.account(&id).cloned(), &s.presented) else {
        unreachable!("it was judged without an account, or a card")
    };
    let by = judgement.offline_authority;
    let mut view = (*cx.running().view).clone();
    view::with_account(&mut view, &account);
    view::with_instrument(&mut view, presented);
    view.sums.amount = s.request.amount.map(Money::minor);
    let plan = Plan {
        amount: s.request.amount,
        mode: Some(presented.mode),
        expiry: presented.on_card.clone(),
        operator: view.operator.clone(),
        offline_authority: Some(by),
        card_sequence: presented.shown.as_ref().and_then(|chip| chip.sequence),
        icc: icc.cloned(),
        ..cx.control_plan(&id, Kind::Sale)
    };
    (view.stan, view.batch, view.pin) = (Some(plan.stan), Some(plan.batch), false);
    (view.no_cvm, view.offline_authority, view.offline) = (pin::no_cvm(cx, s), Some(by), Some(judgement));
    if let Some(pan) = presented.secrets.pan.clone() {
        cx.step.seal.push((txn, pan));
    }
    let card = presented.card.clone();
    let mut outcome = view.clone();
    if let Some(icc) = icc {
        cx.record(
            Some(txn),
            RequestRecord::CardEnded { txn, stan: plan.stan, approved: true, icc: icc.clone() },
        );
    }
    let (plan, view) = (Box::new(plan), Arc::new(view));
    cx.record(Some(txn), RequestRecord::OfflineAllowed { txn, account: id, plan, view, card, judgement });
    outcome.forwarding = Some(Forwarding::Pending);
    let authority = match by {
        OfflineAuthority::Card | OfflineAuthority::CardUnableOnline => Authority::Card,
        OfflineAuthority::Merchant => Authority::Merchant,
        OfflineAuthority::Voice => Authority::Voice,
    };
    cx.approve(&mut outcome, authority);
    cx.finish(outcome);
    true
}
