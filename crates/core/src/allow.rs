//! The step after which the frame may leave: STAN, plan and obligation are on disk before any byte of it.
use crate::{
    Machine,
    flow::{FlowOriginal, Stage},
    links::Purpose,
    view,
};
use payterm_schema::{
    AccountId, HostEvent, Kind, RequestRecord,
    host::{CardSecrets, MessageKind, OriginalRef, Plan, SecretsFrom},
    kind::{CardRule, Recovery},
    offline::OfflineAuthority,
};
use std::sync::Arc;

impl Machine {
    pub(crate) fn allow(&mut self, account: AccountId) {
        let Some((running, settings)) = self.state.running.clone().zip(self.account(&account).cloned())
        else {
            return;
        };
        let (amount, no_cvm) = (self.amount(), self.no_cvm());
        let Some(flow) = self.flow.clone() else { return };
        let (kind, txn) = (running.request.kind, running.txn);
        let row = kind.row();
        let stan = self.state.next_stan(&account);
        let batch = self.state.ledger(&account).batch;
        let mut view = Arc::unwrap_or_clone(running.view);
        view::with_account(&mut view, &settings);
        if let Some(p) = &flow.presented {
            view::with_instrument(&mut view, p);
        }
        match &flow.original {
            Some(FlowOriginal::Ours(o)) => view::with_original(&mut view, o, flow.presented.is_none()),
            Some(FlowOriginal::Elsewhere { rrn, auth_code, date }) => {
                view::with_foreign(&mut view, rrn.as_ref(), auth_code.as_ref(), date.as_ref())
            }
            None => {}
        }
        let tip = running.request.amount.filter(|_| kind == Kind::TipAdjust).map(|m| m.minor());
        view.sums.amount = amount.map(|m| m.minor());
        view.sums.tip = tip;
        let pin_block = flow.pin.clone().flatten();
        view.stan = Some(stan);
        view.batch = Some(batch);
        view.pin = pin_block.is_some();
        view.offline_authority = (kind == Kind::VoiceSale).then_some(OfflineAuthority::Voice);
        view.no_cvm = no_cvm.filter(|_| pin_block.is_none());
        // An advice is sent again from disk, and no track is kept there: it carries the PAN itself.
        let repeats = row.recovery == Recovery::Repeat;
        let original = view.original.as_ref();
        let plan = Plan {
            kind,
            stan,
            batch,
            amount,
            mode: view.entry,
            pin: pin_block.is_some(),
            track: !repeats && flow.presented.as_ref().is_some_and(|p| p.secrets.tracks.is_some()),
            wallet: view.wallet,
            expiry: flow.presented.as_ref().and_then(|p| {
                if repeats { p.expiry.clone().or(p.on_card.clone()) } else { p.expiry.clone() }
            }),
            card_sequence: None,
            original: original.map(|o| OriginalRef {
                batch: o.batch,
                stan: o.stan,
                date: o.date.clone(),
                rrn: o.rrn.clone(),
                auth_code: o.auth_code.clone(),
            }),
            operator: view.operator.clone(),
            at: self.now,
            auth_code: running.request.auth_code.clone(),
            tip,
            scheme: (kind == Kind::Refund).then(|| view.scheme.clone().unwrap_or_else(|| "000".into())),
            settlement: None,
            offline_authority: view.offline_authority,
            icc: None,
        };
        let secrets = match (&flow.presented, original.and_then(|o| o.txn)) {
            (Some(p), _) if repeats => {
                SecretsFrom::Memory(CardSecrets { pan: p.secrets.pan.clone(), ..CardSecrets::default() })
            }
            (Some(p), _) => SecretsFrom::Memory(CardSecrets { pin_block, ..p.secrets.clone() }),
            (None, Some(original)) if plan.wallet.is_none() && row.card == CardRule::None => {
                SecretsFrom::Sealed(original)
            }
            (None, _) => SecretsFrom::None,
        };
        if let Some(pan) = flow.presented.as_ref().and_then(|p| p.secrets.pan.clone()) {
            self.step.seal.push((txn, pan));
        }
        // Once a request: a try that the host refused held it already.
        if running.frames == 0
            && let (Kind::Refund, Some(original), Some(minor)) =
                (kind, original.and_then(|o| o.txn), view.sums.amount)
        {
            self.record(Some(original), RequestRecord::RefundHeld { txn: original, by: txn, minor });
        }
        let owes = row.recovery != Recovery::AskAgain;
        let card = flow.presented.as_ref().and_then(|p| p.card.clone());
        // Earlier payments of this card are told first (one without a card belongs to its original's).
        let place =
            (card.clone(), if card.is_some() { 0 } else { original.and_then(|o| o.txn).unwrap_or(txn) });
        let queued = repeats && self.state.obligations.queued(&account, &place);
        self.record(
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
            return self.request_event(
                &account,
                txn,
                stan,
                HostEvent::NotSent { why: "earlier payments of this card are told first".into() },
            );
        }
        let log = Some(running.key.to_string());
        self.send(&account, Purpose::Request { txn, stan }, MessageKind::Request, plan, secrets, log);
        let until = self.in_front(&account).map_or(self.now, |l| l.until);
        self.set_stage(Stage::Sent { until });
    }
}
