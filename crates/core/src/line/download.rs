//! Downloads of CA keys and applications for the card kernel (host-protocol §3): list, entries, end, one
//! message at a time, when nobody is served. All or nothing: what a download brought is in memory until its
//! end is answered, then it is one record.
use super::{Line, exchange::Purpose};
use crate::context::Context;
use payterm_schema::{
    AccountRecord, HostEvent, Kind, Notice, Time,
    download::{EmvAid, EmvAnswer, EmvAsk, EmvKey, EmvList, EmvName, EmvParameters},
    host::{MessageKind, Plan, SecretsFrom},
    outcome::Class,
    time::Millis,
};

/// Wait before a download that failed is tried again: the host may be busy with others.
const AGAIN: Millis = Millis::secs(60);
/// Tries of a download; then it waits for the host's next word, or a person's.
const TRIES: u8 = 3;

/// Downloads of an account that are wanted, and the one that runs.
#[derive(Debug)]
pub(super) struct Downloads {
    wanted: Vec<EmvList>,
    run: Option<Run>,
    not_before: Time,
    tries: u8,
}
impl Default for Downloads {
    fn default() -> Self {
        Self { wanted: Vec::new(), run: None, not_before: Time(i64::MIN), tries: 0 }
    }
}

/// What a run has brought so far.
#[derive(Debug)]
struct Run {
    ask: EmvAsk,
    /// Lists behind this one.
    left: Vec<EmvList>,
    names: Vec<EmvName>,
    /// Entries of this list that have come.
    came: usize,
    keys: Option<Vec<EmvKey>>,
    aids: Option<Vec<EmvAid>>,
}

impl Run {
    /// Of these lists; none: of none.
    fn of(mut lists: Vec<EmvList>) -> Option<Self> {
        let of = lists.pop()?;
        let mut run = Self {
            ask: EmvAsk::List { of, received: 0 },
            left: lists,
            names: Vec::new(),
            came: 0,
            keys: None,
            aids: None,
        };
        run.begin(of);
        Some(run)
    }
    fn begin(&mut self, of: EmvList) {
        self.ask = EmvAsk::List { of, received: 0 };
        (self.names, self.came) = (Vec::new(), 0);
        match of {
            EmvList::Keys => self.keys = Some(Vec::new()),
            EmvList::Aids => self.aids = Some(Vec::new()),
        }
    }

    /// Takes the answer to `ask`; true: that was all. The error says what is wrong with it.
    fn answered(&mut self, answer: Option<EmvAnswer>) -> Result<bool, String> {
        match (&self.ask, answer) {
            (EmvAsk::List { of, .. }, Some(EmvAnswer::Page { more, rows })) => {
                let of = *of;
                for row in rows {
                    if self.names.contains(&row.name) {
                        return Err("the list names an entry twice".into());
                    }
                    self.names.push(row.name);
                }
                let most = usize::from(EmvAsk::LIST_MAX);
                if self.names.len() > most {
                    return Err(format!("the list has no end behind {most} entries"));
                }
                let received = self.names.len() as u8; // at most `LIST_MAX`
                self.ask = if more { EmvAsk::List { of, received } } else { self.entry(of) };
                Ok(false)
            }
            (EmvAsk::Entry { name }, Some(answer)) if answer.name().as_ref() == Some(name) => {
                let of = name.list();
                match answer {
                    EmvAnswer::Key(key) => self.keys.get_or_insert_default().push(key),
                    EmvAnswer::Aid(aid) => self.aids.get_or_insert_default().push(aid),
                    EmvAnswer::Page { .. } | EmvAnswer::NoEntry => {}
                }
                self.came += 1;
                self.ask = self.entry(of);
                Ok(false)
            }
            (EmvAsk::Entry { .. }, Some(EmvAnswer::NoEntry)) => {
                Err("the host does not have an entry of its list".into())
            }
            (EmvAsk::End { .. }, _) => match self.left.pop() {
                Some(of) => {
                    self.begin(of);
                    Ok(false)
                }
                None => Ok(true),
            },
            (EmvAsk::List { .. } | EmvAsk::Entry { .. }, Some(_) | None) => {
                Err("the answer is to another message".into())
            }
        }
    }
    fn entry(&self, of: EmvList) -> EmvAsk {
        self.names.get(self.came).map_or(EmvAsk::End { of }, |name| EmvAsk::Entry { name: name.clone() })
    }
}

