//! Carrying out effects: each goes to the actor it is for; what that actor answers, or that it died, is the
//! next input.
use super::{Services, TerminalActor, messages::token};
use crate::{
    device::{AskPin, CheckedBy, EndCard, OpenPort, RunCard, StopCard, TellCard},
    hostlink::{ForgetKeys, Transmit},
    spooler::{Spool, Spooled},
    supervise::{Gone, PATIENCE},
};
use actix::Context;
use payterm_core::{Ask, Effect, Input, Query, TmsEvent, VaultAnswer};
use payterm_journal::{Found, Head, StoreError};
use payterm_schema::{
    AccountId, Fault, HostEvent, HostMessage, Notice, Outcome, Screen,
    card::CardStep,
    config::Language,
    host::{EntryMode, FrameTrace},
    onboarding::Problem,
    paper::{PaperJob, PaperKind, PrintResult},
    secret::PinEntry,
};
use payterm_texts::Texts;
use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

impl TerminalActor {
    pub(super) fn ask(&mut self, ask: Ask, ctx: &mut Context<Self>) {
        let services = self.services.clone();
        match ask {
            Ask::Show(screen, language) => show(&services, &screen, language),
            Ask::Offer { txn, modes } => want(&services, Some(txn), modes),
            Ask::Withdraw => want(&services, None, Vec::new()),
            Ask::Pin { tag, account, pan, amount, timeout_ms } => {
                let checked_by = CheckedBy::Issuer { slot: account.as_str().into(), pan };
                let timeout = Duration::from_millis(u64::from(timeout_ms));
                let order = AskPin { tag, checked_by, amount, timeout };
                self.ask_pin(tag, ctx, std::future::ready(Some(order)));
            }
            Ask::CardPin { tag, run, pin, amount, timeout_ms } => {
                let time = Duration::from_millis(pin.card_ms.into());
                let opened = self.runs_on.as_ref().map(|reader| reader.ask(OpenPort { tag: run, time }));
                let timeout = Duration::from_millis(u64::from(timeout_ms));
                self.ask_pin(tag, ctx, async move {
                    let card = opened?.await.ok()?;
                    Some(AskPin { tag, checked_by: CheckedBy::Card { pin, card }, amount, timeout })
                });
            }
            Ask::AbortPin { tag } => abort_pin(&services, |now| now == tag),
            Ask::RunCard { tag, run } => {
                let found_by = self.found_by.get(&run.interface);
                self.runs_on = found_by.and_then(|name| services.devices.card_reader(name)).cloned();
                let asked = self.runs_on.as_ref().map(|reader| reader.ask(RunCard { tag, run }));
                self.card_says(tag, asked, ctx);
            }
        }
    }

    /// What the customer types is the next input. `order`: what the pad is asked; none: the card that was to
    /// be shown the PIN is not there any more.
    fn ask_pin(
        &self,
        tag: u64,
        ctx: &mut Context<Self>,
        order: impl Future<Output = Option<AskPin>> + 'static,
    ) {
        let services = self.services.clone();
        services.desired.lock().unwrap_or_else(PoisonError::into_inner).pin = Some(tag);
        self.later(ctx, async move {
            let entry = match (services.devices.pin_pad(), order.await) {
                (None, _) => PinEntry::Failed("no PIN pad is configured".into()),
                (Some(_), None) => PinEntry::NoCard,
                (Some(pad), Some(order)) => {
                    let asked = pad.ask_patiently(order, PATIENCE);
                    asked.await.unwrap_or_else(|gone| PinEntry::Failed(gone.to_string()))
                }
            };
            Input::Pin { tag, entry }
        });
    }

