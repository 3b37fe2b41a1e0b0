//! Papers of the apps' own, and reports.
use super::{LOOK_AGAIN, TerminalService, machine::store_fault};
use payterm_core::{Input, Machine, ReportHead};
use payterm_schema::{
    Caller, Fault, Notice, RequestKey,
    page::Printable,
    paper::{PaperJob, PaperRequest, PaperState, PaperStatus},
    totals::{Scope, TotalsReport},
};
use std::sync::Arc;
use tokio::{sync::broadcast::error::RecvError, time::timeout};

impl TerminalService {
    pub(super) async fn print_own(
        &self,
        caller: &Caller,
        id: String,
        paper: Printable,
    ) -> Result<u64, Fault> {
        let key = RequestKey::new(&caller.app, &id)?;
        if let Printable::Page(page) = &paper {
            payterm_texts::check_images(
                page,
                self.devices.receipt_sheet(&self.registry).unwrap_or_default().width.mm(),
            )?;
        }
        let hash = paper.content_hash();
        let _one = self.submit_lock.lock().await;
        if let Some(found) = self.store.paper(&key).await.map_err(store_fault)? {
            return if found.hash == hash { Ok(found.job) } else { Err(Fault::KeyReused { id }) };
        }
        self.begins()?;
        let (app, request) = (caller.app.clone(), PaperRequest { id: id.clone(), hash });
        self.ask(&id, move |call| Input::Print { call, app, request, content: Box::new(paper) }).await?;
        let found = self.store.paper(&key).await.map_err(store_fault)?;
        found.map(|f| f.job).ok_or_else(|| Fault::not_found("paper", &id))
    }

    pub(super) async fn own_paper(
        &self,
        caller: &Caller,
        key: &RequestKey,
        wait: bool,
    ) -> Result<PaperStatus, Fault> {
        // First the ear, then the look: what happens in between is heard.
        let mut notices = self.notices.subscribe();
        loop {
            let found =
                if caller.sees(&key.app) { self.store.paper(key).await.map_err(store_fault)? } else { None };
            let found = found.ok_or_else(|| Fault::not_found("paper", &key.id))?;
            let job = found.job;
            let open = if found.ended.is_none() {
                self.look(move |m| {
                    m.state().papers.get(&job).map(|p| (p.state, p.problem.clone(), p.replaced))
                })
                .await?
            } else {
                None
            };
            let (state, problem, replaced) = match (found.ended, open) {
                (Some(ended), _) => (Some(ended), None, found.replaced),
                (None, Some((state, problem, replaced))) => (Some(state), problem, replaced),
                // It ended between the two looks.
                (None, None) => (None, None, 0),
            };
            if let Some(state) = state {
                let over = matches!(state, PaperState::Done | PaperState::Held | PaperState::GivenUp);
                if over || !wait {
                    return Ok(PaperStatus { id: key.id.clone(), job: found.job, state, problem, replaced });
                }
            }
            let heard = async {
                loop {
                    match notices.recv().await {
                        Ok(Notice::Paper { job }) if job.id == found.job => return Ok(()),
                        Ok(_) => {}
                        Err(RecvError::Lagged(_)) => return Ok(()),
                        Err(RecvError::Closed) => return Err(Fault::ShuttingDown),
                    }
                }
            };
            timeout(LOOK_AGAIN, heard).await.unwrap_or(Ok(()))?;
        }
    }

    pub(super) async fn totals_report(&self, caller: &Caller, scope: Scope) -> Result<TotalsReport, Fault> {
        caller.manage()?;
        let (config, test, now) = (Arc::clone(&self.config), self.settings.test, self.clock.now());
        let report = move |m: &Machine| {
            let (t, state) = (&config.terminal, m.state());
            let operator = state.staff.number(config.operators.required, &t.operator);
            let head = ReportHead { scope, shop: &t.shop, operator: &operator, test, now };
            state.report(&head, config.accounts.iter())
        };
        self.look(report).await
    }

    /// Open papers that this caller may see.
    pub(super) async fn own_papers(&self, caller: &Caller) -> Result<Vec<PaperJob>, Fault> {
        let caller = caller.clone();
        let own = move |m: &Machine| {
            let sees = |j: &&PaperJob| caller.manager || j.owner().is_some_and(|app| caller.sees(app));
            m.state().papers.values().filter(sees).cloned().collect::<Vec<_>>()
        };
        let mut jobs = self.look(own).await?;
        jobs.iter_mut().filter_map(PaperJob::outcome_mut).for_each(|o| self.spoken.texts().fill(o));
        Ok(jobs)
    }
}
