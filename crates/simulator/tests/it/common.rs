//! A terminal for the tests: built on `payterm-hosts` and the vault's primitives, it shares no code with the
//! acquirer but these. `tests/` of the workspace judge both with independent programs.
use payterm_hosts::{Built, Profile, Reply, Station, build, frame_len, read};
use payterm_primitives::{DesKey, Key as VaultKey, KeySet, encode_pin_block, mac, parse_f62};
use payterm_schema::{
    HostAnswer, Kind, Money, Pan, PaymentCode, Time, Tracks,
    account::{Batch, Stan},
    host::{CardSecrets, EntryMode, MessageKind, OriginalRef, Plan, ReversalReason, Wallet},
    secret::{Mac, MacAlgorithm, MacError, MacValue, Pin},
};
use payterm_simulator::{Running, World};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

pub struct Key(pub Option<VaultKey>);
impl Mac for Key {
    fn mac(&self, algorithm: MacAlgorithm, data: &[u8]) -> Result<MacValue, MacError> {
        mac(algorithm, self.0.as_ref().ok_or(MacError::NoKey)?, data)
            .map_err(|e| MacError::Store(e.to_string()))
    }
    fn verify(&self, algorithm: MacAlgorithm, data: &[u8], given: &[u8]) -> Result<bool, MacError> {
        Ok(self.mac(algorithm, data)?.reveal() == given)
    }
}

pub struct Till {
    pub profile: Profile,
    pub station: Station,
    pub addr: SocketAddr,
    pub stream: TcpStream,
    pub tmk: DesKey,
    pub keys: Option<KeySet>,
    pub mak: Key,
    pub batch: Batch,
    pub stan: u32,
    pub world: World,
}

/// Reply that came back.
pub struct Got {
    pub plan: Plan,
    pub reply: Reply,
}
impl Got {
    pub fn code(&self) -> &str {
        &self.reply.answer.code
    }
    pub fn answer(&self) -> &HostAnswer {
        &self.reply.answer
    }
}

impl Till {
    /// Connected, not signed in.
    pub fn new(running: &Running, account: &str) -> Self {
        let world = running.world().clone();
        let addr = running.addr(&world.account(account).unwrap().profile).unwrap();
        Self::at(world, addr, account)
    }
    pub fn at(world: World, addr: SocketAddr, account: &str) -> Self {
        let a = world.account(account).unwrap().clone();
        Self {
            profile: Profile::builtin(&a.profile)
                .unwrap_or_else(|_| Profile::parse(&std::fs::read_to_string(&a.profile).unwrap()).unwrap()),
            station: Station {
                mid: a.mid.to_string(),
                tid: a.tid.to_string(),
                currency: a.currency,
                nii: Default::default(),
                test: true,
            },
            addr,
            stream: connect(addr),
            tmk: DesKey::new(a.tmk.reveal()).unwrap(),
            keys: None,
            mak: Key(None),
            batch: Batch::FIRST,
            stan: 0,
            world,
        }
    }
    pub fn signed_in(running: &Running, account: &str) -> Self {
        let mut t = Self::new(running, account);
        assert_eq!(t.sign_in().code(), "00");
        t
    }
    pub fn reconnect(&mut self) {
        self.stream = connect(self.addr);
    }

