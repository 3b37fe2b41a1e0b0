//! What the journal keeps of sign-ins, whoever asked for them, and of the numbers under which an account
//! speaks.
use crate::{AccountSettings, Effect, context::Context, signal::Signal};
use payterm_schema::{
    AccountId, AccountRecord, HostAnswer, Kind, Notice, Time,
    account::Batch,
    download::EmvList,
    host::{KeysVerdict, Plan},
    outcome::Class,
};

/// Lists that the host asks for with a processing requirement (host-protocol §1): 4 CA keys, 5 IC
/// parameters.
pub(crate) fn asked_lists(digit: u8) -> &'static [EmvList] {
    match digit {
        4 => &[EmvList::Keys],
        5 => &[EmvList::Aids],
        _ => &[],
    }
}

impl Context {
    /// Messages may leave: the account is signed in, or its acquirer knows no sign-in.
    pub fn signed_in(&self, a: &AccountSettings) -> bool {
        !a.rules.sign_in || self.state.ledger(&a.config.id).signed_in
    }

    /// The open batch was begun under another merchant or terminal number: whatever left now would be of
    /// another terminal's batch.
    pub fn renumbered(&self, id: &AccountId) -> bool {
        let l = self.state.ledger(id);
        let same = |a: &AccountSettings| {
            l.opened_as.as_ref().is_none_or(|(m, t)| a.config.mid == **m && a.config.tid == **t)
        };
        l.holds_records() && !self.account(id).is_some_and(same)
    }

    /// Message of the account itself, about no transaction.
    pub fn control_plan(&self, id: &AccountId, kind: Kind) -> Plan {
        Plan {
            kind,
            stan: self.state.next_stan(id),
            batch: self.state.ledger(id).batch,
            amount: None,
            mode: None,
            pin: false,
            track: false,
            wallet: None,
            expiry: None,
            fallback: false,
            card_sequence: None,
            original: None,
            operator: self.operator(),
            at: self.now,
            offset: self.state.ledger(id).offset,
            auth_code: None,
            tip: None,
            scheme: None,
            settlement: None,
            offline_authority: None,
            icc: None,
            download: None,
        }
    }

    /// A sign-in is good when its code is a success and, where messages are MACed, new keys passed their
    /// check values; else the code of the failure and why.
    pub fn sign_in_refusal(&self, id: &AccountId, answer: &HostAnswer) -> Option<(&'static str, String)> {
        if self.class(id, &answer.code) != Class::A {
            return Some(("sign-in-failed", format!("the host answered {}", answer.code)));
        }
        let keys_needed = self.account(id).is_some_and(|a| a.rules.mac_on_replies);
        match &answer.keys {
            KeysVerdict::Loaded => None,
            KeysVerdict::None if !keys_needed => None,
            KeysVerdict::None => Some(("keys-absent", "the reply holds no working keys".into())),
            KeysVerdict::Refused(why) => Some(("keys-refused", why.clone())),
        }
    }

    /// MMDD of a time of the host's clock, in its zone.
    pub fn host_date(&self, id: &AccountId, at: Time) -> Option<String> {
        let t = at.local(self.account(id)?.host_offset_minutes);
        Some(format!("{:02}{:02}", u8::from(t.month()), t.day()))
    }

    pub fn record_sign_in(&mut self, id: &AccountId, answer: HostAnswer) {
        let (ours, holds, ours_off) =
            (self.state.ledger(id).batch, self.state.keeps_batch(id), self.state.ledger(id).offset);
        // Another batch number while ours holds records, or may, does not change ours: settle first
        // (host-protocol §4).
        let batch: Batch = answer.batch.filter(|_| !holds).unwrap_or(ours);
        // In a journal that was restored it may be settled: a person is asked ([`Context::doubt_batches`]).
        if answer.batch.is_some_and(|b| b != batch) && self.state.recovering.is_none() {
            self.trouble("settle-first");
        }
        let behind = self.batch_is_behind(id, answer.batch);
        self.believe(id, &answer);
        let offset = self.host_offset(id, &answer).unwrap_or(ours_off);
        self.record(
            None,
            AccountRecord::SignedIn { account: id.clone(), batch, offset, answer: Box::new(answer) },
        );
        self.signal(Signal::NewKeys { account: id.clone() });
        if behind {
            self.outdated("the acquirer is in a batch that is settled here");
        }
    }

    /// The host's word in the header of a reply (processing requirement, host-protocol §1): 3 = sign in again
    /// after this transaction, 4 and 5 = download ([`asked_lists`]); others are recorded and shown.
    pub fn requirement(&mut self, id: &AccountId, txn: impl Into<Option<u64>>, digit: u8) {
        if digit == 0 {
            return;
        }
        self.record(txn.into(), AccountRecord::Requirement { account: id.clone(), digit });
        if digit == 3 {
            self.sign_out(id, "the host asks for a sign-in (requirement 3)");
            self.signal(Signal::SignInWanted { account: id.clone() });
        } else {
            self.tell(Notice::Requirement { account: id.clone(), digit });
            self.want_download(id, asked_lists(digit));
        }
    }

    /// Lists are to be downloaded when nobody is in the way.
    pub fn want_download(&mut self, id: &AccountId, lists: &'static [EmvList]) {
        if !lists.is_empty() {
            self.signal(Signal::DownloadWanted { account: id.clone(), lists });
        }
    }

    /// The card kernel works with what the hosts of all configured accounts have given, from its next run on.
    pub fn use_downloads(&mut self) {
        let given = |a: &AccountSettings| {
            let id = &a.config.id;
            Some((id.clone(), self.state.accounts.get(id)?.emv.clone()?))
        };
        let all: Vec<_> = self.settings.accounts.iter().filter_map(given).collect();
        if !all.is_empty() {
            self.effect(Effect::UseDownloads { all });
        }
    }

    pub fn sign_out(&mut self, id: &AccountId, why: &str) {
        if self.state.ledger(id).signed_in {
            self.record(None, AccountRecord::SignedOut { account: id.clone(), why: why.into() });
        }
    }
}
