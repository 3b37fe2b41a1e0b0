//! `paytermctl operators`. Passwords are typed on the terminal's own keypad; this only asks for it and waits.
use crate::{
    Failure,
    args::{Global, operator},
    bus::Bus,
    ui::{Ui, pairs},
};
use clap::Subcommand;
use payterm_schema::{OperatorId, OperatorRequest, Terminal, operator::Operators};

#[derive(Subcommand)]
pub enum OperatorsAction {
    /// Who there is, who is on duty, who is locked.
    List,
    /// Logs an operator on: 99 administrator, 00 supervisor, 01 to 89 cashiers.
    Logon {
        #[arg(value_parser = operator)]
        operator: OperatorId,
    },
    /// Nobody is on duty any more.
    Logoff,
    /// Changes the password of the operator on duty.
    Password,
    /// Adds a cashier (managers; asks for the supervisor at the keypad).
    Add {
        #[arg(value_parser = operator)]
        operator: OperatorId,
    },
    /// Removes a cashier (managers; asks for the supervisor at the keypad).
    Remove {
        #[arg(value_parser = operator)]
        operator: OperatorId,
    },
    /// Unlocks a cashier (managers; asks for the supervisor at the keypad).
    Unlock {
        #[arg(value_parser = operator)]
        operator: OperatorId,
    },
}

pub async fn run(global: &Global, ui: &Ui, action: OperatorsAction) -> Result<u8, Failure> {
    let bus = Bus::connect(global, ui).await?;
    let request = match action {
        OperatorsAction::List => {
            let all = bus.client.operators(&bus.caller).await?;
            ui.result(&all, || list(ui, &all));
            return Ok(0);
        }
        OperatorsAction::Logon { operator } => OperatorRequest::LogOn { operator },
        OperatorsAction::Logoff => OperatorRequest::LogOff,
        OperatorsAction::Password => OperatorRequest::ChangePassword,
        OperatorsAction::Add { operator } => OperatorRequest::Add { operator },
        OperatorsAction::Remove { operator } => OperatorRequest::Remove { operator },
        OperatorsAction::Unlock { operator } => OperatorRequest::Unlock { operator },
    };
    if request != OperatorRequest::LogOff {
        ui.progress(&ui.text("cli-at-the-keypad"));
    }
    bus.client.operator_session(&bus.caller, request).await?;
    ui.done();
    Ok(0)
}

fn list(ui: &Ui, all: &Operators) -> String {
    let yes = |on: bool| if on { ui.text("yes") } else { String::new() };
    let rows = all.operators.iter().map(|o| {
        [
            o.operator.to_string(),
            ui.texts.word(o.role),
            yes(o.on_duty),
            yes(o.locked),
            yes(o.must_change),
            o.wrong.to_string(),
        ]
    });
    let header = ["label-operator", "cli-role", "cli-on-duty", "cli-locked", "cli-must-change", "cli-wrong"];
    let lock = all.locked.as_ref().map(|l| {
        [
            (ui.text("locked"), ui.time(l.since)),
            (ui.text("label-operator"), l.by.to_string()),
            (ui.text("cli-challenge"), l.challenge.clone().unwrap_or_default()),
        ]
    });
    ui.table(header, rows) + &lock.map(pairs).unwrap_or_default()
}
