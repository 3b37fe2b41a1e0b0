//! One incarnation of the terminal put together: actors, tasks and the service over what is kept.
use crate::{
    card_log,
    clock::{self, Clock},
    device::{DeviceEvent, Devices, Registry, Surroundings},
    emv,
    engine::{EngineError, Options},
    granted::with_granted,
    hostlink::{self, HostLink, LateSink, Line},
    language::Spoken,
    maintenance,
    mishap::{Mishaps, Part},
    profiles,
    recent::Recent,
    selftest::{self, Examiner},
    spooler::{self, Papers, Spooler},
    supervise::{self, Child, Tasks},
    terminal::{FromDevice, FromHost, Info, Services, TerminalActor},
    terminal_service::TerminalService,
    tms::Tms,
};
use actix::Actor;
use payterm_core::{AccountSettings, Settings, State, TmsSettings};
use payterm_devices::{DisplaySize, Drivers, Env, VirtualBench};
use payterm_hosts::{Profile, Station};
use payterm_journal::{Loaded, Store};
use payterm_schema::{
    AccountId, DeviceKind, InhibitReason, Notice, Screen, Time,
    card::Interface,
    config::{AccountConfig, Config, DeviceRole, EmvConfig},
    host::HostRules,
    onboarding::Onboarding,
    outcome::Place,
    terminal::TerminalInfo,
    time::Millis,
};
use payterm_texts::{Audience, Font, ScreenContext, Texts};
use payterm_vault::{SealingKey, Vault};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, broadcast, watch};

/// Notices that a slow listener may be behind. 1,024: some transactions.
const NOTICES: usize = 1024;
/// Time for which the start waits for the terminal's first record to be on disk. 5 s; then calls are taken,
/// and told what is wrong.
const BOOT: Duration = Duration::from_secs(5);

/// Parts that go on through all incarnations: the journal with its lock, the vault, the clock, and what
/// others listen to.
pub struct Kept {
    /// The configuration as it is in the file, with what was taken of it since the start, and without the
    /// accounts that were granted.
    pub config: Mutex<Config>,
    drivers: Drivers,
    log_lines: Option<fn() -> Vec<String>>,
    mishaps: Mishaps,
    vault: Arc<Vault>,
    pub store: Store,
    pub tms: Option<Arc<Tms>>,
    clock: Arc<Clock>,
    pub bench: VirtualBench,
    pub notices: broadcast::Sender<Notice>,
    recent: Recent,
    info: watch::Sender<Info>,
    pub inhibits: watch::Sender<BTreeSet<InhibitReason>>,
    pub renew: Arc<Notify>,
}

impl Kept {
    /// Opens the vault and the journal, and answers what the first incarnation begins with.
    pub fn open(config: Config, key: SealingKey, options: Options) -> Result<(Self, Loaded), EngineError> {
        let Options { journal, mishaps, log_lines, drivers } = options;
        let held = payterm_journal::hold(&config.store.dir)?;
        let vault = Arc::new(Vault::open(&config.store.dir, key)?);
        let at_store = mishaps.clone();
        let own = payterm_journal::Options {
            backups: config.store.backup_dir.clone(),
            generation: config.store.generation_file.clone(),
            sealed_needs: payterm_core::sealed_needs,
            before_group: journal.before_group.or(Some(Arc::new(move || at_store.pass(Part::Store)))),
            ..journal
        };
        let (store, loaded) =
            Store::open(held, &config.store.dir, vault.hasher(payterm_journal::PURPOSE), own)?;
        let tms = config
            .tms
            .as_ref()
            .map(|t| Tms::new(t, &config, drivers.clone(), vault.clone()).map(Arc::new))
            .transpose()?;
        let shown = Arc::new(first_info(&config, is_test(&config, &drivers)));
        let kept = Self {
            drivers,
            log_lines,
            mishaps,
            vault,
            store,
            tms,
            clock: Arc::new(Clock::start()),
            bench: VirtualBench::new(),
            notices: broadcast::Sender::new(NOTICES),
            recent: Recent::default(),
            info: watch::Sender::new(Info { up: false, shown }),
            inhibits: watch::Sender::default(),
            renew: Arc::default(),
            config: Mutex::new(config),
        };
        Ok((kept, loaded))
    }