    pub(super) fn carry_out(&mut self, effect: Effect, ctx: &mut Context<Self>) {
        let services = self.services.clone();
        match effect {
            Effect::Answer { call, result } => {
                if let Some((_, answer)) = self.calls.remove(&call) {
                    answer.send(result).ok();
                }
            }
            Effect::Tell(notice) => tell(&services, *notice),
            Effect::TellCard { tag, word } => {
                let asked = self.runs_on.as_ref().map(|reader| reader.ask(TellCard { tag, word }));
                self.card_says(tag, asked, ctx);
            }
            Effect::StopCard { tag } => {
                if let Some(reader) = &self.runs_on {
                    reader.nudge(StopCard { tag });
                }
            }
            Effect::EndCard { tag } => {
                if let Some(reader) = &self.runs_on {
                    drop(tokio::spawn(reader.ask(EndCard { tag: Some(tag) })));
                }
            }
            Effect::Speak(language) => {
                services.spoken.set(language);
                services.show_info(|info| info.language = language.tag().into());
            }
            Effect::Show(screen, language) => show(&services, &screen, language),
            Effect::Send(message) => self.send(message, ctx),
            Effect::ForgetKeys { account } => forget_keys(&services, account),
            Effect::UseDownloads { all } => {
                if let Some(data) = &services.card_data {
                    data.follow(&all);
                }
            }
            Effect::Print { job, duplicate } => self.print(job, duplicate, ctx),
            Effect::Load { tag, query } => {
                self.later(ctx, load(services.clone(), tag, query));
            }
            Effect::AskVault { tag, ask } => {
                let asked =
                    tokio::task::spawn_blocking(move || super::operators::answer(&services.vault, ask));
                self.later(ctx, async move {
                    let answer =
                        asked.await.unwrap_or_else(|_| VaultAnswer::Failed("its thread ended".into()));
                    Input::Vault { tag, answer }
                });
            }
            Effect::Tms { tag, ask } => {
                let tms = services.tms.clone();
                self.later(ctx, async move {
                    let event = match tms {
                        Some(tms) => tms.answer(ask).await,
                        None => TmsEvent::Failed {
                            problem: Problem::Unreachable,
                            cause: "no [tms] is configured".into(),
                        },
                    };
                    Input::Tms { tag, event }
                });
            }
            Effect::Renew => services.renew.notify_one(),
        }
    }

    /// What a card says next is the next input; a reader that is not there any more says that it is gone.
    fn card_says(
        &self,
        tag: u64,
        asked: Option<impl Future<Output = Result<Option<CardStep>, Gone>> + 'static>,
        ctx: &mut Context<Self>,
    ) {
        let vault = self.services.vault.clone();
        self.later(ctx, async move {
            let step = match asked {
                Some(asked) => asked.await.ok().flatten(),
                None => None,
            };
            let card = match &step {
                Some(CardStep::Read(read)) => token(&vault, &read.pan),
                Some(_) | None => None,
            };
            Input::Card { tag, step, card }
        });
    }

    /// Hands a frame to its account's link; the link's one answer is the next input.
    fn send(&self, message: Box<HostMessage>, ctx: &mut Context<Self>) {
        let tag = message.tag;
        let handed = Arc::new(AtomicBool::new(false));
        let asked = self.services.links.get(&message.account).map(|l| {
            l.ask_patiently(
                Transmit { message, handed: handed.clone(), wanted: Arc::downgrade(&self.wants) },
                PATIENCE,
            )
        });
        self.later(ctx, async move {
            let event = match asked {
                None => HostEvent::NotSent { why: "no such account".into() },
                Some(asked) => asked.await.unwrap_or_else(|gone| {
                    let why = format!("host link: {gone}");
                    // The link died: what it had done to the socket decides.
                    if handed.load(Ordering::SeqCst) {
                        HostEvent::NoReply { why, trace: FrameTrace::default() }
                    } else {
                        HostEvent::NotSent { why }
                    }
                }),
            };
            Input::Host { tag, event }
        });
    }

