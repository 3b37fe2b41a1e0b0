//! The card kernel that a configuration describes (table `[emv]`), and what hosts give it.
use payterm_devices::{
    Drivers, EmvKernel, MakeKernel,
    emv_config::{self, Lists},
    emv_kernel::{SharedParameters, TakeDecisions},
};
use payterm_emv::{
    oda,
    terminal::{Aid, Limits, TapLimits},
};
use payterm_schema::{
    AccountId, Fault,
    config::{Config, EmvConfig, ExpiredKeys},
    download::{EmvAid, EmvKey, EmvParameters},
};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

/// The lists with what the hosts have given: an entry replaces the one of its name.
fn with(mut lists: Lists, downloads: &[(AccountId, Arc<EmvParameters>)]) -> Result<Lists, String> {
    for (_, given) in downloads {
        lists.version += given.version;
        for aid in given.aids.iter().flatten().map(downloaded_aid) {
            lists.aids.retain(|other| other.name != aid.name);
            lists.aids.push(aid);
        }
        for key in given.keys.iter().flatten() {
            let EmvKey { rid, index, expiry, modulus, exponent, checksum } = key;
            let key = oda::CaKey::new(*rid, *index, modulus, exponent, Some(*checksum));
            let key = key.map_err(|fault| format!("key {index:02X}: {fault}"))?;
            let until = expiry.parse().map_err(|_| format!("key {index:02X}: its last day: {expiry:?}"))?;
            let key = key.until(Some(until));
            lists.keys.retain(|other| other.name() != key.name());
            lists.keys.push(key);
        }
    }
    Ok(lists)
}

fn downloaded_aid(given: &EmvAid) -> Aid {
    Aid {
        name: given.aid.clone(),
        partial: given.partial,
        version: given.version,
        limits: Limits {
            floor: given.floor,
            // From the floor on all goes online, so a threshold above it says nothing.
            threshold: given.threshold.min(given.floor),
            target: given.target,
            most: given.most,
            denial: given.denial,
            online: given.online,
            default: given.default,
        },
        ddol: Some(given.ddol.clone()),
        tdol: None,
        online_pin: given.online_pin,
        // Without a limit of its own for the holder's verification every tap is verified.
        tap: given.tap_limit.filter(|most| *most > 0).map(|most| TapLimits {
            floor: given.tap_floor.unwrap_or(0),
            most,
            cvm: given.tap_no_cvm.unwrap_or(0),
        }),
    }
}

