//! The lists of the card kernel as they are shown: each entry with where it came from, each key with its end.
use crate::emv::CardData;
use payterm_emv::{oda, terminal::Aid};
use payterm_schema::{
    AccountId,
    download::{EmvName, EmvParameters},
    emv_lists::{EmvLists, EmvSource, ListedAid, ListedKey, ListedTap, Origin, RevokedCertificate, Validity},
};
use std::sync::Arc;

fn digits(bytes: impl AsRef<[u8]>) -> String {
    hex::encode_upper(bytes)
}

impl CardData {
    /// Lists that the next run of a card works with; keys that have ended by `today` or end by `soon`,
    /// YYYYMMDD, are marked.
    pub fn listed(&self, today: u32, soon: u32) -> EmvLists {
        let known = self.known();
        let file = Origin::File(self.path.display().to_string());
        let host = |(account, given): &(AccountId, Arc<EmvParameters>)| {
            (Origin::Host(account.clone()), given.clone())
        };
        let hosts: Vec<_> = known.downloads.iter().map(host).collect();
        let origins = |name: &EmvName, in_file: bool| {
            let has = |given: &EmvParameters| {
                given.aids.iter().flatten().any(|aid| aid.name() == *name)
                    || given.keys.iter().flatten().any(|key| key.name() == *name)
            };
            let hosts = hosts.iter().filter(|(_, given)| has(given)).map(|(origin, _)| origin.clone());
            let mut all: Vec<_> = in_file.then(|| file.clone()).into_iter().chain(hosts).collect();
            let Some(last) = all.pop() else { unreachable!("an entry of no list") };
            (last, all)
        };
        let aid = |aid: &Aid| {
            let in_file = self.file.aids.iter().any(|other| other.name == aid.name);
            listed_aid(aid, origins(&EmvName::Aid { aid: aid.name.clone() }, in_file))
        };
        let key = |key: &oda::CaKey| {
            let (rid, index) = key.name();
            let in_file = self.file.keys.iter().any(|other| other.name() == key.name());
            listed_key(key, origins(&EmvName::Key { rid, index }, in_file), today, soon)
        };
        let revoked = |r: &oda::Revoked| RevokedCertificate {
            rid: digits(r.rid),
            index: digits([r.index]),
            serial: digits(r.serial),
        };
        let of_host = |(origin, given): &(Origin, Arc<EmvParameters>)| EmvSource {
            origin: origin.clone(),
            version: given.version,
            sha256: given.sha256.clone(),
        };
        let (version, sha256) = (self.file.version, hex::encode(self.file.sha256));
        let of_file = EmvSource { origin: file.clone(), version, sha256 };
        EmvLists {
            sources: [of_file].into_iter().chain(hosts.iter().map(of_host)).collect(),
            aids: known.lists.aids.iter().map(aid).collect(),
            keys: known.lists.keys.iter().map(key).collect(),
            revoked: known.lists.revoked.iter().map(revoked).collect(),
            expired_keys: self.expired(),
            unused: known.unused,
        }
    }
}

fn listed_aid(aid: &Aid, (origin, replaced): (Origin, Vec<Origin>)) -> ListedAid {
    let limits = &aid.limits;
    ListedAid {
        aid: digits(&aid.name),
        partial: aid.partial,
        version: digits(aid.version),
        floor: limits.floor,
        threshold: limits.threshold,
        target_percent: limits.target,
        most_percent: limits.most,
        denial: digits(limits.denial),
        online: digits(limits.online),
        default: digits(limits.default),
        online_pin: aid.online_pin,
        tap: aid.tap.map(|tap| ListedTap { floor: tap.floor, limit: tap.most, no_cvm: tap.cvm }),
        origin,
        replaced,
    }
}

