//! Papers of the apps' own, and reports.
use super::{LOOK_AGAIN, TerminalService, store_fault};
use payterm_core::{Input, ReportHead};
use payterm_schema::{
    Caller, Fault, Notice, RequestKey,
    page::Printable,
    paper::{PaperRequest, PaperState, PaperStatus},
    totals::{Scope, TotalsReport},
};
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
                self.devices.receipt_width(&self.registry).unwrap_or_default().mm(),
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
            let open =
                if found.ended.is_none() { self.view().await?.state.papers.remove(&found.job) } else { None };
            let (state, problem) = match (found.ended, open) {
                (Some(ended), _) => (Some(ended), None),
                (None, Some(job)) => (Some(job.state), job.problem),
                // It ended between the two looks.
                (None, None) => (None, None),
            };
            if let Some(state) = state {
                let over = matches!(state, PaperState::Done | PaperState::Held | PaperState::GivenUp);
                if over || !wait {
                    return Ok(PaperStatus { id: key.id.clone(), job: found.job, state, problem });
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
        let t = &self.config.terminal;
        let state = self.view().await?.state;
        let operator = state.staff.number(self.config.operators.required, &t.operator);
        let head = ReportHead {
            scope,
            shop: &t.shop,
            operator: &operator,
            test: self.settings.test,
            now: self.clock.now(),
        };
        Ok(state.report(&head, self.config.accounts.iter()))
    }
}
