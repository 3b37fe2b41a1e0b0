//! The demo's chip readers and test cards: readers of a pcscd where one can be started, else sockets of the
//! terminal that speak the same protocol. The cards are made for today.
use crate::real::{
    pcscd::{Inserted, Pcscd, READERS, move_alone},
    stack::Result,
};
use payterm_schema::{
    Currency, DeviceKind, Money,
    card::Interface,
    config::{Config, DeviceConfig, EmvConfig, NoCvmConfig},
    host::EntryMode,
};
use payterm_simulator::{
    acquirer::now,
    card::{TestCard, ca_key_370, day, vpcd::Behaviour},
    world::personas,
};
use std::{collections::BTreeMap, net::TcpListener};

/// Greatest tap without a PIN, minor units: as UnionPay has it.
const NO_CVM: u64 = 100_000;
const AIDS: [&str; 2] = ["A000000333010101", "A000000333010102"];

/// Two readers: cards are inserted into the first, and tapped on the second.
pub struct ChipReaders {
    /// Where their cards connect, on this machine.
    pub ports: [u16; 2],
    /// None: there is none, for this reason.
    pub pcscd: std::result::Result<Pcscd, String>,
    /// Cards that were used, by their personas: an issuer takes no counter of a card twice.
    used: BTreeMap<String, TestCard>,
}

impl ChipReaders {
    /// Those of a pcscd where one can be started. The program is run again for it, with the same arguments,
    /// in a namespace of its own.
    pub fn start() -> Result<Self> {
        match move_alone().and_then(|()| Pcscd::start().map_err(|e| e.to_string())) {
            Ok(pcscd) => {
                let ports = READERS.map(|(_, port)| port);
                Ok(Self { ports, pcscd: Ok(pcscd), used: BTreeMap::new() })
            }
            Err(why) => Self::of_the_terminal(why),
        }
    }
    /// Sockets of the terminal, which a card on this machine reaches.
    pub fn of_the_terminal(why: impl Into<String>) -> Result<Self> {
        let free = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        let [first, second] = free.each_ref().map(|free| free.local_addr().map(|at| at.port()));
        Ok(Self { ports: [first?, second?], pcscd: Err(why.into()), used: BTreeMap::new() })
    }

    /// Puts them in place of the configured readers, with the CA key of the test cards and small taps without
    /// a PIN. The file of the kernel's parameters is made beside the state directory.
    pub fn configure(&self, config: &mut Config) -> Result<()> {
        let kinds = [DeviceKind::ChipReader, DeviceKind::ContactlessReader];
        for (i, kind) in kinds.into_iter().enumerate() {
            let (driver, option, value) = if self.pcscd.is_ok() {
                ("pcsc", "reader", READERS[i].0.to_owned())
            } else {
                ("virtual", "card", format!("127.0.0.1:{}", self.ports[i]))
            };
            for device in config.devices.iter_mut().filter(|device| device.kind == kind) {
                *device = DeviceConfig::new(&device.name, kind, driver);
                device.options.insert(option.into(), value.clone().into());
            }
        }
        let aid = |aid| {
            format!(
                "[[aid]]\naid = \"{aid}\"\nversion = \"0030\"\n\
                 tap = {{ most = 5_000_000, cvm = {NO_CVM} }}\n"
            )
        };
        let key = hex::encode(ca_key_370([0xA0, 0, 0, 0x03, 0x33]));
        let emv = config.store.dir.with_file_name("emv.toml");
        std::fs::write(&emv, format!("version = 1\nkeys = [\"{key}\"]\n{}", AIDS.map(aid).concat()))?;
        config.emv = Some(EmvConfig::new(emv));
        let limit = Money::new(NO_CVM, Currency::CNY)?.into();
        let modes = vec![EntryMode::Contactless];
        config.flow.no_cvm = Some(NoCvmConfig { limit, bins: Vec::new(), modes });
        Ok(())
    }

    /// The persona's card of today, inserted or tapped.
    pub fn present(&mut self, persona: &str, way: Interface) -> Result<Inserted> {
        let card = match self.used.remove(persona) {
            Some(card) => card,
            None => TestCard::new(&personas()?, persona, day(now()))?,
        };
        let [contact, tap] = self.ports;
        let port = match way {
            Interface::Contact => contact,
            Interface::Contactless => tap,
        };
        Inserted::insert(card, port, Behaviour::default())
    }
    /// Takes the persona's card away; the reader knows then.
    pub fn take(&mut self, persona: &str, card: Inserted) -> Result<()> {
        let card = if self.pcscd.is_ok() { card.take_out() } else { card.pull() }?;
        self.used.insert(persona.into(), card);
        Ok(())
    }
}