    pub fn config(&self) -> Config {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The configuration with the accounts that the journal holds.
    fn with_accounts(&self, loaded: &Loaded) -> Result<Config, EngineError> {
        let config = match State::onboarding_in(loaded.snapshot.as_deref(), &loaded.tail)? {
            Some(Onboarding { draft, parameters: Some(granted), .. }) => {
                with_granted(&self.config(), &draft, &granted)
            }
            Some(_) | None => self.config(),
        };
        config.check().and_then(|()| self.drivers.check(&config)).map_err(EngineError::Granted)?;
        Ok(config)
    }
}

/// Things that the parts of one incarnation share.
struct Frame<'a> {
    kept: &'a Kept,
    config: Arc<Config>,
    test: bool,
    profiles: BTreeMap<AccountId, Arc<Profile>>,
    spoken: Spoken,
    terminal: Child<TerminalActor>,
    registry: Registry,
    tasks: Tasks,
}

/// Puts an incarnation together and starts it; answers when calls can be answered.
pub async fn build(kept: &Kept, loaded: Loaded) -> Result<Arc<TerminalService>, EngineError> {
    let config = kept.with_accounts(&loaded)?;
    let mut profiles = BTreeMap::new();
    for a in &config.accounts {
        profiles.insert(a.id.clone(), Arc::new(profiles::load(a)?));
    }
    let frame = Frame {
        kept,
        test: is_test(&config, &kept.drivers),
        profiles,
        spoken: Spoken::new(config.terminal.language),
        terminal: Child::default(),
        registry: Registry::default(),
        tasks: Tasks::default(),
        config: Arc::new(config),
    };
    let service = frame.start(loaded)?;
    service.booted(BOOT).await;
    service.tasks.spawn(selftest::keep(service.examiner.clone()));
    service.tasks.spawn(maintenance::check(service.clone()));
    service.tasks.spawn(maintenance::watch(service.clone()));
    Ok(service)
}

