//! The engine put together, and left in order.
use crate::{
    clock::Clock,
    device::{DeviceEvent, Devices, Registry, Surroundings},
    granted::with_granted,
    hostlink::{self, HostLink, LateSink, Line, TlsError},
    language::Spoken,
    maintenance,
    mishap::{Mishaps, Part},
    profiles,
    recent::Recent,
    selftest::{self, Examiner},
    spooler::{Papers, Spooler},
    supervise::{self, Child},
    terminal::{FromDevice, FromHost, Info, Look, Services, TerminalActor},
    terminal_service::TerminalService,
    tms::{Tms, TmsError},
};
use actix::Actor;
use payterm_core::{AccountSettings, ReplayError, Settings, State, TmsSettings};
use payterm_devices::{Drivers, Env, VirtualBench};
use payterm_hosts::{Profile, Station};
use payterm_journal::{Store, StoreError};
use payterm_schema::{
    AccountId, DeviceKind, Fault, InhibitReason, Screen, Terminal,
    config::{AccountConfig, Config, DeviceRole},
    onboarding::Onboarding,
    outcome::Place,
    terminal::TerminalInfo,
    time::Millis,
};
use payterm_texts::ScreenContext;
use payterm_vault::{SealingKey, Vault, VaultError};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{Notify, broadcast, watch};

