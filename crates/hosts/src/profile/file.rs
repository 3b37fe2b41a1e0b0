//! A profile's file, and the rules that make a [`Profile`] of it.
use super::list::{field_list, is_mti, known, number, slots, values};
use super::rows::{
    EmvForm, Entry, Frame, IcCondition, Keys, MacRule, MakLength, MessageRow, Reasons, ReplyRow, Reversal,
    ScriptResult, Security, Show, Slot,
};
use super::{CARD_SALE, LengthPrefix, Mask, OFFLINE, Profile, ProfileError, QUERY, bad, field, kind_of};
use crate::emv_download::ROWS;
use crate::iso8583::{Align, Bitmap, Class, Digits, FIELDS, Format, Prefix, Table};
use crate::mti::reply_mti;
use crate::settlement::{CERTIFICATES, NEEDED, Upload};
use crate::template::{Template, Var};
use payterm_schema::config::Percent;
use payterm_schema::host::{CodeRule, HostRules, Wallet, WalletQuery};
use payterm_schema::icc::Tag;
use payterm_schema::kind::{Kind, Recovery};
use payterm_schema::offline::OfflineAuthority;
use payterm_schema::secret::MacAlgorithm;
use payterm_schema::time::Millis;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    name: String,
    title: String,
    utc_offset_minutes: i32,
    sign_in: bool,
    repeat_mti: bool,
    completion_percent: Percent,
    #[serde(default = "one")]
    advices_in_flight: u32,
    #[serde(default)]
    offline_authorities: Vec<OfflineAuthority>,
    frame: Frame,
    coding: Coding,
    mac: MacRule,
    keys: Keys,
    fields: BTreeMap<String, FieldRow>,
    entry: Entry,
    ic_condition: Option<IcCondition>,
    security: Security,
    values: BTreeMap<String, String>,
    message: BTreeMap<String, MessageFile>,
    reversal: Reversal,
    script_result: Option<ScriptResult>,
    advice: Advice,
    emv: Option<EmvForm>,
    reply: ReplyRow,
    #[serde(default)]
    wallet: BTreeMap<Wallet, WalletRow>,
    codes: BTreeMap<String, CodeRule>,
}
fn one() -> u32 {
    1
}
/// More would say little: with so many the line and the host are busy.
const MAX_ADVICES_IN_FLIGHT: u32 = 32;
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Coding {
    mti: Digits,
    bitmap: Bitmap,
    lengths: Digits,
    numeric: Digits,
}
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldRow {
    name: String,
    class: Class,
    #[serde(default)]
    prefix: Prefix,
    max: u16,
    #[serde(default)]
    align: Align,
    #[serde(default)]
    mask: Mask,
}
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageFile {
    mti: String,
    fields: String,
    #[serde(default)]
    values: BTreeMap<String, String>,
    #[serde(default)]
    new_batch: bool,
    /// EMV elements in `{icc}`.
    #[serde(default)]
    icc: Vec<Tag>,
}
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Advice {
    ends: Vec<String>,
    #[serde(default)]
    duplicate_names_first: bool,
}
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WalletRow {
    undo_after_s: u32,
    query: Option<QueryRow>,
}
/// Seconds after a pending answer: the first query, from one to the next, and the end.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct QueryRow {
    first_s: u32,
    every_s: u32,
    until_s: u32,
}

/// Fields of a script result, M or C, and the values that are its own.
type ScriptForm = (Vec<(u8, bool)>, BTreeMap<u8, Template>);

/// ISO 8583 fields with card data: PAN, PAN extended, tracks 2, 3 and 1, PIN block, ICC data.
const CARD_FIELDS: [u8; 7] = [2, 34, 35, 36, 45, 52, 55];

