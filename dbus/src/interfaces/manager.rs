//! Requests of the apps, from start to slip, and what the terminal is.
use crate::{
    objects::{dict, object_path_or_root, texts},
    row::{Asked, Interface, methods, properties, signal},
    types::{Dict, Dicts, History, Json, Maybe, Name, Path, Start as StartRequest, Text},
    wire,
};
use payterm_schema::{
    Caller, Device, Fault, Outcome, Request, RequestKey,
    page::{Drawer, Printable},
    paper::{PaperStatus, SlipCopy},
    terminal::{Explanation, TerminalInfo, Transaction},
};
use std::collections::BTreeMap;

pub(crate) const NAME: &str = "org.payterm.Terminal1.Manager";

pub(crate) const INTERFACE: Interface = Interface {
    name: NAME,
    methods: METHODS,
    properties: PROPERTIES,
    signals: &[signal(
        "Notice",
        &[("notice", "a{sv}")],
        "Something happened that this caller may know of; key notice tells what.",
    )],
};

methods! { NAME;
    /// Starts a request; answers when it is durable. The same id with the same content answers the same path
    /// and does nothing again.
    Start(request: StartRequest) -> transaction: Path [Starters, Own, Moment]
        |asked| start(&asked, request).await;
    /// Start and Wait in one call; answers at the latest at the outcome's answer_by, if need be with status
    /// unknown.
    Pay(request: StartRequest) -> outcome: Dict<Outcome> [Starters, Own, Long] |asked| {
        let key = start(&asked, request).await?;
        wait(&asked, &key, false).await
    };
    /// Answers with the final outcome, or with status unknown at answer_by.
    Wait(transaction: Path) -> outcome: Dict<Outcome> [Apps, Own, Long]
        |asked| wait(&asked, &transaction, false).await;
    /// Answers with the final outcome only, however long that takes.
    WaitFinal(transaction: Path) -> outcome: Dict<Outcome> [Apps, Own, Long]
        |asked| wait(&asked, &transaction, true).await;
    /// What became of a request: outcome, phase, can_cancel. Takes an id, an object path, or (managers)
    /// app/id.
    Recall(request: Name) -> transaction: Dict<Transaction> [Apps, Own, Moment]
        |asked| asked.terminal().recall(asked.caller, &request).await;
    /// Cancels while the frame has not left; TooLate afterwards.
    Cancel(transaction: Path) [Apps, Own, Moment]
        |asked| asked.terminal().cancel(asked.caller, &transaction).await;
    /// Answers the prompt of phase confirming.
    Confirm(transaction: Path, yes: bool) [Apps, Own, Moment]
        |asked| asked.terminal().confirm(asked.caller, &transaction, yes).await;
    /// The history, newest first, a page at a time: app, kind, status, account, since, until, last4, rrn,
    /// stan, before, limit.
    List(filter: History) -> outcomes: Dicts<Outcome> [Apps, Own, Moment]
        |asked| asked.terminal().list(asked.caller, filter).await;
    /// The dispute page as a JSON text: outcome, entries, slips. Takes what Recall takes.
    Explain(request: Name) -> json: Json<Explanation> [Apps, Own, Moment]
        |asked| asked.terminal().explain(asked.caller, &request).await;
    /// Queues a copy of the slip, headed as a duplicate. Takes what Recall takes.
    Reprint(request: Name) [Apps, Own, Moment]
        |asked| asked.terminal().reprint(asked.caller, &request, None).await;
    /// As Reprint; copy is merchant or customer.
    ReprintCopy(request: Name, copy: Text<SlipCopy>) [Apps, Own, Moment]
        |asked| asked.terminal().reprint(asked.caller, &request, Some(copy)).await;
    /// Prints a page or an invoice slip that the app composed, given as a JSON text (paper.schema.json);
    /// answers when it is durable. The same id with the same content answers the same job and prints nothing
    /// again.
    Print(id: String, json: Text<Printable>) -> job: u64 [Apps, Own, Moment]
        |asked| asked.terminal().print(asked.caller, id, json).await;
    /// Opens the cash drawer at the receipt printer, at once or not at all; answers when that is durable. The
    /// same id answers the same job and opens nothing again. Paper and WaitPaper tell what came of it.
    OpenDrawer(id: String) -> job: u64 [Apps, Own, Moment]
        |asked| asked.terminal().print(asked.caller, id, Printable::Drawer(Drawer {})).await;
    /// Where such a paper stands, as a JSON text: job, state, problem.
    Paper(id: Name) -> json: Json<PaperStatus> [Apps, Own, Moment]
        |asked| asked.terminal().paper(asked.caller, &id, false).await;
    /// As Paper, when it is printed, held or given up.
    WaitPaper(id: Name) -> json: Json<PaperStatus> [Apps, Own, Long]
        |asked| asked.terminal().paper(asked.caller, &id, true).await;
    /// The devices, in the order of the configuration.
    Devices() -> devices: Dicts<Device> [Apps, Nobodys, Moment]
        |asked| asked.terminal().devices().await;
    /// The fault of this connection's last call that failed, with its data: fault is the name, and its
    /// fields are those of fault.schema.json. Empty before the first.
    LastFault() -> fault: Maybe<Fault> [Apps, Nobodys, Moment] |asked| Ok(asked.peer.last_fault());
    /// From now on this connection is sent signals. Properties.GetAll and GetManagedObjects do the same.
    Subscribe() [Apps, Nobodys, Moment] |asked| {
        asked.peer.follow();
        Ok(())
    };
}