    fn print(&self, mut job: Box<PaperJob>, duplicate: bool, ctx: &mut Context<Self>) {
        let services = self.services.clone();
        let id = job.id;
        let here = services.spooler.addr().is_some();
        self.later(ctx, async move {
            if job.kind == PaperKind::SettlementReport
                && let Some(o) = job.outcome_mut()
            {
                // It comes without one rather than not at all.
                o.journal =
                    services.store.by_txn(o.txn).await.ok().flatten().and_then(|found| found.outcome.journal);
            }
            let result = match services.spooler.ask(Spool { job, duplicate }).await {
                Ok(Spooled { result, replaced }) => return Input::Printed { job: id, result, replaced },
                // It died with the job: whether a byte left is not known.
                Err(gone) if here => PrintResult::Unconfirmed(format!("spooler: {gone}")),
                Err(gone) => PrintResult::NotStarted(format!("spooler: {gone}")),
            };
            Input::Printed { job: id, result, replaced: 0 }
        });
    }
}

fn forget_keys(services: &Services, account: AccountId) {
    let Some(link) = services.links.get(&account).cloned() else { return };
    let asked = link.ask(ForgetKeys);
    actix::spawn(async move {
        if asked.await.is_err() {
            // The link that is made anew is asked again; without it the next sign-in replaces the
            // keys.
            tracing::warn!(%account, "host link restarted before it removed the working keys");
        }
    });
}

async fn load(services: Arc<Services>, tag: u64, query: Query) -> Input {
    let failed = |e: StoreError| Fault::StoreFailed { id: "query".into(), cause: e.to_string() };
    match query {
        Query::Batch(batch) => {
            Input::BatchLoaded { tag, found: services.store.in_batch(batch).await.map_err(failed) }
        }
        original @ (Query::Key(_) | Query::Rrn { .. } | Query::AuthCode { .. } | Query::Stan { .. }) => {
            Input::Loaded { tag, found: original_of(&services, original).await.map_err(failed) }
        }
    }
}
async fn original_of(services: &Services, query: Query) -> Result<Vec<Outcome>, StoreError> {
    let found: Vec<Found> = match query {
        Query::Batch(_) => unreachable!("a batch is no original"),
        Query::Key(key) => services.store.by_key(&key).await?.into_iter().collect(),
        Query::AuthCode { code, date } => services.store.by_auth_code(&code, &date).await?,
        Query::Rrn { rrn } => services.store.by_rrn(&rrn).await?,
        Query::Stan { app, stan, batches } => services.store.by_stan(&app, stan, batches).await?,
    };
    Ok(found.into_iter().map(|f| f.outcome).collect())
}

pub(super) fn tell(services: &Services, mut notice: Notice) {
    fill(services.spoken.texts(), &mut notice);
    match &notice {
        Notice::Started { key, txn, .. } => tracing::info!(request = %key, txn, "request started"),
        Notice::Phase { key, phase, .. } => tracing::debug!(request = %key, phase = phase.name(), "phase"),
        Notice::Outcome { outcome } => {
            let reason = outcome.reason.as_ref().map(|r| r.code.as_str());
            let status = outcome.status.name();
            tracing::info!(request = %outcome.key, txn = outcome.txn, status, reason, "outcome");
        }
        Notice::Obligation { obligation } => {
            let (stan, state) = (obligation.plan.stan, obligation.state);
            tracing::info!(txn = obligation.txn, %stan, ?state, "obligation")
        }
        Notice::Operators { on_duty, locked } => {
            tracing::info!(on_duty = on_duty.as_ref().map(|o| o.as_str()), locked, "operators")
        }
        Notice::Requirement { account, digit } => {
            tracing::warn!(%account, digit, "the host asks for something that a person must do")
        }
        Notice::Downloaded { account, version, keys, aids } => {
            tracing::info!(%account, version, keys, aids, "downloads for the card kernel")
        }
        Notice::DownloadFailed { account, why, .. } => {
            tracing::warn!(%account, why, "a download for the card kernel has failed")
        }
        Notice::Language { language } => tracing::info!(language = language.tag(), "language"),
        Notice::Inhibited { reasons } => tracing::debug!(?reasons, "updates and restarts"),
        Notice::Onboarding { onboarding: a } => {
            tracing::info!(onboarding = a.id, revision = a.revision, stage = a.stage.name(), "onboarding")
        }
        Notice::Screen { screen: Screen::Trouble { what } } => {
            tracing::warn!(trouble = what, "the terminal needs attention")
        }
        Notice::Screen { .. } | Notice::Device { .. } | Notice::Paper { .. } | Notice::SelfTest { .. } => {}
    }
    match &notice {
        Notice::Started { key, .. } => services.recent.started(key, services.clock.now()),
        Notice::Outcome { outcome } => services.recent.ended(outcome),
        Notice::Phase { .. }
        | Notice::Screen { .. }
        | Notice::Device { .. }
        | Notice::Obligation { .. }
        | Notice::Paper { .. }
        | Notice::SelfTest { .. }
        | Notice::Operators { .. }
        | Notice::Onboarding { .. }
        | Notice::Requirement { .. }
        | Notice::Downloaded { .. }
        | Notice::DownloadFailed { .. }
        | Notice::Language { .. }
        | Notice::Inhibited { .. } => {}
    }
    // Without a listener there is nobody to tell.
    services.notices.send(notice).ok();
}