impl Frame<'_> {
    fn start(&self, loaded: Loaded) -> Result<Arc<TerminalService>, EngineError> {
        let (kept, config) = (self.kept, &self.config);
        // The last that can fail, and before anything runs.
        let line = |a| self.line(a).map(Arc::new);
        let lines = config.accounts.iter().map(line).collect::<Result<Vec<_>, _>>()?;
        let decisions = config.emv.as_ref().and_then(|_| {
            let started = card_log::start(&config.store.dir);
            started.inspect_err(|e| tracing::warn!("no decisions of cards are written: {e}")).ok()
        });
        let (kernel, card_data) =
            emv::kernel(config, &kept.drivers, decisions).map_err(EngineError::Emv)?.unzip();
        let card_data = card_data.map(Arc::new);
        let examined = card_data.clone();
        if config.operators.required && !config.devices.iter().any(|d| d.kind == DeviceKind::Keypad) {
            tracing::warn!(
                "operators.required, and no keypad is configured: nobody can log on, nothing is sold"
            );
        }
        let templates = self.templates();
        let around = self.surroundings();
        let vault = kept.vault.clone();
        let env = Env {
            bench: kept.bench.clone(),
            encipher: Arc::new(move |slot, pin, pan| {
                vault.pin_block(slot, pin, pan).map_err(|e| e.to_string())
            }),
            kernel,
        };
        let mut chip = vec![Interface::Contact, Interface::Contactless];
        chip.retain(|i| kept.drivers.run_cards(&config.devices, i.reader(), env.kernel.is_some()));
        let devices = Devices::start(&config.devices, &kept.drivers, &env, &around);
        let papers =
            Papers::new(config.clone(), self.profiles.clone(), templates, self.font(), self.spoken.clone());
        let papers = Arc::new(papers);
        kept.info.send_replace(Info { up: false, shown: Arc::new(first_info(config, self.test)) });
        let services = Arc::new(Services {
            settings: Arc::new(settings(config, &self.profiles, self.test, chip)),
            store: kept.store.clone(),
            vault: kept.vault.clone(),
            clock: kept.clock.clone(),
            spoken: self.spoken.clone(),
            registry: self.registry.clone(),
            desired: around.desired,
            devices: devices.clone(),
            links: lines.iter().map(|line| self.link(line.clone())).collect(),
            spooler: self.spooler(&papers, &devices),
            notices: kept.notices.clone(),
            recent: kept.recent.clone(),
            mishaps: kept.mishaps.clone(),
            card_data,
            tms: kept.tms.clone(),
            renew: kept.renew.clone(),
            inhibits: kept.inhibits.clone(),
            info: kept.info.clone(),
        });
        let (mut first, left, settings) = (Some(loaded), services.clone(), services.settings.clone());
        let make = move |life| TerminalActor::new(life, services.clone(), first.take()).start();
        let gone = move || TerminalActor::gone(&left);
        supervise::keep(&self.tasks, "terminal".into(), self.terminal.clone(), make, gone);
        Ok(Arc::new(TerminalService {
            terminal: self.terminal.clone(),
            store: kept.store.clone(),
            spoken: self.spoken.clone(),
            examiner: self.examiner(&devices, &lines, examined),
            papers,
            lines,
            notices: kept.notices.clone(),
            recent: kept.recent.clone(),
            registry: self.registry.clone(),
            devices,
            clock: kept.clock.clone(),
            config: config.clone(),
            log_lines: kept.log_lines,
            settings,
            tms: kept.tms.clone(),
            info: kept.info.subscribe(),
            tasks: self.tasks.clone(),
            submit_lock: Default::default(),
            look_turns: Default::default(),
            stopping: Default::default(),
        }))
    }

    fn templates(&self) -> spooler::Loaded {
        let templates = crate::templates::load(self.config.paper.templates.as_deref());
        for fault in &templates.1 {
            tracing::warn!(%fault, "a template is not used: the built-in one serves");
        }
        templates
    }

    fn font(&self) -> Option<Font> {
        let font = crate::font::load(self.config.paper.font.as_deref());
        font.unwrap_or_else(|e| {
            tracing::warn!("paper.font: {e}: characters that the printer lacks are replaced");
            None
        })
    }

    fn line(&self, account: &AccountConfig) -> Result<Line, EngineError> {
        let (kept, terminal) = (self.kept, self.terminal.clone());
        let late: LateSink =
            Arc::new(move |tag, event| drop(tokio::spawn(terminal.ask(FromHost { tag, event }))));
        let connector = |t| hostlink::connector(t, &account.address);
        let tls = account.tls.as_ref().map(connector).transpose();
        let tls = tls.map_err(|cause| EngineError::Tls { account: account.id.clone(), cause })?;
        Ok(Line {
            profile: self.profiles[&account.id].clone(),
            station: station(account, self.test),
            serial: format!("payterm-{}", account.tid),
            tls: Mutex::new(tls),
            vault: kept.vault.clone(),
            store: kept.store.clone(),
            clock: kept.clock.clone(),
            late,
            mishaps: kept.mishaps.clone(),
            kept: Default::default(),
            keys_refused: Default::default(),
            last_sign_in: Default::default(),
            target: Default::default(),
            untrusted: Default::default(),
            importing: Default::default(),
            tasks: self.tasks.clone(),
            config: account.clone(),
        })
    }

    fn link(&self, line: Arc<Line>) -> (AccountId, Child<HostLink>) {
        let (account, child) = (line.config.id.clone(), Child::default());
        let make = move |life| HostLink { life, line: line.clone() }.start();
        supervise::keep(&self.tasks, format!("host link {account}"), child.clone(), make, || ());
        (account, child)
    }

    fn surroundings(&self) -> Surroundings {
        let (page, spoken) = (screen(&self.config, self.test), self.spoken.clone());
        let clock = self.kept.clock.clone();
        let displays = self.config.devices.iter().filter(|d| d.kind == DeviceKind::Display).count();
        let terminal = self.terminal.clone();
        Surroundings {
            desired: Arc::default(),
            registry: self.registry.clone(),
            draw: Arc::new(move |s, role, language, DisplaySize { columns, lines }| {
                // The only display is the customer's.
                let own = displays > 1 && role == Some(DeviceRole::Cashier);
                let audience = if own { Audience::Cashier } else { Audience::Customer };
                let now = clock.now();
                let page = ScreenContext { audience, now, columns, lines, ..page.clone() };
                language.map_or_else(|| spoken.texts(), Texts::new).screen(s, &page)
            }),
            events: Arc::new(move |event: DeviceEvent| drop(tokio::spawn(terminal.ask(FromDevice(event))))),
            mishaps: self.kept.mishaps.clone(),
            tasks: self.tasks.clone(),
        }
    }

    fn spooler(&self, papers: &Arc<Papers>, devices: &Devices) -> Child<Spooler> {
        let child = Child::default();
        let (papers, devices) = (papers.clone(), devices.clone());
        let (registry, mishaps) = (self.registry.clone(), self.kept.mishaps.clone());
        let make = move |life| {
            let (papers, devices) = (papers.clone(), devices.clone());
            let (registry, mishaps) = (registry.clone(), mishaps.clone());
            Spooler { life, papers, devices, registry, mishaps }.start()
        };
        supervise::keep(&self.tasks, "spooler".into(), child.clone(), make, || ());
        child
    }

    fn examiner(
        &self,
        devices: &Devices,
        lines: &[Arc<Line>],
        card_data: Option<Arc<emv::CardData>>,
    ) -> Arc<Examiner> {
        Arc::new(Examiner {
            devices: devices.clone(),
            lines: lines.to_vec(),
            card_data,
            store: self.kept.store.clone(),
            vault: self.kept.vault.clone(),
            clock: self.kept.clock.clone(),
            config: self.config.clone(),
            test: self.test,
            terminal: self.terminal.clone(),
            turn: Default::default(),
            last: Default::default(),
        })
    }
}