async fn start(asked: &Asked<'_>, request: Request) -> Result<RequestKey, Fault> {
    let key = asked.terminal().start(asked.caller, request).await?;
    if !asked.peer.started(&key) {
        asked.link.face.lost(key.clone());
    }
    Ok(key)
}

pub(super) async fn wait(asked: &Asked<'_>, key: &RequestKey, final_only: bool) -> Result<Outcome, Fault> {
    let outcome = asked.terminal().wait(asked.caller, key, final_only).await?;
    if outcome.status.is_final() {
        asked.peer.ended(key);
    }
    Ok(outcome)
}

/// The terminal as this caller sees it.
pub(crate) struct Shown<'a> {
    pub caller: &'a Caller,
    pub info: &'a TerminalInfo,
}
impl Shown<'_> {
    fn running(&self) -> Option<&RequestKey> {
        self.info.running.as_ref().filter(|k| self.caller.sees(&k.app))
    }
    fn screen(&self) -> Result<zbus::Variant<'static>, Fault> {
        if self.caller.sees_screen(&self.info.screen, self.info.running.as_ref()) {
            wire::encode(&self.info.screen)
        } else {
            Ok(dict(BTreeMap::from([("page", zbus::Variant::from("busy"))])))
        }
    }
}

properties! { of Shown<'_>;
    /// Version of payterm.
    Version: "s", CONSTANT = |of| of.info.version.clone();
    /// Version of this interface; it rises when a program has to be changed.
    Api: "u", CONSTANT = |of| of.info.api;
    /// Language of screens, papers and texts: zh-CN or en.
    Language: "s", CHANGES = |of| of.info.language.clone();
    /// Name of the shop.
    Shop: "s", CHANGES = |of| of.info.shop.clone();
    /// Number of customer service.
    ServicePhone: "s", CONSTANT = |of| of.info.service_phone.clone();
    /// Time zone of slips, reports and screens, by its IANA name.
    Zone: "s", CONSTANT = |of| of.info.zone.to_string();
    /// True where a virtual device is configured, or the terminal is one of a lab: no real money.
    Test: "b", CONSTANT = |of| of.info.test;
    /// Acquirer accounts, in the order of the configuration; those that were granted follow.
    Accounts: "as", CHANGES = |of| texts(of.info.accounts.iter().map(|a| a.as_str().to_owned()));
    /// Path of the request that runs; / when none runs that the caller may see.
    Running: "o", CHANGES = |of| object_path_or_root(of.running());
    /// What the customer sees; page busy, and no more, while that is a payment which the caller may not see.
    Screen: "a{sv}", CHANGES = |of| of.screen()?;
    /// True while the machine must not be updated or restarted.
    Inhibited: "b", CHANGES = |of| !of.info.inhibit_reasons.is_empty();
    /// Why it must not.
    InhibitReasons: "as", CHANGES = |of| texts(of.info.inhibit_reasons.iter().map(|r| r.name().to_owned()));
}