/// Gives outcomes that are to be told, for the first time or again, the journal's head at their record.
pub(super) fn with_heads<'a>(outcomes: impl Iterator<Item = &'a mut Arc<Outcome>>, told: &[(u64, Head)]) {
    for outcome in outcomes {
        if let Some((_, head)) = told.iter().rev().find(|(txn, _)| *txn == outcome.txn) {
            Arc::make_mut(outcome).journal = Some(head.to_string());
        }
    }
}

/// Reasons in the terminal's language, wherever an outcome stands.
fn fill(texts: Texts, notice: &mut Notice) {
    match notice {
        Notice::Outcome { outcome } => fill_reason(texts, outcome),
        Notice::Phase { screen, .. } | Notice::Screen { screen } => {
            if let Screen::Result { outcome } = screen {
                fill_reason(texts, outcome);
            }
            if let Screen::SelfTest { report } = screen {
                texts.fill_self_test(report);
            }
        }
        Notice::Paper { job } => job.outcome_mut().into_iter().for_each(|o| texts.fill(o)),
        Notice::SelfTest { report } => texts.fill_self_test(report),
        Notice::Started { .. }
        | Notice::Device { .. }
        | Notice::Obligation { .. }
        | Notice::Operators { .. }
        | Notice::Onboarding { .. }
        | Notice::Requirement { .. }
        | Notice::Downloaded { .. }
        | Notice::DownloadFailed { .. }
        | Notice::Language { .. }
        | Notice::Inhibited { .. } => {}
    }
}

/// Fills in the reason's words; an outcome without a reason is not copied.
fn fill_reason(texts: Texts, outcome: &mut Arc<Outcome>) {
    if outcome.reason.is_some() {
        texts.fill(Arc::make_mut(outcome));
    }
}

pub(super) fn show(services: &Services, screen: &Screen, language: Option<Language>) {
    services.desired.lock().unwrap_or_else(PoisonError::into_inner).show(screen, language);
    services.devices.draw();
}

/// Sets what readers are to take from now on. Those that are not switched are told to look.
fn want(services: &Services, txn: Option<u64>, modes: Vec<EntryMode>) {
    let mut desired = services.desired.lock().unwrap_or_else(PoisonError::into_inner);
    desired.ask(txn, modes);
    services.devices.arm(&desired);
}

/// Takes back whatever a customer is asked for.
pub(super) fn withdraw(services: &Services) {
    want(services, None, Vec::new());
    abort_pin(services, |_| true);
    services.devices.end_cards();
}

fn abort_pin(services: &Services, which: impl Fn(u64) -> bool) {
    let Some(tag) =
        services.desired.lock().unwrap_or_else(PoisonError::into_inner).pin.take_if(|tag| which(*tag))
    else {
        return;
    };
    services.devices.abort_pin(tag);
}