impl File {
    fn table(&self) -> Result<(Table, BTreeMap<u8, Show>), ProfileError> {
        let Coding { mti, bitmap, lengths, numeric } = self.coding;
        let mut table = Table { formats: [None; FIELDS + 1], mti, bitmap, lengths, numeric };
        let mut shows = BTreeMap::new();
        let r = &self.reply;
        let texts: Vec<u8> =
            [r.issuer_id, r.acquirer_id, r.scheme].iter().chain(&r.texts).map(|s| s.field).collect();
        for (key, row) in &self.fields {
            let n = number(&format!("fields.{key}"), key)?;
            table.formats[usize::from(n)] = Some(Format {
                class: row.class,
                prefix: row.prefix,
                max: row.max,
                align: row.align,
                for_people: texts.contains(&n),
            });
            shows.insert(
                n,
                Show { field: format!("F{n}").into(), name: row.name.as_str().into(), mask: row.mask },
            );
        }
        table.check().or_else(|e| bad(format!("fields.{}", e.part), e.rule.to_string()))?;
        for n in [field::AMOUNT, field::CODE, field::CURRENCY, field::MAC] {
            known("fields", n, &table)?;
        }
        let mac = table.formats[usize::from(field::MAC)];
        if mac.is_none_or(|f| f.class != Class::B || f.prefix != Prefix::Fixed || f.max != 8) {
            return bad("fields.64", "the MAC is 8 fixed bytes of class b");
        }
        Ok((table, shows))
    }

    fn check_frame(&self) -> Result<Option<Template>, ProfileError> {
        let most = match self.frame.length {
            LengthPrefix::Binary2 => crate::iso8583::MAX_MESSAGE,
            LengthPrefix::Ascii4 => crate::iso8583::MAX_MESSAGE.min(9999),
        };
        if !(64..=most).contains(&self.frame.max) {
            return bad("frame.max", format!("64 to {most} bytes"));
        }
        if self.frame.tpdu.as_ref().is_some_and(|t| t.len() != 2 || hex::decode(t).is_err()) {
            return bad("frame.tpdu", "two hex digits");
        }
        let Some(header) = &self.frame.header else {
            return if self.frame.requirement_digit.is_some() {
                bad("frame.requirement_digit", "there is no header")
            } else {
                Ok(None)
            };
        };
        let template = Template::parse(header).or_else(|rule| bad("frame.header", rule))?;
        let digits = template.header_digits(false).or_else(|rule| bad("frame.header", rule))?;
        if self.frame.requirement_digit.is_some_and(|d| d == 0 || d > digits.len()) {
            return bad("frame.requirement_digit", format!("1 to {}", digits.len()));
        }
        Ok(Some(template))
    }

