//! The methods. Start and Wait do nothing but decode, ask the terminal and encode: signals and objects follow
//! from the terminal's notices, behind the answer.
use crate::{
    describe::{
        APPLICATION, BATCH, INTROSPECTABLE, MANAGER, OBJECT_MANAGER, OPERATORS, PROPERTIES, QUEUE, SETUP,
        TRANSACTION,
    },
    link::Link,
    path,
    peer::{Peer, key_of},
    wire::{self, CALLER, Object},
};
use payterm_schema::{
    AccountId, Caller, Fault, Money, OperatorId, OperatorRequest, Request, RequestKey,
    account::Stan,
    application::{Draft, Step},
    offline::QueueAct,
    page::{Drawer, Printable},
    paper::SlipCopy,
    request::RequestWire,
    totals::Scope,
};
use serde::Serialize;
use std::{future::Future, sync::Arc};
use zbus::{ObjectPath, Variant};

/// What a method answers: one value at most.
pub(crate) enum Answer {
    Nothing,
    Value(Variant<'static>),
    Object(Object),
    Objects(Vec<Object>),
}

fn one<T: Serialize>(value: &T) -> Result<Answer, Fault> {
    Object::of(value).map(Answer::Object)
}
fn list<T: Serialize>(values: &[T]) -> Result<Answer, Fault> {
    values.iter().map(Object::of).collect::<Result<_, _>>().map(Answer::Objects)
}
fn json<T: Serialize>(value: &T) -> Result<Answer, Fault> {
    let text = serde_json::to_string(value).map_err(|e| Fault::invalid("answer", &e.to_string()))?;
    Ok(Answer::Value(Variant::from(text)))
}
fn scope(value: Option<&Variant<'_>>) -> Result<Scope, Fault> {
    Scope::named(text("scope", value)?).ok_or_else(|| Fault::invalid("scope", "batch or shift"))
}
fn none((): ()) -> Answer {
    Answer::Nothing
}
pub(crate) fn object_path(text: String) -> Variant<'static> {
    Variant::ObjectPath(ObjectPath::from_string_unchecked(text))
}

/// A text or path argument. The signature was checked before: another type is our own mistake, told as a
/// fault all the same.
pub(crate) fn text<'a>(what: &str, value: Option<&'a Variant<'_>>) -> Result<&'a str, Fault> {
    match value {
        Some(Variant::Str(s)) => Ok(s.as_str()),
        Some(Variant::ObjectPath(p)) => Ok(p.as_str()),
        _ => Err(Fault::invalid(what, "a text")),
    }
}
fn flag(what: &str, value: Option<&Variant<'_>>) -> Result<bool, Fault> {
    if let Some(Variant::Bool(b)) = value { Ok(*b) } else { Err(Fault::invalid(what, "true or false")) }
}
fn number(what: &str, value: Option<&Variant<'_>>) -> Result<u64, Fault> {
    if let Some(Variant::U64(n)) = value { Ok(*n) } else { Err(Fault::invalid(what, "a number")) }
}
/// 0: none is named.
fn stan(value: Option<&Variant<'_>>) -> Result<Option<Stan>, Fault> {
    match value {
        Some(Variant::U32(0)) => Ok(None),
        Some(Variant::U32(n)) if let Some(stan) = Stan::new(*n) => Ok(Some(stan)),
        Some(_) | None => Err(Fault::invalid("stan", "0 to 999999")),
    }
}
/// The longest draft is some 2,000 bytes.
const MAX_DRAFT: usize = 8 * 1024;

fn step(member: &str, first: Option<&Variant<'_>>) -> Result<Step, Fault> {
    match member {
        "SetDraft" => {
            let json = text("json", first)?;
            if json.len() > MAX_DRAFT {
                return Err(Fault::invalid("json", "up to 8192 bytes"));
            }
            let draft: Draft =
                serde_json::from_str(json).map_err(|e| Fault::invalid("json", &e.to_string()))?;
            draft.check()?;
            Ok(Step::Draft(Box::new(draft)))
        }
        "Accept" => Ok(Step::Accept { hash: text("hash", first)?.chars().take(64).collect() }),
        "Submit" => Ok(Step::Submit),
        "Refresh" => Ok(Step::Refresh),
        "Activate" => Ok(Step::Activate),
        _ => Err(Fault::not_found("method", member)),
    }
}
fn request(value: Option<&Variant<'_>>) -> Result<Request, Fault> {
    let value = value.ok_or_else(|| Fault::invalid("request", "is needed"))?;
    Request::try_from(wire::decode::<RequestWire>("request", value, CALLER)?)
}

