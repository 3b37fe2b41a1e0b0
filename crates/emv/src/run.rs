//! What the phases of a run share, by contact or by tap: terminal, payment, the card's data so far, the log.
use crate::{
    Command, Tag, Tags, dol,
    fci::Fci,
    oda::{self, Keys},
    records,
    step::{Bound, Choice, Cvm, End, Note, Proceed, Step, Verdict, Why},
    tag::Row,
    terminal::{Aid, Limits, Parameters, Terminal, Transaction, digits},
    tlv::{self, Tlv, TlvError},
    verification::{Tsi, Tvr},
};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Data objects that a card may give in one run. 1,024: ten times what a card with all of them gives.
pub const OBJECTS_MAX: u16 = 1024;
/// Lines of a log for which there is room from the start: those of a run with most cards.
const LOG_FIRST: usize = 96;

/// What a phase wants next. `P`: where its run waits then.
pub(crate) enum Go<P> {
    Send(Command, P),
    Ask(Step, P),
    End(Verdict, Why),
}

/// How the card is spoken to: its value of 9F39.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interface {
    Contact = 0x05,
    Tap = 0x07,
}
impl Interface {
    /// Tells whether a data object may come in a template. What is answered to a command alone comes in that
    /// command's answer: by contact the cryptogram's are read there, in a tap GET PROCESSING OPTIONS answers
    /// with all of them, and a signature that it has no room for is the last record's.
    fn admits(self, row: &Row, template: Tag) -> bool {
        let answered = row.templates.contains(&Tag(0x80));
        let belongs = row.templates.contains(&template);
        match self {
            Self::Contact => belongs && (!answered || matches!(row.tag, Tag(0x82 | 0x94))),
            Self::Tap => belongs || template == Tag(0x70) && row.tag == Tag(0x9F4B),
        }
    }
}

/// A run's data. `Own`: what its interface has beside.
pub(crate) struct Run<Own> {
    pub(crate) interface: Interface,
    pub(crate) terminal: Arc<Terminal>,
    pub(crate) parameters: Arc<Parameters>,
    pub(crate) transaction: Transaction,
    pub(crate) tags: Tags,
    pub(crate) tvr: [u8; 5],
    pub(crate) tsi: [u8; 2],
    /// CVM results (9F34).
    pub(crate) results: [u8; 3],
    pub(crate) cvm: Cvm,
    /// Place of the application in the parameters.
    pub(crate) aid: usize,
    pub(crate) limits: Limits,
    /// The application's, as the customer reads it.
    pub(crate) name: Vec<u8>,
    pub(crate) table: Option<u8>,
    /// 9F33 as far as this payment can use it.
    pub(crate) capabilities: [u8; 3],
    pub(crate) aip: [u8; 2],
    /// Data objects of the card so far.
    objects: u16,
    /// Data that the card's signatures are over: records, and the AIP where 9F4A names it. None: it cannot be
    /// told.
    pub(crate) signed: Option<Zeroizing<Vec<u8>>>,
    pub(crate) proceed: Proceed,
    pub(crate) cid: Option<u8>,
    pub(crate) scripts: Vec<[u8; 5]>,
    pub(crate) log: Vec<Note>,
    pub(crate) own: Own,
}

impl<Own> Run<Own> {
    pub(crate) fn new(
        interface: Interface,
        terminal: Arc<Terminal>,
        parameters: Arc<Parameters>,
        transaction: Transaction,
        own: Own,
    ) -> Self {
        Self {
            interface,
            capabilities: terminal.data.capabilities,
            terminal,
            parameters,
            transaction,
            tags: Tags::default(),
            tvr: [0; 5],
            tsi: [0; 2],
            results: [0x3F, 0, 0],
            cvm: Cvm::default(),
            aid: 0,
            limits: Limits::ALL_ONLINE,
            name: Vec::new(),
            table: None,
            aip: [0; 2],
            objects: 0,
            signed: Some(Zeroizing::new(Vec::new())),
            proceed: Proceed::default(),
            cid: None,
            scripts: Vec::new(),
            log: Vec::with_capacity(LOG_FIRST),
            own,
        }
    }