    fn check_messages(&self, table: &Table) -> Result<BTreeMap<String, MessageRow>, ProfileError> {
        allowed("reversal.icc", &self.reversal.icc)?;
        let common = values("values", &self.values, table)?;
        let undo = values("reversal.values", &self.reversal.values, table)?;
        let add = field_list("reversal.add", &self.reversal.add, table)?;
        if !is_mti(&self.reversal.mti) {
            return bad("reversal.mti", "four digits");
        }
        let script = self.check_script_result(table)?;
        let mut rows = BTreeMap::new();
        for (name, file) in &self.message {
            let key = |part: &str| format!("message.{name}.{part}");
            let kind = kind_of(name);
            let own_name =
                [QUERY, OFFLINE, CARD_SALE].contains(&name.as_str()) || ROWS.contains(&name.as_str());
            if kind.is_none() && !own_name && Upload::named(name).is_none() {
                return bad(format!("message.{name}"), "no such kind");
            }
            if !is_mti(&file.mti) {
                return bad(key("mti"), "four digits");
            }
            let own = values(&key("values"), &file.values, table)?;
            let mut all = common.clone();
            all.extend(own.clone());
            let list = field_list(&key("fields"), &file.fields, table)?;
            if list.iter().any(|(n, _)| *n == field::MAC) != self.mac.mtis.contains(&file.mti) {
                return bad(key("fields"), "F64 must be there exactly when mac.mtis names the MTI");
            }
            let request = slots(&key("fields"), &list, &all)?;
            check_icc(&key("icc"), &file.icc, &request)?;
            let conditions = all.values().flat_map(Template::vars).any(|v| v == Var::IcCondition);
            if conditions && self.ic_condition.is_none() {
                return bad("ic_condition", format!("none given, but message.{name} has {{ic_condition}}"));
            }
            let script_result = match &script {
                Some((fields, values)) if kind.is_some() && !file.icc.is_empty() => {
                    let mut all = all.clone();
                    all.extend(values.clone());
                    let slots = slots("script_result.fields", fields, &all)?;
                    check_icc("script_result.icc", &self.script_icc(), &slots)?;
                    slots
                }
                Some(_) | None => Vec::new(),
            };
            all.extend(undo.clone());
            let mut kept: BTreeMap<u8, bool> =
                list.into_iter().filter(|(n, _)| !self.reversal.drop.contains(n)).collect();
            for (n, must) in &add {
                kept.entry(*n).and_modify(|m| *m |= must).or_insert(*must);
            }
            let reversible = kind.is_some_and(|k| k.row().recovery == Recovery::Reverse);
            let reversal = if reversible {
                slots("reversal.add", &kept.into_iter().collect::<Vec<_>>(), &all)?
            } else {
                Vec::new()
            };
            if reversible
                && reversal.iter().any(|s| s.field == field::MAC)
                    != self.mac.mtis.contains(&self.reversal.mti)
            {
                return bad(
                    "reversal",
                    format!("F64 of {name} must be kept exactly when mac.mtis names {}", self.reversal.mti),
                );
            }
            if has_icc(&reversal) && self.reversal.icc.is_empty() {
                return bad("reversal.icc", format!("none given, but the reversal of {name} has {{icc}}"));
            }
            let row = MessageRow {
                mti: file.mti.clone(),
                request,
                reversal,
                script_result,
                // The chip's data may lack in a message: it is not recognised by them.
                own: own.into_iter().filter(|(_, t)| t.vars().all(|v| v != Var::Icc)).collect(),
                new_batch: file.new_batch,
                icc: file.icc.clone(),
                reversal_icc: self.reversal.icc.clone(),
                script_icc: self.script_icc(),
            };
            rows.insert(name.clone(), row);
        }
        if let Some(lacking) =
            NEEDED.iter().find(|n| rows.contains_key("settlement") && !rows.contains_key(**n))
        {
            return bad(format!("message.{lacking}"), "needed: the profile has a settlement");
        }
        let (has, lacks): (Vec<&str>, Vec<&str>) = CERTIFICATES.iter().partition(|n| rows.contains_key(**n));
        if let (Some(has), Some(lacks)) = (has.first(), lacks.first()) {
            return bad(format!("message.{lacks}"), format!("needed beside message.{has}"));
        }
        Ok(rows)
    }

    fn script_icc(&self) -> Vec<Tag> {
        self.script_result.as_ref().map(|script| script.icc.clone()).unwrap_or_default()
    }
    /// Fields and values of the script result; what has no value there has that of the payment's message.
    fn check_script_result(&self, table: &Table) -> Result<Option<ScriptForm>, ProfileError> {
        let Some(script) = &self.script_result else { return Ok(None) };
        if !is_mti(&script.mti) || script.mti == self.reversal.mti {
            return bad("script_result.mti", "four digits, not those of a reversal");
        }
        if let Some((name, _)) = self.message.iter().find(|(_, m)| m.mti == script.mti) {
            return bad("script_result.mti", format!("message.{name} has it"));
        }
        let list = field_list("script_result.fields", &script.fields, table)?;
        if list.iter().any(|(n, _)| *n == field::MAC) != self.mac.mtis.contains(&script.mti) {
            return bad("script_result.fields", "F64 must be there exactly when mac.mtis names the MTI");
        }
        if !script.icc.contains(&Tag::SCRIPT_RESULTS) {
            return bad("script_result.icc", format!("without {} it tells nothing", Tag::SCRIPT_RESULTS));
        }
        Ok(Some((list, values("script_result.values", &script.values, table)?)))
    }