    pub fn plan(&mut self, kind: Kind) -> Plan {
        self.stan += 1;
        Plan {
            kind,
            stan: Stan::new(self.stan).unwrap(),
            batch: self.batch,
            amount: None,
            mode: None,
            pin: false,
            track: false,
            wallet: None,
            expiry: None,
            fallback: false,
            card_sequence: None,
            original: None,
            operator: "01".into(),
            at: payterm_simulator::acquirer::now(),
            offset: Default::default(),
            auth_code: None,
            tip: None,
            scheme: None,
            settlement: None,
            offline_authority: None,
            icc: None,
            download: None,
        }
    }
    pub fn build(&self, message_kind: MessageKind, plan: &Plan, secrets: &CardSecrets) -> Built {
        build(&self.profile, &self.station, message_kind, plan, secrets, "SN00000001", &self.mak).unwrap()
    }
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }
    /// The next whole frame; none when the line was closed or stayed silent.
    pub fn frame(&mut self, wait: Duration) -> Option<Vec<u8>> {
        self.stream.set_read_timeout(Some(wait)).unwrap();
        let mut frame = vec![0; if self.profile.frame.tpdu.is_some() { 2 } else { 4 }];
        self.stream.read_exact(&mut frame).ok()?;
        let (from, whole) = (frame.len(), frame_len(&self.profile, &frame).unwrap().unwrap());
        frame.resize(whole, 0);
        self.stream.read_exact(&mut frame[from..]).ok()?;
        Some(frame)
    }
    pub fn hear(&mut self) -> Reply {
        let frame = self.frame(Duration::from_secs(60)).expect("a reply");
        read(&self.profile, &frame, &self.mak).unwrap()
    }
    pub fn silent(&mut self) -> bool {
        self.frame(Duration::from_millis(200)).is_none()
    }
    /// Sends a built message and expects the matching reply.
    pub fn exchange(&mut self, message_kind: MessageKind, plan: Plan, secrets: &CardSecrets) -> Got {
        let built = self.build(message_kind, &plan, secrets);
        self.send(built.bytes.reveal());
        let reply = self.hear();
        reply.matches(&self.profile, &built.expect).unwrap();
        Got { plan, reply }
    }

    pub fn sign_in(&mut self) -> Got {
        let plan = self.plan(Kind::SignIn);
        let got = self.exchange(MessageKind::Request, plan, &CardSecrets::default());
        if let Some(f62) = &got.reply.keys {
            let keys = parse_f62(&self.tmk, f62.reveal()).unwrap();
            self.mak = Key(Some(keys.mak.clone()));
            self.keys = Some(keys);
            self.batch = got.reply.answer.batch.unwrap();
        }
        got
    }

    /// A swiped card of the world, with a PIN block when `pin` is given.
    pub fn card(&self, name: &str, pin: Option<&str>) -> CardSecrets {
        let c = self.world.cards.iter().find(|c| c.name == name).unwrap();
        let pan = Pan::parse(c.pan()).unwrap();
        let pik = &self.keys.as_ref().unwrap().pik;
        let mut tracks = Tracks::default();
        tracks.track2 = Some(c.track2());
        CardSecrets {
            pin_block: pin.map(|p| encode_pin_block(pik, &Pin::parse(p).unwrap(), &pan).unwrap()),
            pan: Some(pan),
            tracks: Some(tracks),
            code: None,
            pans: Vec::new(),
        }
    }
    pub fn sale_plan(&mut self, minor: u64, pin: bool) -> Plan {
        Plan {
            amount: Some(self.money(minor)),
            mode: Some(EntryMode::Swipe),
            pin,
            track: true,
            ..self.plan(Kind::Sale)
        }
    }
    pub fn money(&self, minor: u64) -> Money {
        Money::new(minor, self.station.currency).unwrap()
    }
    pub fn sale(&mut self, card: &str, minor: u64, pin: Option<&str>) -> Got {
        let (plan, secrets) = (self.sale_plan(minor, pin.is_some()), self.card(card, pin));
        self.exchange(MessageKind::Request, plan, &secrets)
    }
    pub fn code_plan(&mut self, minor: u64) -> Plan {
        Plan {
            amount: Some(self.money(minor)),
            mode: Some(EntryMode::Code),
            wallet: Some(Wallet::Wechat),
            ..self.plan(Kind::Sale)
        }
    }
    pub fn code_sale(&mut self, code: &str, minor: u64) -> Got {
        let plan = self.code_plan(minor);
        self.exchange(
            MessageKind::Request,
            plan,
            &CardSecrets { code: Some(PaymentCode::parse(code).unwrap()), ..CardSecrets::default() },
        )
    }
    pub fn balance(&mut self, card: &str, pin: Option<&str>) -> Got {
        let secrets = self.card(card, pin);
        let plan = Plan {
            mode: Some(EntryMode::Swipe),
            pin: pin.is_some(),
            track: true,
            ..self.plan(Kind::Balance)
        };
        self.exchange(MessageKind::Request, plan, &secrets)
    }
    /// Reference to an original, from its answer.
    pub fn original(of: &Got) -> OriginalRef {
        let a = of.answer();
        OriginalRef {
            batch: Some(of.plan.batch),
            stan: Some(of.plan.stan),
            date: a.date.clone(),
            rrn: a.rrn.clone(),
            auth_code: a.auth_code.clone(),
        }
    }
    pub fn void_plan(&mut self, minor: u64, original: OriginalRef) -> Plan {
        Plan {
            amount: Some(self.money(minor)),
            mode: Some(EntryMode::Swipe),
            track: true,
            original: Some(original),
            ..self.plan(Kind::Void)
        }
    }
    pub fn void(&mut self, card: &str, minor: u64, original: OriginalRef) -> Got {
        let (plan, secrets) = (self.void_plan(minor, original), self.card(card, None));
        self.exchange(MessageKind::Request, plan, &secrets)
    }
    /// A swiped request of this kind; `of` names its original.
    pub fn swiped(&mut self, kind: Kind, minor: u64, of: Option<OriginalRef>) -> Plan {
        Plan {
            amount: Some(self.money(minor)),
            mode: Some(EntryMode::Swipe),
            track: true,
            original: of,
            ..self.plan(kind)
        }
    }
    /// Sends it with this card.
    pub fn run(
        &mut self,
        kind: Kind,
        card: &str,
        minor: u64,
        of: Option<OriginalRef>,
        pin: Option<&str>,
    ) -> Got {
        let plan = Plan { pin: pin.is_some(), ..self.swiped(kind, minor, of) };
        let secrets = self.card(card, pin);
        self.exchange(MessageKind::Request, plan, &secrets)
    }
    pub fn refund_plan(&mut self, minor: u64, of: OriginalRef) -> Plan {
        Plan { scheme: Some("CUP".into()), ..self.swiped(Kind::Refund, minor, Some(of)) }
    }
    pub fn refund(&mut self, card: &str, minor: u64, of: OriginalRef) -> Got {
        let (plan, secrets) = (self.refund_plan(minor, of), self.card(card, None));
        self.exchange(MessageKind::Request, plan, &secrets)
    }
    pub fn reverse(&mut self, plan: &Plan, secrets: &CardSecrets) -> Got {
        let sealed = CardSecrets { pan: secrets.pan.clone(), ..CardSecrets::default() };
        self.exchange(MessageKind::Reversal(ReversalReason::NoReply), plan.clone(), &sealed)
    }
}

fn connect(addr: SocketAddr) -> TcpStream {
    let s = TcpStream::connect(addr).unwrap();
    s.set_nodelay(true).unwrap();
    s
}

pub fn soon(what: &str, mut done: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(std::time::Instant::now() < end, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Every rule of the ledger holds.
pub fn sound(running: &Running) {
    let report = running.check().unwrap();
    assert_eq!(report.broken, Vec::<String>::new());
    assert!(report.sums.values().all(|s| *s == 0));
}

pub fn time_zero() -> Time {
    Time(0)
}