impl Line {
    /// The host, or a person, wants these lists to be downloaded.
    pub fn want_download(&mut self, lists: &[EmvList]) {
        if !self.account.rules.downloads {
            return;
        }
        let d = &mut self.downloads;
        let new = lists.iter().filter(|list| !d.wanted.contains(list)).copied().collect::<Vec<_>>();
        d.wanted.extend(new);
        (d.tries, d.not_before) = (0, Time(i64::MIN));
    }

    /// When the next message of a download may leave; none: nothing is wanted, or others go first.
    pub(super) fn download_due(&self, cx: &Context) -> Option<Time> {
        let id = self.id();
        let wanted = self.downloads.run.is_some() || !self.downloads.wanted.is_empty();
        let free = self.exchanges.is_idle()
            && cx.state.running.is_none()
            && cx.state.recovering.is_none()
            && cx.signed_in(&self.account)
            && cx.settling(id).is_none()
            && !cx.state.blocked(id)
            && !cx.renumbered(id);
        (wanted && free).then_some(self.downloads.not_before)
    }

    /// The next message of a download, behind all else of the account.
    pub fn drive_download(&mut self, cx: &mut Context) {
        if self.download_due(cx).is_none_or(|at| at > cx.now) {
            return;
        }
        let d = &mut self.downloads;
        if d.run.is_none() {
            d.run = Run::of(d.wanted.clone());
        }
        let Some(ask) = d.run.as_ref().map(|run| run.ask.clone()) else { return };
        let plan = Plan { download: Some(ask), ..cx.control_plan(self.id(), Kind::Parameters) };
        let (account, sent) = (self.id().clone(), Box::new(plan.clone()));
        cx.record(None, AccountRecord::ControlSent { account, plan: sent });
        self.send(cx, Purpose::Download, MessageKind::Request, plan, SecretsFrom::None, None);
    }

    pub(super) fn download_event(&mut self, cx: &mut Context, event: HostEvent) {
        let failed = match event {
            HostEvent::Reply { answer, .. } if cx.class(self.id(), &answer.code) == Class::A => {
                let Some(run) = &mut self.downloads.run else { unreachable!("an answer to no download") };
                match run.answered(answer.download) {
                    Ok(false) => return,
                    Ok(true) => return self.downloaded(cx),
                    Err(why) => why,
                }
            }
            HostEvent::Reply { answer, .. } => format!("the host answered {}", answer.code),
            HostEvent::NotSent { why }
            | HostEvent::Untrusted { why }
            | HostEvent::Unbuildable { why }
            | HostEvent::NoReply { why, .. }
            | HostEvent::Unusable { why, .. } => why,
            HostEvent::Late { .. } => return,
        };
        let d = &mut self.downloads;
        d.run = None;
        d.tries += 1;
        d.not_before = cx.now + AGAIN;
        let again = (d.tries < TRIES).then_some(d.not_before);
        let account = self.id().clone();
        cx.record(None, AccountRecord::DownloadFailed { account: account.clone(), why: failed.clone() });
        cx.tell(Notice::DownloadFailed { account, why: failed, again });
        if again.is_none() {
            self.downloads.wanted.clear();
            cx.trouble("downloads-failed");
        }
    }

    /// All of it is there: it is taken as a whole.
    fn downloaded(&mut self, cx: &mut Context) {
        let d = std::mem::take(&mut self.downloads);
        let Some(run) = d.run else { unreachable!("the end of no download") };
        let id = self.id().clone();
        // What was asked for meanwhile.
        let done = |list: &EmvList| match list {
            EmvList::Keys => run.keys.is_some(),
            EmvList::Aids => run.aids.is_some(),
        };
        self.downloads.wanted = d.wanted.into_iter().filter(|list| !done(list)).collect();
        let before = cx.state.accounts.get(&id).and_then(|l| l.emv.as_deref());
        let [keys, aids] =
            [run.keys.as_ref().map(Vec::len), run.aids.as_ref().map(Vec::len)].map(|n| n.map(|n| n as u32));
        let parameters = EmvParameters::behind(before, run.keys, run.aids);
        let told = Notice::Downloaded { account: id.clone(), version: parameters.version, keys, aids };
        cx.record(None, AccountRecord::EmvParameters { account: id, parameters: parameters.into() });
        cx.use_downloads();
        cx.tell(told);
    }
}
