//! A journal that was restored or is damaged: no payments until a person has seen to it.
use crate::Machine;
use payterm_schema::{
    Fault, Kind, Record, RequestKey, Status,
    outcome::Class,
    record::{Obligation, ObligationState},
};

/// What moves no money, and what a person needs to find out what happened.
fn moves_none(kind: Kind) -> bool {
    matches!(kind, Kind::SignIn | Kind::SignOff | Kind::Echo)
}

impl Machine {
    /// May a request start that this journal does not know?
    pub(crate) fn trustworthy(&self, key: &RequestKey, kind: Kind) -> Result<(), Fault> {
        match (&self.damaged, &self.state.recovering) {
            _ if moves_none(kind) => Ok(()),
            (Some(cause), _) => Err(Fault::JournalDamaged { cause: cause.clone() }),
            (None, Some(_)) => Err(Fault::JournalRestored { id: key.id.clone() }),
            (None, None) => Ok(()),
        }
    }

    /// Its obligations may have been answered in what was lost: a reversal now could take back what was told as approved. Each is a
    /// person's, and the request that ran ends unknown, whatever the journal says of its frame.
    pub(crate) fn leave_to_people(&mut self) {
        let open: Vec<Obligation> = self.state.obligations.iter().filter(|o| o.state != ObligationState::Stuck).cloned().collect();
        open.iter().for_each(|o| self.stuck(o));
    }

    /// A request of which no frame is on record: that is no proof any more.
    pub(crate) fn interrupted(&mut self) {
        if self.state.recovering.is_some() {
            self.end(Status::Unknown, "journal-restored", Class::P);
        } else {
            self.fail("interrupted", Class::E);
        }
    }

    pub(crate) fn recovery_ended(&mut self, by: String) {
        self.record(None, Record::RecoveryEnded { by });
    }

    /// What runs goes on; nothing new begins.
    pub(crate) fn journal_damaged(&mut self, why: String) {
        self.damaged = Some(why);
        self.rest();
    }
}
