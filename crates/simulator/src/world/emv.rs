//! What terminals download for their card kernel: CA keys and applications (host-protocol §3).
use super::{Account, World, WorldError};
use crate::{
    card::{CA_INDEX, ca_key},
    mishap::Mishap,
};
use payterm_schema::{
    account::AccountId,
    download::{EmvAid, EmvAnswer, EmvAsk, EmvKey, EmvList, EmvName, EmvRow},
};
use serde::Deserialize;
use sha1::{Digest, Sha1};

/// Entries in one part of a list: F62 holds 512 bytes.
const PAGE: usize = 16;
/// UnionPay, the provider of the test cards.
const RID: [u8; 5] = [0xA0, 0x00, 0x00, 0x03, 0x33];
/// Limits of a tap, minor units, as in `docs/emv-parameters.toml`.
const TAP_LIMIT: u64 = 5_000_000;
const TAP_NO_CVM: u64 = 100_000;

fn tap_limit() -> u64 {
    TAP_LIMIT
}
fn tap_no_cvm() -> u64 {
    TAP_NO_CVM
}

/// CA key; its checksum is computed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRow {
    /// None: for every account.
    #[serde(default)]
    pub account: Option<AccountId>,
    /// 9F06, ten hex digits.
    pub rid: String,
    /// 9F22, two hex digits.
    pub index: String,
    /// Last day, YYYYMMDD.
    pub expiry: String,
    /// 64 to 248 bytes, hex.
    pub modulus: String,
    /// 03 or 010001.
    pub exponent: String,
}

/// Application. What is left out sends every payment to the issuer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AidRow {
    /// None: for every account.
    #[serde(default)]
    pub account: Option<AccountId>,
    /// 9F06, 5 to 16 bytes, hex.
    pub aid: String,
    /// Names of a card that only begin with it fit too.
    #[serde(default)]
    pub partial: bool,
    /// Floor limit, minor units.
    #[serde(default)]
    pub floor: u32,
    /// Limits of a tap, minor units: from here on it is refused (0: always), and without PIN and signature.
    #[serde(default = "tap_limit")]
    pub tap_limit: u64,
    #[serde(default = "tap_no_cvm")]
    pub tap_no_cvm: u64,
}

fn key(rid: [u8; 5], index: u8, expiry: &str, modulus: Vec<u8>, exponent: Vec<u8>) -> EmvKey {
    let parts = [&rid[..], &[index], &modulus, &exponent];
    let hash = parts.iter().fold(Sha1::new(), |hash, part| hash.chain_update(part));
    EmvKey { rid, index, expiry: expiry.into(), modulus, exponent, checksum: hash.finalize().into() }
}
impl KeyRow {
    /// None where it has another form than its fields say.
    fn key(&self) -> Option<EmvKey> {
        let (mut rid, mut index) = ([0; 5], [0; 1]);
        hex::decode_to_slice(&self.rid, &mut rid).ok()?;
        hex::decode_to_slice(&self.index, &mut index).ok()?;
        let (modulus, exponent) = (hex::decode(&self.modulus).ok()?, hex::decode(&self.exponent).ok()?);
        let sized = (64..=248).contains(&modulus.len()) && matches!(exponent.as_slice(), [3] | [1, 0, 1]);
        let dated = self.expiry.len() == 8 && self.expiry.bytes().all(|b| b.is_ascii_digit());
        (sized && dated).then(|| key(rid, index[0], &self.expiry, modulus, exponent))
    }
}

fn application(aid: Vec<u8>, row: Option<&AidRow>) -> EmvAid {
    EmvAid {
        aid,
        partial: row.is_some_and(|r| r.partial),
        version: [0x00, 0x30],
        default: [0xFF; 5],
        online: [0xFF; 5],
        denial: [0; 5],
        floor: row.map_or(0, |r| r.floor),
        threshold: 0,
        most: 0,
        target: 0,
        ddol: vec![0x9F, 0x37, 0x04],
        online_pin: true,
        cash_limit: None,
        tap_floor: Some(0),
        tap_limit: Some(row.map_or(TAP_LIMIT, |r| r.tap_limit)),
        tap_no_cvm: Some(row.map_or(TAP_NO_CVM, |r| r.tap_no_cvm)),
    }
}
impl AidRow {
    fn application(&self) -> Option<EmvAid> {
        let aid = hex::decode(&self.aid).ok().filter(|aid| (5..=16).contains(&aid.len()))?;
        Some(application(aid, Some(self)))
    }
}

