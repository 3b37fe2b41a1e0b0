//! Terminal risk management (EMV 4.4 Book 3 §10.6): forced, floor limit, random selection, velocity. It is
//! done for every card, whatever its AIP says.
use super::{Go, Phase, Run, Turn, action};
use crate::{
    Command, Reply, Tag, tlv,
    verification::{Tsi, Tvr},
};

/// Counter that is asked for.
pub(super) enum Wait {
    Transactions,
    /// Last online one; the transaction counter is known, or not to be had.
    LastOnline(Option<u16>),
}

pub(super) fn begin(run: &mut Run) -> Turn {
    if run.transaction.force_online {
        run.tvr(Tvr::Forced);
    }
    let sum = run.transaction.amount.saturating_add(run.proceed.earlier);
    if sum >= u64::from(run.limits.floor) {
        run.tvr(Tvr::Floor);
    } else if chosen(run) {
        run.tvr(Tvr::Random);
    }
    if run.tags.has(Tag(0x9F14)) && run.tags.has(Tag(0x9F23)) {
        return Ok(Go::Send(Command::get_data(Tag(0x9F36)), Phase::Risk(Wait::Transactions)));
    }
    end(run)
}

/// Random transaction selection, below the floor, where the issuer can be asked and need not be.
fn chosen(run: &Run) -> bool {
    if run.terminal.is_offline_only() || run.is_online_only() {
        return false;
    }
    let (limits, amount) = (run.limits, run.transaction.amount);
    let above = amount.saturating_sub(limits.threshold.into());
    let range = u64::from(limits.floor.saturating_sub(limits.threshold));
    // Above the threshold the percentage rises to the most at the floor.
    let rise = (u64::from(limits.most - limits.target) * above).checked_div(range).unwrap_or_default();
    u64::from(run.transaction.draw) <= u64::from(limits.target) + rise
}

pub(super) fn answer(run: &mut Run, wait: Wait, reply: &Reply) -> Turn {
    match wait {
        Wait::Transactions => {
            let wait = Wait::LastOnline(counter(reply, Tag(0x9F36)));
            Ok(Go::Send(Command::get_data(Tag(0x9F13)), Phase::Risk(wait)))
        }
        Wait::LastOnline(transactions) => {
            velocity(run, transactions, counter(reply, Tag(0x9F13)));
            end(run)
        }
    }
}

fn counter(reply: &Reply, tag: Tag) -> Option<u16> {
    let value = tlv::find(&reply.data, tag).ok()?.filter(|_| reply.sw == 0x9000)?;
    Some(u16::from_be_bytes(value.try_into().ok()?))
}

/// Payments since the last online one against the card's limits. Counters that are not to be had, or run
/// backwards, are beyond both.
fn velocity(run: &mut Run, transactions: Option<u16>, last: Option<u16>) {
    let since = transactions.zip(last).and_then(|(t, l)| t.checked_sub(l)).filter(|since| *since > 0);
    let beyond = |tag| {
        let limit = run.tags.get(Tag(tag)).and_then(|v| v.first().copied()).map(u16::from);
        since.zip(limit).is_none_or(|(since, limit)| since > limit)
    };
    let (lower, upper) = (beyond(0x9F14), beyond(0x9F23));
    if lower {
        run.tvr(Tvr::LowerLimit);
    }
    if upper {
        run.tvr(Tvr::UpperLimit);
    }
    if last == Some(0) {
        run.tvr(Tvr::NewCard);
    }
}

fn end(run: &mut Run) -> Turn {
    run.tsi(Tsi::Risk);
    action::begin(run)
}