    /// A mask that was forgotten would put a track or a PIN block on disk: what holds such data by ISO 8583,
    /// or by a template of this profile, is masked, and no part of an answer is taken from it.
    fn check_masks(
        &self,
        shows: &BTreeMap<u8, Show>,
        messages: &BTreeMap<String, MessageRow>,
    ) -> Result<(), ProfileError> {
        let mask = |n: u8| shows.get(&n).map_or(Mask::Hide, |s| s.mask);
        let refuse = |n: u8, rule: &str| bad(format!("fields.{n}.mask"), rule);
        if let Some(n) = CARD_FIELDS.into_iter().chain([self.keys.field]).find(|n| mask(*n) == Mask::Show) {
            return refuse(n, "the field may hold card data or keys");
        }
        let slots = messages.values().flat_map(|m| [&m.request, &m.reversal, &m.script_result]);
        let slots = slots.flatten();
        for (n, var) in slots.flat_map(|s| s.value.iter().flat_map(|t| t.vars().map(|v| (s.field, v)))) {
            let hidden =
                [Var::Pan, Var::Records, Var::Code, Var::Track2, Var::Track3, Var::PinBlock, Var::Expiry]
                    .contains(&var);
            if hidden
                && !matches!(
                    (var, mask(n)),
                    (_, Mask::Hide) | (Var::Pan, Mask::Pan) | (Var::Code, Mask::Code)
                )
            {
                return refuse(n, "a PAN needs pan, a payment code code, tracks, PIN block and expiry hide");
            }
        }
        let r = &self.reply;
        let single = [r.time, r.date, r.settlement_date, r.acquirer, r.rrn, r.auth_code, r.balance];
        let parts = [r.batch, r.issuer_id, r.acquirer_id, r.scheme];
        let parts = parts.iter().chain(&r.texts).chain(&r.fee).map(|s| s.field);
        match r.same.iter().copied().chain(single).chain(parts).find(|n| mask(*n) != Mask::Show) {
            Some(n) => bad(
                "reply",
                format!("F{n} is masked: nothing is taken from it, and nothing compared with it"),
            ),
            None => Ok(()),
        }
    }

    /// The messages of downloads come together, with the form of what they bring.
    fn check_downloads(&self, messages: &BTreeMap<String, MessageRow>) -> Result<(), ProfileError> {
        let lacking = ROWS.iter().find(|row| !messages.contains_key(**row));
        let any = ROWS.iter().any(|row| messages.contains_key(*row));
        match (&self.emv, lacking, any) {
            (Some(form), None, _) if form.partial > 1 => bad("emv.partial", "0 or 1"),
            (Some(_), Some(lacking), _) => bad(format!("message.{lacking}"), "needed: the profile has [emv]"),
            (None, _, true) => bad("emv", "needed: the profile has messages for downloads"),
            (Some(_), None, _) | (None, _, false) => Ok(()),
        }
    }

    /// A success is believed by its MAC only: where that is demanded, replies to authorisations and reversals
    /// must carry one.
    fn check_reply_macs(&self) -> Result<(), ProfileError> {
        let authorises = |name: &str| {
            [QUERY, OFFLINE, CARD_SALE].contains(&name)
                || kind_of(name).is_some_and(|k| k.row().authorisation)
        };
        let asked = self
            .message
            .iter()
            .filter(|(name, _)| authorises(name))
            .map(|(_, m)| &m.mti)
            .chain([&self.reversal.mti])
            .chain(self.script_result.as_ref().map(|script| &script.mti));
        match asked
            .map(|mti| reply_mti(mti))
            .find(|mti| self.mac.approval_needs_mac && !self.mac.mtis.contains(mti))
        {
            Some(mti) => bad("mac.mtis", format!("{mti} is not there, but approval_needs_mac = true")),
            None => Ok(()),
        }
    }

    fn check_reply(&self, table: &Table) -> Result<(), ProfileError> {
        let r = &self.reply;
        let single = [
            r.time,
            r.date,
            r.settlement_date,
            r.acquirer,
            r.rrn,
            r.auth_code,
            r.balance,
            r.parameters,
            r.settlement,
            self.keys.field,
        ];
        for n in r.echo.iter().chain(&r.same).chain(&single) {
            known("reply", *n, table)?;
        }
        if let Some(n) = r.icc {
            known("reply.icc", n, table)?;
        }
        for slice in [r.batch, r.issuer_id, r.acquirer_id, r.scheme].iter().chain(&r.texts).chain(&r.fee) {
            known("reply", slice.field, table)?;
            let max = table.formats[usize::from(slice.field)].map_or(0, |f| usize::from(f.max));
            if slice.length == 0 || slice.at.saturating_add(slice.length) > max {
                return bad("reply", format!("a part of F{} lies outside its {max} characters", slice.field));
            }
        }
        if r.batch.length != 6 {
            return bad("reply.batch", "a batch number has 6 digits");
        }
        if self.keys.lengths.is_empty() {
            return bad("keys.lengths", "none given");
        }
        if self.keys.mak == MakLength::Double
            && (self.keys.lengths.contains(&24) || self.mac.algorithm == MacAlgorithm::X9_9)
        {
            return bad("keys.mak", "24 bytes of keys and X9.9 have a MAK of single length");
        }
        Ok(())
    }