fn listed_key(
    key: &oda::CaKey,
    (origin, replaced): (Origin, Vec<Origin>),
    today: u32,
    soon: u32,
) -> ListedKey {
    let (rid, index) = key.name();
    let validity = match key.last_day() {
        None => Validity::Endless,
        Some(day) if day < today => Validity::Ended,
        Some(day) if day <= soon => Validity::Ends,
        Some(_) => Validity::Good,
    };
    ListedKey {
        rid: digits(rid),
        index: digits([index]),
        bits: 8 * key.size() as u32,
        checksum: digits(key.checksum()),
        last_day: key.last_day().map(|day| format!("{day:08}")),
        validity,
        origin,
        replaced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emv::kernel;
    use payterm_devices::Drivers;
    use payterm_schema::{
        config::EmvConfig,
        download::{EmvAid, EmvKey},
    };

    /// Public keys of UnionPay, as acquirers send them.
    const KEY: &str = include_str!("../tests/it/chip/ca-key.hex");

    /// Kernel data of a file with that key and one application.
    fn data() -> (tempfile::TempDir, CardData) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("emv.toml");
        let aid = "[[aid]]\naid = \"A000000333010101\"\nversion = \"0030\"\nfloor = 7\n";
        std::fs::write(&path, format!("version = 3\nkeys = [\"{}\"]\n{aid}", KEY.trim())).unwrap();
        let mut config = crate::demo::config(0);
        config.emv = Some(EmvConfig::new(path));
        let (_, data) = kernel(&config, &Drivers::default(), None).unwrap().unwrap();
        (dir, data)
    }
    fn given(change: impl FnOnce(&mut EmvKey)) -> Arc<EmvParameters> {
        let key = payterm_devices::emv_config::key(KEY.trim()).unwrap();
        let (rid, index) = key.name();
        let bytes = hex::decode(KEY.trim()).unwrap();
        let get = |tag| payterm_emv::tlv::find(&bytes, payterm_emv::Tag(tag)).unwrap().unwrap().to_vec();
        let (modulus, exponent) = (get(0xDF02), get(0xDF04));
        let mut key =
            EmvKey { rid, index, expiry: "20300101".into(), modulus, exponent, checksum: key.checksum() };
        change(&mut key);
        let aid = EmvAid {
            aid: hex::decode("A000000333010102").unwrap(),
            partial: true,
            version: [0, 0x20],
            default: [0xFF; 5],
            online: [0xFF; 5],
            denial: [0; 5],
            floor: 100,
            threshold: 0,
            most: 0,
            target: 0,
            ddol: vec![0x9F, 0x37, 4],
            online_pin: true,
            cash_limit: None,
            tap_floor: None,
            tap_limit: Some(5_000),
            tap_no_cvm: Some(1_000),
        };
        Arc::new(EmvParameters::behind(None, Some(vec![key]), Some(vec![aid])))
    }

    #[test]
    fn an_entry_names_the_list_that_won_and_a_key_its_end() {
        let (_dir, data) = data();
        let file = Origin::File(data.path.display().to_string());
        let lists = data.listed(20_260_101, 20_260_131);
        let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(std::fs::read(&data.path).unwrap()));
        assert_eq!(lists.sources, [EmvSource { origin: file.clone(), version: 3, sha256: hash }]);
        assert_eq!((lists.aids[0].floor, lists.aids[0].tap, &lists.aids[0].origin), (7, None, &file));

        let account = AccountId::new("cup").unwrap();
        let (host, first) = (Origin::Host(account.clone()), given(|_| ()));
        data.follow(&[(account.clone(), first.clone())]);
        let told = |today, soon| data.listed(today, soon);
        let lists = told(20_260_101, 20_260_131);
        assert_eq!((&lists.sources[1].origin, &lists.sources[1].sha256), (&host, &first.sha256));
        let origins: Vec<_> = lists.aids.iter().map(|a| (&a.origin, a.replaced.len())).collect();
        assert_eq!(origins, [(&file, 0), (&host, 0)]);
        let tap = Some(ListedTap { floor: 0, limit: 5_000, no_cvm: 1_000 });
        assert_eq!((lists.aids[1].tap, lists.aids[1].partial), (tap, true));
        let [key] = lists.keys.as_slice() else { panic!("{:?}", lists.keys) };
        assert_eq!((&key.origin, key.replaced.as_slice()), (&host, &[file.clone()][..]));
        assert_eq!((key.rid.as_str(), key.last_day.as_deref()), ("A000000333", Some("20300101")));
        for (today, soon, validity) in [
            (20_291_201, 20_291_231, Validity::Good),
            (20_291_202, 20_300_101, Validity::Ends),
            (20_300_101, 20_300_131, Validity::Ends),
            (20_300_102, 20_300_201, Validity::Ended),
        ] {
            assert_eq!(told(today, soon).keys[0].validity, validity, "{today}");
        }

        // What the kernel does not take leaves what it had, and says so.
        let bad = given(|key| key.checksum = [0; 20]);
        data.follow(&[(account, bad)]);
        let lists = data.listed(20_260_101, 20_260_131);
        assert_eq!((&lists.sources[1].origin, &lists.sources[1].sha256), (&host, &first.sha256));
        assert!(lists.unused.is_some_and(|why| why.contains("checksum")) && lists.keys[0].origin == host);
    }
}