/// Notices that a slow listener may be behind. 1,024: some transactions.
const NOTICES: usize = 1024;
/// How long a shutdown waits for a frame that has left. 20 s: below the 90 s of service managers; what is open then is
/// recovered at the next start.
const SHUTDOWN: Duration = Duration::from_secs(20);
/// How long the start waits for the terminal's first record to be on disk. 5 s; then calls are taken, and
/// told what is wrong.
const BOOT: Duration = Duration::from_secs(5);
/// The display of a virtual or unknown terminal.
const COLUMNS: usize = 40;
const LINES: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Profile(#[from] profiles::LoadError),
    #[error("account {account}: {cause}")]
    Tls { account: AccountId, cause: TlsError },
    #[error(transparent)]
    Tms(#[from] TmsError),
    #[error("the journal cannot be read: {0}")]
    Journal(#[from] ReplayError),
    /// The configuration and the accounts that were granted do not go together.
    #[error("with the accounts of the onboarding: {0}")]
    Granted(Fault),
}

/// What is not configuration.
#[derive(Clone, Default)]
pub struct Options {
    pub journal: payterm_journal::Options,
    /// Panics planted by tests of supervision.
    pub mishaps: Mishaps,
    /// The last lines of the process's log, for the support bundle. None: it has no log.
    pub log_lines: Option<fn() -> Vec<String>>,
    /// The drivers that the configuration may name.
    pub drivers: Drivers,
}

/// A running terminal inside an actix system.
pub struct Engine {
    service: Arc<TerminalService>,
    store: Store,
    bench: VirtualBench,
    inhibited: watch::Receiver<BTreeSet<InhibitReason>>,
    renew: Arc<Notify>,
}

/// Tells whether the terminal lives.
#[derive(Clone)]
pub struct Pulse(Child<TerminalActor>);

impl Pulse {
    /// Whether the terminal answers in time. While it is rebuilt it counts as living: a disk that is full is
    /// not mended by a restart.
    pub async fn beats(&self, within: Duration) -> bool {
        match self.0.addr() {
            Some(addr) => tokio::time::timeout(within, addr.send(Look)).await.is_ok(),
            None => true,
        }
    }
}

impl Engine {
    /// Opens the journal and the vault, and starts the actors; answers when calls can be answered.
    pub async fn start(config: Config, key: SealingKey, options: Options) -> Result<Self, EngineError> {
        let mishaps = options.mishaps.clone();
        let held = payterm_journal::hold(&config.store.dir)?;
        let vault = Arc::new(Vault::open(&config.store.dir, key)?);
        let at_store = mishaps.clone();
        let own = payterm_journal::Options {
            backups: config.store.backup_dir.clone(),
            sealed_needs: payterm_core::sealed_needs,
            before_group: options.journal.before_group.or(Some(Arc::new(move || at_store.pass(Part::Store)))),
            ..options.journal
        };
        let (store, loaded) =
            Store::open(held, &config.store.dir, vault.hasher(payterm_journal::PURPOSE), own)?;
        let drivers = options.drivers;
        let tms = config
            .tms
            .as_ref()
            .map(|t| Tms::new(t, &config, drivers.clone(), vault.clone()).map(Arc::new))
            .transpose()?;
        let config = match State::onboarding_in(loaded.snapshot.as_deref(), &loaded.tail)? {
            Some(Onboarding { draft, parameters: Some(granted), .. }) => {
                with_granted(&config, &draft, &granted)
            }
            Some(_) | None => config,
        };
        config.check().and_then(|()| drivers.check(&config)).map_err(EngineError::Granted)?;
        let test = config.terminal.lab || drivers.any_virtual(&config.devices);
        let renew = Arc::new(Notify::new());
        let mut profiles = BTreeMap::new();
        for a in &config.accounts {
            profiles.insert(a.id.clone(), Arc::new(profiles::load(a)?));
        }

        let clock = Arc::new(Clock::start());
        let bench = VirtualBench::new();
        let (notices, _) = broadcast::channel(NOTICES);
        let recent = Recent::default();
        let terminal: Child<TerminalActor> = Child::default();
        let spoken = Spoken::new(config.terminal.language);
        let names = profiles.iter().map(|(a, p)| (a.clone(), p.title.clone())).collect();
        let (templates, template_faults) = crate::templates::load(config.paper.templates.as_deref());
        for fault in &template_faults {
            tracing::warn!(%fault, "a template is not used: the built-in one serves");
        }
        let papers = Arc::new(Papers::new(config.clone(), names, templates, spoken.clone()));
        let registry = Registry::default();

        let mut links = BTreeMap::new();
        for a in &config.accounts {
            let late: LateSink = {
                let terminal = terminal.clone();
                Arc::new(move |tag, event| drop(tokio::spawn(terminal.ask(FromHost { tag, event }))))
            };
            let line = Line {
                profile: profiles[&a.id].clone(),
                station: station(a, test),
                serial: format!("payterm-{}", a.tid),
                tls: a
                    .tls
                    .as_ref()
                    .map(|t| hostlink::connector(t, &a.address))
                    .transpose()
                    .map_err(|cause| EngineError::Tls { account: a.id.clone(), cause })?,
                vault: vault.clone(),
                store: store.clone(),
                clock: clock.clone(),
                late,
                mishaps: mishaps.clone(),
                kept: Default::default(),
                config: a.clone(),
            };
            let (line, child) = (Arc::new(line), Child::default());
            supervise::keep(
                format!("host link {}", a.id),
                child.clone(),
                move |life| HostLink { life, line: line.clone() }.start(),
                || (),
            );
            links.insert(a.id.clone(), child);
        }

        let env = {
            let vault = vault.clone();
            Env {
                bench: bench.clone(),
                encipher: Arc::new(move |slot, pin, pan| {
                    vault.pin_block(slot, pin, pan).map_err(|e| e.to_string())
                }),
            }
        };
        let around = Surroundings {
            desired: Arc::default(),
            registry: registry.clone(),
            draw: {
                let (page, spoken) = (screen(&config, test), spoken.clone());
                Arc::new(move |s| spoken.texts().screen(s, &page))
            },
            events: {
                let terminal = terminal.clone();
                Arc::new(move |event: DeviceEvent| drop(tokio::spawn(terminal.ask(FromDevice(event)))))
            },
            mishaps: mishaps.clone(),
        };
        let devices = Devices::start(&config.devices, &drivers, &env, &around);

        let spooler = Child::default();
        let (p, d, r, m) = (papers.clone(), devices.clone(), registry.clone(), mishaps.clone());
        supervise::keep(
            "spooler".into(),
            spooler.clone(),
            move |life| {
                let (papers, devices, registry, mishaps) = (p.clone(), d.clone(), r.clone(), m.clone());
                Spooler { life, papers, devices, registry, mishaps }.start()
            },
            || (),
        );

        let examiner = Arc::new(Examiner {
            devices: devices.clone(),
            store: store.clone(),
            vault: vault.clone(),
            clock: clock.clone(),
            config: config.clone(),
            test,
            terminal: terminal.clone(),
            turn: Default::default(),
            last: Default::default(),
        });
        if config.operators.required && !config.devices.iter().any(|d| d.kind == DeviceKind::Keypad) {
            tracing::warn!(
                "operators.required, and no keypad is configured: nobody can log on, nothing is sold"
            );
        }
        let (inhibits, inhibited) = watch::channel(Default::default());
        let shown = Arc::new(first_info(&config, &spoken, test));
        let (info, told) = watch::channel(Info { up: false, shown });
        let machine_settings = settings(&config, &profiles, test);
        let services = Arc::new(Services {
            settings: machine_settings.clone(),
            store: store.clone(),
            vault,
            clock: clock.clone(),
            spoken: spoken.clone(),
            registry: registry.clone(),
            desired: around.desired,
            devices: devices.clone(),
            links,
            spooler,
            notices: notices.clone(),
            recent: recent.clone(),
            mishaps,
            tms: tms.clone(),
            renew: renew.clone(),
            inhibits,
            info,
        });
        let mut first = Some(loaded);
        let left = services.clone();
        let make = move |life| TerminalActor::new(life, services.clone(), first.take()).start();
        supervise::keep("terminal".into(), terminal.clone(), make, move || TerminalActor::gone(&left));

        let service = Arc::new(TerminalService {
            terminal: terminal.clone(),
            store: store.clone(),
            spoken,
            examiner: examiner.clone(),
            papers,
            template_faults,
            notices,
            recent,
            registry,
            devices,
            clock,
            config: config.clone(),
            log_lines: options.log_lines,
            settings: machine_settings,
            tms,
            info: told,
            submit_lock: Default::default(),
            stopping: Default::default(),
        });
        service.booted(BOOT).await;
        actix::spawn(selftest::keep(examiner));
        actix::spawn(maintenance::check(service.clone()));
        actix::spawn(maintenance::watch(service.clone()));
        Ok(Self { service, store, bench, inhibited, renew })
    }

    /// The front door, in process.
    pub fn terminal(&self) -> Arc<dyn Terminal> {
        self.service.clone()
    }

    /// The bench of the virtual devices.
    pub fn bench(&self) -> VirtualBench {
        self.bench.clone()
    }

    /// Why the machine must not go down, as far as that is durable.
    pub fn inhibited(&self) -> watch::Receiver<BTreeSet<InhibitReason>> {
        self.inhibited.clone()
    }

    pub fn pulse(&self) -> Pulse {
        Pulse(self.service.terminal.clone())
    }

    /// Waits until the terminal was activated and is to be started again with its accounts.
    pub async fn activated(&self) {
        self.renew.notified().await;
    }

    /// Cancels a request whose frame has not left, and waits for one that has left, up to 20 s. Faces can
    /// still be told what becomes of it.
    pub async fn quiet(&self) {
        self.service.quiet(SHUTDOWN).await;
    }

    /// Closes the journal; nothing is served any more.
    pub async fn close(self) {
        tokio::task::spawn_blocking(move || self.store.close()).await.ok();
    }
}

fn station(a: &AccountConfig, test: bool) -> Station {
    Station { mid: a.mid.to_string(), tid: a.tid.to_string(), currency: a.currency, nii: a.nii, test }
}

fn settings(config: &Config, profiles: &BTreeMap<AccountId, Arc<Profile>>, test: bool) -> Settings {
    let account = |a: &AccountConfig| {
        let profile = &profiles[&a.id];
        AccountSettings {
            config: a.clone(),
            rules: profile.rules().into(),
            host_offset_minutes: profile.utc_offset_minutes,
        }
    };
    let t = &config.terminal;
    Settings {
        accounts: config.accounts.iter().map(account).collect(),
        routes: config.routes.clone(),
        flow: config.flow.clone(),
        paper: config.paper.clone(),
        place: Place { shop: t.shop.clone(), address: t.address.clone(), city: t.city.clone() },
        operator: t.operator.clone(),
        operators: config.operators.clone(),
        settlement: config.settlement.clone(),
        test,
        printer: config.devices.iter().any(|d| d.role() == Some(DeviceRole::Receipt)),
        // The kernel comes with the chip issue.
        chip: false,
        snapshot_every: config.store.snapshot_every,
        tms: config.tms.as_ref().map(|t| {
            let ms = |n: u32| Millis(i64::from(n));
            TmsSettings { poll: ms(t.poll_ms), retry: ms(t.retry_ms), retry_max: ms(t.retry_max_ms) }
        }),
    }
}

fn screen(config: &Config, test: bool) -> ScreenContext {
    let t = &config.terminal;
    ScreenContext {
        test,
        columns: COLUMNS,
        lines: LINES,
        utc_offset_minutes: t.utc_offset_minutes,
        shop: t.shop.clone(),
        service_phone: t.service_phone.clone(),
    }
}

/// Version of the API that the faces offer.
const API: u32 = 1;

/// What the terminal is, before its machine has said anything.
fn first_info(config: &Config, spoken: &Spoken, test: bool) -> TerminalInfo {
    let t = &config.terminal;
    TerminalInfo {
        version: env!("CARGO_PKG_VERSION").into(),
        api: API,
        language: spoken.language().tag().into(),
        shop: t.shop.clone(),
        service_phone: t.service_phone.clone(),
        test,
        accounts: config.accounts.iter().map(|a| a.id.clone()).collect(),
        running: None,
        screen: Screen::Idle,
        inhibit_reasons: Vec::new(),
    }
}