/// What the card kernel works with: the file, and what hosts have given.
pub struct CardData {
    pub(crate) path: PathBuf,
    pub(crate) file: Lists,
    expired: ExpiredKeys,
    now: SharedParameters,
    known: Mutex<Known>,
}
/// What the kernel works with now.
#[derive(Clone)]
pub struct Known {
    pub lists: Lists,
    /// Those in `lists`, of each account whose host has given any.
    pub downloads: Vec<(AccountId, Arc<EmvParameters>)>,
    /// Why the last download is not used; none: it is, or there was none.
    pub unused: Option<String>,
}
/// Last day of a CA key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyEnd {
    pub rid: [u8; 5],
    pub index: u8,
    /// YYYYMMDD as a number.
    pub day: u32,
}
impl CardData {
    /// Takes effect with the next run of a card; what runs keeps what it began with. What the kernel does not
    /// take changes nothing.
    pub fn follow(&self, downloads: &[(AccountId, Arc<EmvParameters>)]) {
        let lists = with(self.file.clone(), downloads);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match lists.and_then(|lists| Ok((lists.clone(), lists.parameters(self.expired)?))) {
            Ok((lists, new)) => {
                *known = Known { lists, downloads: downloads.to_vec(), unused: None };
                *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
            }
            Err(why) => {
                tracing::error!("downloaded CA keys and applications are not used: {why}");
                known.unused = Some(why);
            }
        }
    }
    /// What becomes of keys behind their last day.
    pub fn expired(&self) -> ExpiredKeys {
        self.expired
    }
    pub fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
impl Known {
    /// Last days of the keys.
    pub fn ends(&self) -> Vec<KeyEnd> {
        let end = |key: &oda::CaKey| {
            let (rid, index) = key.name();
            key.last_day().map(|day| KeyEnd { rid, index, day })
        };
        self.lists.keys.iter().filter_map(end).collect()
    }
}

/// The kernel that this configuration describes, and its data; none: it has no `[emv]`. The error names the
/// key. `decisions`: takes those of its runs.
pub fn kernel(
    config: &Config,
    drivers: &Drivers,
    decisions: Option<TakeDecisions>,
) -> Result<Option<(MakeKernel, CardData)>, Fault> {
    let Some(emv) = &config.emv else { return Ok(None) };
    let tid = config.accounts.first().map(|a| a.tid.to_string());
    let has = drivers.capabilities(&config.devices);
    let terminal = Arc::new(emv_config::terminal(emv, tid.as_deref(), config.flow.pin_bypass, has)?);
    let invalid = |rule| Fault::Invalid { field: "emv.parameters".into(), rule };
    let file = Lists::read(&emv.parameters).map_err(invalid)?;
    let parameters = file.clone().parameters(emv.expired_keys).map_err(invalid)?;
    let (parameters, card_ms) = (Arc::new(parameters), emv.card_ms);
    let now = SharedParameters::new(RwLock::new(parameters.clone()));
    let known = Mutex::new(Known { lists: file.clone(), downloads: Vec::new(), unused: None });
    let path = emv.parameters.clone();
    let data = CardData { path, file, expired: emv.expired_keys, now: now.clone(), known };
    let make: MakeKernel = Arc::new(move || {
        let random = Box::new(|bytes: &mut [u8]| {
            // A number that can be foretold would be worse than a reader that stops.
            getrandom::fill(bytes).unwrap_or_else(|e| panic!("the system gives no random bytes: {e}"));
        });
        let kernel = EmvKernel::new(terminal.clone(), parameters.clone(), random);
        let kernel = kernel.following(now.clone()).card_ms(card_ms);
        Box::new(match &decisions {
            Some(decisions) => kernel.telling(decisions.clone()),
            None => kernel,
        })
    });
    Ok(Some((make, data)))
}

/// What is wrong with `[emv]`, each with its key: a rule that is broken hides those behind it until its key
/// is left out.
pub fn broken(config: &Config, drivers: &Drivers) -> Vec<(String, String)> {
    let (mut config, mut all) = (config.clone(), Vec::<(String, String)>::new());
    while let Err(fault) = kernel(&config, drivers, None) {
        let (Fault::Invalid { field, rule }, Some(emv)) = (fault, &mut config.emv) else {
            unreachable!("[emv] is refused without its key")
        };
        let good = EmvConfig::new(emv.parameters.clone());
        let again = all.iter().any(|(told, _)| *told == field);
        match field.as_str() {
            _ if again => break,
            "emv.country" => emv.country = good.country,
            "emv.terminal_type" => emv.terminal_type = good.terminal_type,
            "emv.capabilities" => emv.capabilities = good.capabilities,
            "emv.additional_capabilities" => emv.additional_capabilities = good.additional_capabilities,
            "emv.serial" => emv.serial = Some("00000000".into()),
            "emv.category" => emv.category = good.category,
            "emv.name" => emv.name = good.name,
            // The last that is looked at.
            _ => {
                all.push((field, rule));
                break;
            }
        }
        all.push((field, rule));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const AID: &str = "[[aid]]\naid = \"A000000333010101\"\nversion = \"0030\"\n";
    /// A public key of UnionPay, index 01.
    const KEY: &str = include_str!("../tests/it/chip/ca-key.hex");

    fn config(change: impl FnOnce(&mut EmvConfig)) -> (tempfile::TempDir, Config) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("emv.toml");
        std::fs::write(&path, format!("version = 1\nkeys = [\"{}\"]\n{AID}", KEY.trim())).unwrap();
        let mut emv = EmvConfig::new(path);
        change(&mut emv);
        let mut config = crate::demo::config(0);
        config.emv = Some(emv);
        (dir, config)
    }
    fn refused(config: &Config) -> String {
        kernel(config, &Drivers::default(), None).err().map(|fault| fault.to_string()).unwrap_or_default()
    }

    #[test]
    fn the_defaults_make_a_kernel_and_no_table_makes_none() {
        let (_dir, mut config) = config(|_| ());
        assert_eq!(config.check(), Ok(()));
        assert!(kernel(&config, &Drivers::default(), None).unwrap().is_some());
        config.emv = None;
        assert!(kernel(&config, &Drivers::default(), None).unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_key() {
        type Case = (&'static str, fn(&mut EmvConfig));
        let cases: [Case; 9] = [
            ("emv.country: ", |e| e.country = 0),
            ("emv.terminal_type: ", |e| e.terminal_type = "27".into()),
            ("emv.terminal_type: ", |e| e.terminal_type = "2".into()),
            ("emv.terminal_type: can go online", |e| e.terminal_type = "23".into()),
            ("emv.capabilities: ", |e| e.capabilities = "E068CF".into()),
            ("emv.additional_capabilities: ", |e| e.additional_capabilities = "0000F0A001".into()),
            ("emv.serial: ", |e| e.serial = Some("1".into())),
            ("emv.category: ", |e| e.category = 10_000),
            ("emv.parameters: ", |e| e.parameters = "/nonexistent".into()),
        ];
        for (field, change) in cases {
            let told = refused(&config(change).1);
            assert!(told.starts_with(field), "{field}: {told}");
        }
    }
}