    /// The end, with all that is known.
    pub(crate) fn end(&mut self, verdict: Verdict, why: Why) -> Step {
        // What is full has no room for what the slip prints; the end is the same.
        self.write_results().ok();
        self.log.push(Note::End(verdict, why));
        Step::Done(Box::new(End {
            verdict,
            why,
            cid: self.cid,
            tags: std::mem::take(&mut self.tags),
            cvm: self.cvm,
            scripts: std::mem::take(&mut self.scripts),
            log: std::mem::take(&mut self.log),
        }))
    }

    /// Begins with an application of the card: nothing of one that was tried before stays.
    pub(crate) fn select(&mut self, aid: usize, choice: Choice, fci: &Fci<'_>) -> Result<(), Why> {
        self.aid = aid;
        let [input, cvm, security] = self.terminal.data.capabilities;
        let online_pin = self.aid().is_some_and(|aid| aid.online_pin);
        self.capabilities = [input, if online_pin { cvm } else { cvm & !0x40 }, security];
        (self.name, self.table) = (choice.name, choice.table);
        self.begin_tags()?;
        self.put(0x84, fci.name)?;
        let mut seen = Vec::new();
        for tlv in tlv::read(fci.proprietary) {
            let tlv = tlv?;
            if tlv.tag == Tag(0xBF0C) {
                for inner in tlv::read(tlv.value) {
                    self.keep(inner?, tlv.tag, &mut seen)?;
                }
            } else {
                self.keep(tlv, Tag(0xA5), &mut seen)?;
            }
        }
        self.log.push(Note::Selected(fci.name.to_vec()));
        Ok(())
    }

    /// Takes a data object that the card gave in a template: one that belongs there or that nobody knows,
    /// once, in its form. Others are left out: no card sets what is the terminal's or the issuer's.
    pub(crate) fn keep(&mut self, tlv: Tlv<'_>, template: Tag, seen: &mut Vec<Tag>) -> Result<(), Why> {
        if self.objects == OBJECTS_MAX {
            return Err(Why::Bound(Bound::Objects));
        }
        self.objects += 1;
        let tag = tlv.tag;
        let row = tag.row();
        let belongs = row.is_none_or(|row| self.interface.admits(row, template));
        if tag.is_constructed() || !belongs {
            self.log.push(Note::Ignored(tag));
            return Ok(());
        }
        if seen.contains(&tag) {
            return Err(TlvError::Double(tag).into());
        }
        seen.push(tag);
        if tlv.value.is_empty() {
            return Ok(());
        }
        if let Some(row) = row
            && !records::is_formed(tag, row.format, row.len, tlv.value)
        {
            return Err(Why::Malformed(tag));
        }
        Ok(self.tags.put(tag, tlv.value)?)
    }

    pub(crate) fn put(&mut self, tag: u32, value: &[u8]) -> Result<(), Why> {
        Ok(self.tags.put(Tag(tag), value)?)
    }
    pub(crate) fn tvr(&mut self, bit: Tvr) {
        bit.set(&mut self.tvr);
        self.log.push(Note::Tvr(bit));
    }
    pub(crate) fn tsi(&mut self, bit: Tsi) {
        bit.set(&mut self.tsi);
        self.log.push(Note::Tsi(bit));
    }
    pub(crate) fn aid(&self) -> Option<&Aid> {
        self.parameters.aids.get(self.aid)
    }
    /// Registered provider: the first five bytes of the selected name.
    pub(crate) fn rid(&self) -> [u8; 5] {
        let name = self.tags.get(Tag(0x84)).unwrap_or_default();
        name.first_chunk().copied().unwrap_or_default()
    }
    /// Nothing is approved without the issuer: the terminal is one that never does, or this payment is not
    /// accepted so.
    pub(crate) fn is_online_only(&self) -> bool {
        self.terminal.is_online_only() || !self.proceed.offline
    }
    /// Byte 1 of what the card can.
    pub(crate) fn aip_has(&self, bit: u8) -> bool {
        self.aip.first().is_some_and(|byte| byte & bit != 0)
    }