/// Tells whether no real money moves on the terminal: `lab`, or a virtual device.
fn is_test(config: &Config, drivers: &Drivers) -> bool {
    config.terminal.lab || drivers.any_virtual(&config.devices)
}

fn station(a: &AccountConfig, test: bool) -> Station {
    Station { mid: a.mid.to_string(), tid: a.tid.to_string(), currency: a.currency, nii: a.nii, test }
}

/// `chip`: interfaces on which chip cards run.
fn settings(
    config: &Config,
    profiles: &BTreeMap<AccountId, Arc<Profile>>,
    test: bool,
    chip: Vec<Interface>,
) -> Settings {
    let account = |a: &AccountConfig| {
        let profile = &profiles[&a.id];
        let rules = profile.rules();
        let downloads = rules.downloads && config.emv.is_some();
        AccountSettings {
            config: a.clone(),
            rules: HostRules { downloads, ..rules }.into(),
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
        chip,
        card_ms: config.emv.as_ref().map_or(EmvConfig::CARD_MS, |emv| emv.card_ms),
        snapshot_every: config.store.snapshot_every,
        not_before: clock::NOT_BEFORE,
        tms: config.tms.as_ref().map(|t| {
            let ms = |n: u32| Millis(i64::from(n));
            TmsSettings { poll: ms(t.poll_ms), retry: ms(t.retry_ms), retry_max: ms(t.retry_max_ms) }
        }),
    }
}

/// What all displays have in common.
fn screen(config: &Config, test: bool) -> ScreenContext {
    let t = &config.terminal;
    let DisplaySize { columns, lines } = DisplaySize::default();
    ScreenContext {
        audience: Audience::Customer,
        now: Time(0),
        test,
        columns,
        lines,
        zone: t.zone.clone(),
        shop: t.shop.clone(),
        service_phone: t.service_phone.clone(),
    }
}

/// Version of the API that the faces offer.
const API: u32 = 1;

/// Facts of a terminal whose machine has not said anything yet.
fn first_info(config: &Config, test: bool) -> TerminalInfo {
    let t = &config.terminal;
    TerminalInfo {
        version: env!("CARGO_PKG_VERSION").into(),
        api: API,
        language: config.terminal.language.tag().into(),
        shop: t.shop.clone(),
        service_phone: t.service_phone.clone(),
        zone: t.zone.clone(),
        test,
        accounts: config.accounts.iter().map(|a| a.id.clone()).collect(),
        running: None,
        screen: Screen::idle(),
        inhibit_reasons: Vec::new(),
    }
}