impl Link {
    /// Runs a method that the table knows for `path`; the arguments have its types.
    pub(crate) async fn call(
        self: &Arc<Self>,
        peer: &Arc<Peer>,
        caller: &Caller,
        interface: &str,
        member: &str,
        path: &str,
        arguments: &[Variant<'_>],
    ) -> Result<Answer, Fault> {
        let terminal = &self.face.terminal;
        let first = arguments.first();
        let key = || text("request", first).and_then(|t| key_of(caller, t));
        let own = || key_of(caller, path);
        match (interface, member) {
            (MANAGER, "Start") => {
                let key = self.start(peer, caller, request(first)?).await?;
                Ok(Answer::Value(object_path(path::path(&key))))
            }
            (MANAGER, "Pay") => {
                let key = self.start(peer, caller, request(first)?).await?;
                self.wait(peer, caller, &key, false).await
            }
            (MANAGER, "Wait") => self.wait(peer, caller, &key()?, false).await,
            (MANAGER, "WaitFinal") => self.wait(peer, caller, &key()?, true).await,
            (TRANSACTION, "Wait") => self.wait(peer, caller, &own()?, false).await,
            (MANAGER, "Recall") => one(&terminal.recall(caller, &key()?).await?),
            (MANAGER, "Cancel") => terminal.cancel(caller, &key()?).await.map(none),
            (TRANSACTION, "Cancel") => terminal.cancel(caller, &own()?).await.map(none),
            (MANAGER, "Confirm") => {
                terminal.confirm(caller, &key()?, flag("yes", arguments.get(1))?).await.map(none)
            }
            (TRANSACTION, "Confirm") => {
                terminal.confirm(caller, &own()?, flag("yes", first)?).await.map(none)
            }
            (MANAGER, "List") => {
                let filter = first.ok_or_else(|| Fault::invalid("filter", "is needed"))?;
                list(&terminal.list(caller, caller.own(wire::decode("filter", filter, CALLER)?)?).await?)
            }
            (MANAGER, "Explain") => {
                let page = terminal.explain(caller, &key()?).await?;
                json(&page)
            }
            (MANAGER, "Reprint") => terminal.reprint(caller, &key()?, None).await.map(none),
            (MANAGER, "ReprintCopy") => {
                let copy = SlipCopy::named(text("copy", arguments.get(1))?)
                    .ok_or_else(|| Fault::invalid("copy", "merchant or customer"))?;
                terminal.reprint(caller, &key()?, Some(copy)).await.map(none)
            }
            (MANAGER, "Print") => {
                let paper = Printable::parse(text("json", arguments.get(1))?)?;
                Ok(Answer::Value(Variant::U64(
                    terminal.print(caller, text("id", first)?.to_owned(), paper).await?,
                )))
            }
            (MANAGER, "OpenDrawer") => {
                let drawer = Printable::Drawer(Drawer {});
                Ok(Answer::Value(Variant::U64(
                    terminal.print(caller, text("id", first)?.to_owned(), drawer).await?,
                )))
            }
            (MANAGER, "Paper") => json(&terminal.paper(caller, &key()?, false).await?),
            (MANAGER, "WaitPaper") => json(&unless_gone(peer, terminal.paper(caller, &key()?, true)).await?),
            (MANAGER, "Devices") => list(&terminal.devices().await?),
            (MANAGER, "Subscribe") => {
                peer.follow();
                Ok(Answer::Nothing)
            }
            (QUEUE, "Obligations") => list(&terminal.obligations(caller).await?),
            (QUEUE, "Papers") => list(&terminal.papers(caller).await?),
            (QUEUE, "Retry") => {
                terminal.retry_obligation(caller.manage()?, number("txn", first)?).await.map(none)
            }
            (QUEUE, "Resolve") => {
                let (txn, executed, stan) =
                    (number("txn", first)?, flag("executed", arguments.get(1))?, stan(arguments.get(2))?);
                let reference = text("reference", arguments.get(3))?;
                terminal.resolve_obligation(caller.manage()?, txn, executed, stan, reference).await.map(none)
            }
            (QUEUE, "Forward") => {
                let txn = Some(number("txn", first)?).filter(|t| *t > 0);
                terminal.queue(caller.manage()?, QueueAct::Forward { txn }).await.map(none)
            }
            (QUEUE, "Hold") => terminal
                .queue(caller.manage()?, QueueAct::Hold { txn: number("txn", first)? })
                .await
                .map(none),
            (QUEUE, "Release") => terminal
                .queue(caller.manage()?, QueueAct::Release { txn: number("txn", first)? })
                .await
                .map(none),
            (QUEUE, "WriteOff") => {
                let act = QueueAct::WriteOff {
                    txn: number("txn", first)?,
                    why: text("why", arguments.get(1))?.to_owned(),
                };
                unless_gone(peer, terminal.queue(caller.manage()?, act)).await.map(none)
            }
            (QUEUE, "OfflineWhy") => {
                let amount =
                    Money::parse(text("amount", first)?, text("currency", arguments.get(1))?.parse()?)?;
                let account = Some(text("account", arguments.get(2))?).filter(|a| !a.is_empty());
                let account = account
                    .map(|a| AccountId::new(a).map_err(|rule| Fault::invalid("account", &rule)))
                    .transpose()?;
                one(&terminal.offline_why(caller, amount, account).await?)
            }
            (QUEUE, "ReleasePaper") => terminal
                .release_paper(caller.manage()?, number("paper", first)?, flag("print", arguments.get(1))?)
                .await
                .map(none),
            (BATCH, "Totals") => list(&terminal.totals(caller).await?),
            (BATCH, "Report") => json(&terminal.report(caller.manage()?, scope(first)?).await?),
            (BATCH, "Reconcile") => {
                let account = Some(text("account", first)?).filter(|a| !a.is_empty());
                let account = account
                    .map(AccountId::new)
                    .transpose()
                    .map_err(|_| Fault::invalid("account", "1 to 32 characters of a-z 0-9 - _"))?;
                let file = text("file", arguments.get(1))?.to_owned();
                json(&terminal.reconcile(caller.manage()?, account, file).await?)
            }
            (BATCH, "PrintReport") => terminal.print_report(caller.manage()?, scope(first)?).await.map(none),
            (SETUP, "SelfTest") => one(&terminal.self_test(caller, flag("print", first)?).await?),
            (SETUP, "LastSelfTest") => match terminal.last_self_test().await? {
                Some(report) => one(&report),
                None => one(&serde_json::json!({})),
            },
            (SETUP, "SetLanguage") => {
                terminal.set_language(caller.manage()?, text("language", first)?.parse()?).await.map(none)
            }
            (SETUP, "SupportBundle") => {
                Ok(Answer::Value(Variant::from(terminal.support_bundle(caller.manage()?).await?)))
            }
            (OPERATORS, "List") => one(&terminal.operators(caller).await?),
            (OPERATORS, _) => {
                let request = operator_request(member, first)?;
                let by = if request.manages() { caller.manage()? } else { caller };
                unless_gone(peer, terminal.operator_session(by, request)).await.map(none)
            }
            (APPLICATION, "Offer") => json(&terminal.offer(caller.manage()?).await?),
            (APPLICATION, "State") => json(&terminal.application(caller.manage()?).await?),
            (APPLICATION, _) => terminal.apply(caller.manage()?, step(member, first)?).await.map(none),
            (PROPERTIES, _) => self.property_call(peer, caller, member, path, arguments).await,
            (INTROSPECTABLE, _) => self.introspect(caller, path).await,
            (OBJECT_MANAGER, _) => {
                peer.follow();
                self.managed_objects(caller).await
            }
            _ => Err(Fault::not_found("method", member)),
        }
    }

    async fn start(&self, peer: &Peer, caller: &Caller, request: Request) -> Result<RequestKey, Fault> {
        caller.may_start(&request)?;
        let key = self.face.terminal.start(caller, request).await?;
        if !peer.started(&key) {
            self.face.lost(key.clone());
        }
        Ok(key)
    }

    /// Ends early when the peer leaves: nobody is there to hear it.
    async fn wait(
        &self,
        peer: &Peer,
        caller: &Caller,
        key: &RequestKey,
        final_only: bool,
    ) -> Result<Answer, Fault> {
        let outcome = unless_gone(peer, self.face.terminal.wait(caller, key, final_only)).await?;
        if outcome.status.is_final() {
            peer.ended(key);
        }
        one(&outcome)
    }
}

/// The operator's number is all that comes over the bus: passwords are typed at the keypad.
fn operator_request(member: &str, argument: Option<&Variant<'_>>) -> Result<OperatorRequest, Fault> {
    let operator = || text("operator", argument).and_then(OperatorId::new);
    Ok(match member {
        "LogOn" => OperatorRequest::LogOn { operator: operator()? },
        "LogOff" => OperatorRequest::LogOff,
        "ChangePassword" => OperatorRequest::ChangePassword,
        "Add" => OperatorRequest::Add { operator: operator()? },
        "Remove" => OperatorRequest::Remove { operator: operator()? },
        "Unlock" => OperatorRequest::Unlock { operator: operator()? },
        "EndRecovery" => OperatorRequest::EndRecovery,
        _ => return Err(Fault::not_found("method", member)),
    })
}

async fn unless_gone<T>(peer: &Peer, wait: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    tokio::select! {
        answer = wait => answer,
        () = peer.left() => Err(Fault::Unreachable { cause: "the caller has left".into() }),
    }
}