    fn check_queries(&self) -> Result<BTreeMap<Wallet, WalletQuery>, ProfileError> {
        let mut queries = BTreeMap::new();
        for (wallet, row) in &self.wallet {
            let Some(q) = &row.query else { continue };
            if q.first_s == 0 || q.every_s == 0 || q.until_s < q.first_s || q.until_s > 600 {
                return bad("wallet.query", "first_s and every_s from 1, until_s from first_s to 600");
            }
            let secs = |s: u32| Millis::secs(i64::from(s));
            queries.insert(
                *wallet,
                WalletQuery { first: secs(q.first_s), every: secs(q.every_s), until: secs(q.until_s) },
            );
        }
        Ok(queries)
    }

    fn check_codes(&self) -> Result<BTreeMap<String, CodeRule>, ProfileError> {
        let mut codes = BTreeMap::new();
        for (key, rule) in &self.codes {
            for code in key.split_whitespace() {
                if !is_code(code) {
                    return bad(format!("codes.{key}"), "a response code is 2 letters or digits");
                }
                if codes.insert(code.to_owned(), *rule).is_some() {
                    return bad(format!("codes.{key}"), format!("{code} is there twice"));
                }
            }
        }
        if codes.is_empty() {
            return bad("codes", "none given");
        }
        Ok(codes)
    }

    /// Rules of the profile that the core needs.
    fn check_rules(
        &self,
        codes: BTreeMap<String, CodeRule>,
        messages: &BTreeMap<String, MessageRow>,
    ) -> Result<HostRules, ProfileError> {
        let wallet_query = self.check_queries()?;
        let lacks = |authority: &OfflineAuthority| match authority {
            OfflineAuthority::Merchant => !messages.contains_key(OFFLINE),
            OfflineAuthority::Voice => !messages.contains_key(Kind::VoiceSale.name()),
            OfflineAuthority::Card | OfflineAuthority::CardUnableOnline => !messages.contains_key(CARD_SALE),
        };
        if let Some(authority) = self.offline_authorities.iter().find(|r| lacks(r)) {
            return bad("offline_authorities", format!("there is no message for {}", authority.name()));
        }
        let pin = |m: &MessageRow| {
            m.request.iter().flat_map(|s| &s.value).flat_map(Template::vars).any(|v| v == Var::PinBlock)
        };
        let icc = Kind::ALL.into_iter().filter(|k| messages.get(k.name()).is_some_and(|m| !m.icc.is_empty()));
        let icc = icc.collect();
        let no_pin =
            Kind::ALL.into_iter().filter(|k| messages.get(k.name()).is_some_and(|m| !pin(m))).collect();
        Ok(HostRules {
            codes,
            reversal_ends: self.reversal.ends.clone(),
            sign_in: self.sign_in,
            mac_on_replies: self.mac.approval_needs_mac,
            wallet_undo_after: self
                .wallet
                .iter()
                .filter(|(_, row)| row.undo_after_s > 0)
                .map(|(w, row)| (*w, Millis::secs(i64::from(row.undo_after_s))))
                .collect(),
            wallets: self.wallet.keys().copied().collect(),
            advice_ends: self.advice.ends.clone(),
            duplicate_names_first: self.advice.duplicate_names_first,
            query: messages.contains_key(QUERY),
            icc,
            script_results: self.script_result.is_some(),
            wallet_query,
            partial: self.reply.partial.clone(),
            not_balanced: self.reply.not_balanced.clone(),
            completion_percent: self.completion_percent,
            kinds: Kind::ALL.into_iter().filter(|k| messages.contains_key(k.name())).collect(),
            advices_in_flight: self.advices_in_flight,
            downloads: self.emv.is_some(),
            offline_authorities: self.offline_authorities.clone(),
            certificates: CERTIFICATES.iter().all(|row| messages.contains_key(*row)),
            no_pin,
        })
    }