    /// Data of terminal and payment for an application (Book 4, terminal data).
    fn begin_tags(&mut self) -> Result<(), Why> {
        self.tags = Tags::new();
        let (terminal, x) = (Arc::clone(&self.terminal), self.transaction);
        let t = &terminal.data;
        let (aid, version) = self.aid().map(|a| (a.name.clone(), a.version)).unwrap_or_default();
        // An amount that the binary form cannot say is its greatest.
        let binary = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
        for (tag, value) in [
            (0x9F06, &aid[..]),
            (0x9F09, &version),
            (0x9F1A, &digits::<2>(t.country.into())),
            (0x9F35, &[t.kind]),
            (0x9F33, &self.capabilities.clone()),
            (0x9F40, &t.additional),
            (0x9F1E, &t.serial),
            (0x9F15, &digits::<2>(t.category.into())),
            (0x9F4E, &t.name),
            (0x9F02, &digits::<6>(x.amount)),
            (0x9F03, &digits::<6>(x.other)),
            (0x81, &binary(x.amount)),
            (0x9F04, &binary(x.other)),
            (0x5F2A, &digits::<2>(x.currency.into())),
            (0x5F36, &[x.exponent]),
            (0x9C, &[x.kind]),
            (0x9A, &x.date),
            (0x9F21, &x.time),
            (0x9F41, &digits::<4>(x.sequence.into())),
            (0x9F37, &x.unpredictable),
            (0x9F39, &[self.interface as u8]),
            // No electronic cash, no SM algorithms.
            (0x9F7A, &[0]),
            (0xDF69, &[0]),
        ] {
            self.put(tag, value)?;
        }
        if let Some(merchant) = t.merchant {
            self.put(0x9F16, &merchant)?;
        }
        if let Some(id) = t.id {
            self.put(0x9F1C, &id)?;
        }
        Ok(())
    }

    /// What is known by now goes among the tags.
    pub(crate) fn write_results(&mut self) -> Result<(), Why> {
        let (tvr, tsi, results) = (self.tvr, self.tsi, self.results);
        self.put(0x95, &tvr)?;
        self.put(0x9B, &tsi)?;
        self.put(0x9F34, &results)?;
        if !self.scripts.is_empty() {
            let scripts = self.scripts.concat();
            self.put(0xDF31, &scripts)?;
            self.put(0x9F5B, &scripts)?;
        }
        Ok(())
    }
    /// Values that a list asks for, all as it stands now. `name`: the list's own tag.
    pub(crate) fn fill(&mut self, name: u32, list: &[u8]) -> Result<Zeroizing<Vec<u8>>, Why> {
        self.write_results()?;
        let tags = dol::entries(list)?.into_iter().map(|(tag, _)| tag).collect();
        self.log.push(Note::Asked(Tag(name), tags));
        Ok(dol::fill(list, &self.tags)?)
    }

    /// A call of offline data authentication, with what it is over.
    pub(crate) fn authenticate<T>(
        &self,
        call: impl Fn(Keys<'_>, [u8; 5], &Tags, &[u8]) -> Result<T, oda::Flaw>,
    ) -> Option<Result<T, oda::Flaw>> {
        let signed = self.signed.as_ref()?;
        let parameters = &self.parameters;
        let keys = Keys { ca: &parameters.keys, revoked: &parameters.revoked, date: self.transaction.date };
        Some(call(keys, self.rid(), &self.tags, signed))
    }
}