impl World {
    fn keys(&self, account: &AccountId) -> Vec<EmvKey> {
        if self.emv_keys.is_empty() {
            let (modulus, exponent) = ca_key();
            return vec![key(RID, CA_INDEX, "20991231", modulus, exponent)];
        }
        let own = self.emv_keys.iter().filter(|row| row.account.as_ref().is_none_or(|a| a == account));
        own.filter_map(KeyRow::key).collect()
    }
    fn aids(&self, account: &AccountId) -> Vec<EmvAid> {
        if self.emv_aids.is_empty() {
            let cards = [0x01, 0x02].map(|last| [&RID[..], &[0x01, 0x01, last]].concat());
            return cards.into_iter().map(|aid| application(aid, None)).collect();
        }
        let own = self.emv_aids.iter().filter(|row| row.account.as_ref().is_none_or(|a| a == account));
        own.filter_map(AidRow::application).collect()
    }

    /// Part of a list, behind what was received.
    pub(crate) fn emv_page(
        &self,
        account: &Account,
        of: EmvList,
        received: u8,
        mishap: Option<&Mishap>,
    ) -> EmvAnswer {
        let rows: Vec<EmvRow> = match of {
            EmvList::Keys => {
                let row = |k: EmvKey| EmvRow { name: k.name(), expiry: Some(k.expiry) };
                self.keys(&account.name).into_iter().map(row).collect()
            }
            EmvList::Aids => {
                let row = |a: EmvAid| EmvRow { name: a.name(), expiry: None };
                self.aids(&account.name).into_iter().map(row).collect()
            }
        };
        if mishap == Some(&Mishap::EndlessList) {
            return EmvAnswer::Page { more: true, rows: rows.into_iter().take(PAGE).collect() };
        }
        let more = rows.len() > usize::from(received) + PAGE;
        EmvAnswer::Page { more, rows: rows.into_iter().skip(received.into()).take(PAGE).collect() }
    }

    pub(crate) fn emv_entry(&self, account: &Account, name: &EmvName) -> EmvAnswer {
        let found = match name {
            EmvName::Key { .. } => {
                self.keys(&account.name).into_iter().find(|k| k.name() == *name).map(EmvAnswer::Key)
            }
            EmvName::Aid { .. } => {
                self.aids(&account.name).into_iter().find(|a| a.name() == *name).map(EmvAnswer::Aid)
            }
        };
        found.unwrap_or(EmvAnswer::NoEntry)
    }

    pub(super) fn check_emv(&self) -> Result<(), WorldError> {
        let bad = |field: String, rule: &str| Err(WorldError::Invalid { field, rule: rule.into() });
        let most = usize::from(EmvAsk::LIST_MAX);
        if self.emv_keys.len() > most || self.emv_aids.len() > most {
            return bad("emv_key, emv_aid".into(), "at most 99 of each");
        }
        let keys = self.emv_keys.iter().map(|row| (&row.account, row.key().map(|k| k.name())));
        let aids = self.emv_aids.iter().map(|row| (&row.account, row.application().map(|a| a.name())));
        let mut seen: Vec<EmvName> = Vec::new();
        for (what, rows) in [("emv_key", keys.collect::<Vec<_>>()), ("emv_aid", aids.collect())] {
            for (i, (account, name)) in rows.into_iter().enumerate() {
                if account.as_ref().is_some_and(|a| self.account(a.as_str()).is_none()) {
                    return bad(format!("{what}[{i}].account"), "names no account");
                }
                let Some(name) = name else {
                    return bad(format!("{what}[{i}]"), "hex digits of the size that each field has");
                };
                if seen.contains(&name) {
                    return bad(format!("{what}[{i}]"), "each once");
                }
                seen.push(name);
            }
        }
        Ok(())
    }
}
