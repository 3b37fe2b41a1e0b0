//! Printers: one job at a time; while there is none, their state is asked for.
use super::{
    DeviceEvent, Sheet,
    shell::{Port, Shell, Told, Up},
};
use crate::sparing::Sparing;
use actix::{Context, Handler, Message, ResponseFuture};
use payterm_devices::{DeviceError, Face, Handle, Interrupt, PrintJob};
use payterm_schema::{
    DeviceState,
    config::DeviceRole,
    device::Confirm,
    paper::PrintResult,
    selftest::{Finding, Verdict},
};
use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};
use tokio::sync::oneshot;

#[derive(Message)]
#[rtype(result = "PrintResult")]
pub struct Print(pub PrintJob);

#[derive(Default)]
pub struct Printer {
    printing: Option<oneshot::Sender<PrintResult>>,
    unconfirmed: Sparing<String>,
}

pub enum Order {
    Print(PrintJob),
    SelfTest,
}
pub enum Report {
    /// The driver has the job.
    Begun,
    Printed(PrintResult),
    Status {
        /// Reason why the printer cannot print; none: it can.
        problem: Option<String>,
        confirms: Option<Confirm>,
    },
}

impl Port for Printer {
    type Driver = Box<dyn payterm_devices::Printer>;
    type Order = Order;
    type Report = Report;
    type Opened = Sheet;

    fn driver(face: Face) -> Option<Self::Driver> {
        match face.handle() {
            Handle::Printer(printer) => Some(printer),
            Handle::Source(_) | Handle::Card(_) | Handle::PinPad(_) | Handle::Display(_) => None,
        }
    }
    fn open(driver: &Self::Driver) -> (Option<Interrupt>, Sheet) {
        (None, Sheet { width: driver.paper_width(), model: driver.model() })
    }
    fn run(mut printer: Self::Driver, orders: &Receiver<Order>, up: &Up<Self>) -> Result<(), DeviceError> {
        loop {
            match orders.recv_timeout(printer.rest()) {
                Ok(Order::Print(job)) => {
                    up.report(Report::Begun);
                    up.report(Report::Printed(printer.print(&job)));
                }
                Ok(Order::SelfTest) => up.tested(printer.self_test()?),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    up.tell(Told::Waiting(Duration::ZERO));
                    let status = printer.status()?;
                    if !up.report(Report::Status { problem: status.problem(), confirms: status.confirms }) {
                        return Ok(());
                    }
                    up.tell(Told::Done);
                }
            }
        }
    }
    fn self_test(_: Vec<String>) -> Order {
        Order::SelfTest
    }

    fn is_busy(&self) -> bool {
        self.printing.is_some()
    }
    fn opened(shell: &mut Shell<Self>, sheet: Sheet, _: &mut Context<Shell<Self>>) {
        shell.context.around.registry.set_sheet(&shell.context.config.name, sheet);
        ready(shell);
    }
    fn left(&mut self, why: &str) {
        if let Some(done) = self.printing.take() {
            // Whether a byte left is not known.
            done.send(PrintResult::Unconfirmed(why.into())).ok();
        }
    }
    fn report(shell: &mut Shell<Self>, report: Report, ctx: &mut Context<Shell<Self>>) {
        match report {
            Report::Printed(result) => {
                shell.relax(ctx);
                match &result {
                    // What needs a printer is told at once, not with the next look at its state.
                    PrintResult::NotStarted(why) => shell.state(DeviceState::Degraded, why),
                    PrintResult::Confirmed | PrintResult::SentUnconfirmable | PrintResult::Unconfirmed(_) => {
                        shell.state(DeviceState::Idle, "")
                    }
                }
                if let PrintResult::Unconfirmed(why) = &result
                    && shell.port.unconfirmed.is_due_of(why.clone())
                {
                    let printer = &shell.context.config.name;
                    tracing::warn!(device = %printer, "printer: a paper was not confirmed: {why}");
                }
                if let Some(done) = shell.port.printing.take() {
                    done.send(result).ok();
                }
            }
            Report::Begun => shell.expect_within(shell.command_time(), ctx),
            Report::Status { .. } if shell.port.is_busy() => {}
            Report::Status { problem, confirms } => {
                if confirms.is_some() {
                    shell.context.change(|d| d.confirms = confirms);
                }
                let before = shell.now().map(|d| d.state);
                match problem {
                    Some(problem) => shell.state(DeviceState::Degraded, &problem),
                    None => {
                        shell.state(DeviceState::Idle, "");
                        if before == Some(DeviceState::Degraded) {
                            ready(shell);
                        }
                    }
                }
            }
        }
    }
    fn tested(shell: &mut Shell<Self>, finding: &Finding, _: &mut Context<Shell<Self>>) {
        // It cannot print; its next look at its state says when it can again.
        if !shell.port.is_busy() && finding.verdict == Verdict::Failed {
            shell.state(DeviceState::Degraded, finding.facts.get("why").unwrap_or(&finding.code));
        }
    }
}

/// Tells the terminal that papers which wait may come.
fn ready(shell: &Shell<Printer>) {
    if shell.context.config.role() == Some(DeviceRole::Receipt) {
        shell.context.event(DeviceEvent::PrinterReady);
    }
}

impl Handler<Print> for Shell<Printer> {
    type Result = ResponseFuture<PrintResult>;
    fn handle(&mut self, m: Print, ctx: &mut Context<Self>) -> Self::Result {
        self.pass();
        if !self.is_open() || self.port.is_busy() {
            let why = if self.is_open() { "the printer is busy" } else { "the printer does not work" };
            return Box::pin(async move { PrintResult::NotStarted(why.into()) });
        }
        let (done, result) = oneshot::channel();
        self.port.printing = Some(done);
        self.state(DeviceState::Busy, "");
        // The driver may still look at the state of its printer; its time begins when it has the job.
        self.order(Order::Print(m.0), self.command_time() * 2, ctx);
        Box::pin(async move {
            result.await.unwrap_or_else(|_| PrintResult::Unconfirmed("the printer is being restarted".into()))
        })
    }
}