    pub(super) fn check(self) -> Result<Profile, ProfileError> {
        if !(100..=200).contains(&u32::from(self.completion_percent)) {
            return bad("completion_percent", "100 to 200");
        }
        if !(1..=MAX_ADVICES_IN_FLIGHT).contains(&self.advices_in_flight) {
            return bad("advices_in_flight", format!("1 to {MAX_ADVICES_IN_FLIGHT}"));
        }
        if !(-720..=840).contains(&self.utc_offset_minutes) {
            return bad("utc_offset_minutes", "-720 to 840");
        }
        let (table, shows) = self.table()?;
        let header = self.check_frame()?;
        let Entry { manual, swipe, code, chip, contactless, fallback } = &self.entry;
        let rows = [manual, swipe, code, chip, contactless].into_iter().chain(fallback);
        let entry = rows.flat_map(|row| [&row.pin, &row.no_pin]);
        if let Some(text) = entry
            .chain([&self.security.pin, &self.security.track])
            .find(|t| t.is_empty() || !t.bytes().all(|b| b.is_ascii_digit()))
        {
            return bad("entry, security", format!("'{text}' is not made of digits"));
        }
        if let Some(mti) = self.mac.mtis.iter().find(|m| !is_mti(m)) {
            return bad("mac.mtis", format!("'{mti}' is not four digits"));
        }
        if let Some(IcCondition { normal, fallback }) = &self.ic_condition
            && [normal, fallback].iter().any(|t| t.len() != 1 || !t.bytes().all(|b| b.is_ascii_digit()))
        {
            return bad("ic_condition", "one digit each");
        }
        let messages = self.check_messages(&table)?;
        self.check_reply(&table)?;
        self.check_masks(&shows, &messages)?;
        self.check_reply_macs()?;
        self.check_downloads(&messages)?;
        let codes = self.check_codes()?;
        let Reasons { no_reply, bad_mac, other, terminal_fault } = &self.reversal.reasons;
        if let Some(code) = [no_reply, bad_mac, other, terminal_fault]
            .into_iter()
            .chain(&self.reversal.ends)
            .chain(&self.advice.ends)
            .chain(&self.reply.partial)
            .find(|c| !is_code(c))
        {
            return bad("reversal, advice.ends, reply.partial", format!("'{code}' is no response code"));
        }
        let rules = self.check_rules(codes, &messages)?;
        Ok(Profile {
            name: self.name,
            title: self.title,
            utc_offset_minutes: self.utc_offset_minutes,
            table,
            frame: self.frame,
            mac: self.mac,
            keys: self.keys,
            shows,
            header,
            entry: self.entry,
            ic_condition: self.ic_condition,
            security: self.security,
            messages,
            reversal: self.reversal,
            script_result: self.script_result,
            emv: self.emv,
            reply: self.reply,
            rules,
            repeat_mti: self.repeat_mti,
        })
    }
}

fn is_code(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn has_icc(slots: &[Slot]) -> bool {
    slots.iter().flat_map(|s| &s.value).flat_map(Template::vars).any(|v| v == Var::Icc)
}

fn allowed(key: &str, tags: &[Tag]) -> Result<(), ProfileError> {
    match tags.iter().find_map(|t| t.check().err()) {
        Some(e) => bad(key, e.to_string()),
        None => Ok(()),
    }
}

/// A list of EMV elements and the place for them go together.
fn check_icc(key: &str, tags: &[Tag], request: &[Slot]) -> Result<(), ProfileError> {
    allowed(key, tags)?;
    match (tags.is_empty(), has_icc(request)) {
        (true, true) => bad(key, "none given, but a value is {icc}"),
        (false, false) => bad(key, "no value is {icc}"),
        (true, false) | (false, true) => Ok(()),
    }
}
