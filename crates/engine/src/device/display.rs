//! Displays: a screen is drawn a moment after it was asked for, and again each second while a time runs on
//! it.
use super::shell::{Port, Shell, Told, Up};
use actix::{AsyncContext, Context};
use payterm_devices::{DeviceError, DisplaySize, Face, Handle, Interrupt};
use payterm_schema::{config::DeviceRole, selftest::Finding};
use std::{convert::Infallible, sync::mpsc::Receiver, time::Duration};

/// A screen is drawn this long after it was asked for: one that is replaced before then never flickers past.
/// 5 ms: no eye sees it.
pub const DRAW: Duration = Duration::from_millis(5);
/// A page on which a time runs is looked at this often.
const TICK: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Display {
    size: DisplaySize,
    drawn: Option<Vec<String>>,
    /// A screen will be drawn soon.
    drawing: bool,
    showing: bool,
    /// A page on which a time runs will be looked at again.
    ticking: bool,
}

pub enum Order {
    Show(Vec<String>),
    SelfTest,
}

impl Port for Display {
    type Driver = Box<dyn payterm_devices::Display>;
    type Order = Order;
    type Report = Infallible;
    type Opened = DisplaySize;

    fn driver(face: Face) -> Option<Self::Driver> {
        match face.handle() {
            Handle::Display(display) => Some(display),
            Handle::Source(_) | Handle::Card(_) | Handle::PinPad(_) | Handle::Printer(_) => None,
        }
    }
    fn open(display: &Self::Driver) -> (Option<Interrupt>, DisplaySize) {
        (None, display.size())
    }
    fn run(mut display: Self::Driver, orders: &Receiver<Order>, up: &Up<Self>) -> Result<(), DeviceError> {
        for order in orders {
            match order {
                Order::Show(lines) => {
                    display.show(&lines)?;
                    up.tell(Told::Done);
                }
                Order::SelfTest => up.tested(display.self_test()?),
            }
        }
        Ok(())
    }
    fn self_test(_: Vec<String>) -> Order {
        Order::SelfTest
    }

    fn opened(shell: &mut Shell<Self>, size: DisplaySize, ctx: &mut Context<Shell<Self>>) {
        shell.port.size = size;
        Self::refresh(shell, ctx);
    }
    fn left(&mut self, _: &str) {
        (self.drawn, self.showing) = (None, false);
    }
    fn report(_: &mut Shell<Self>, report: Infallible, _: &mut Context<Shell<Self>>) {
        match report {}
    }
    fn refresh(shell: &mut Shell<Self>, ctx: &mut Context<Shell<Self>>) {
        if !shell.port.drawing && !shell.port.showing {
            shell.port.drawing = true;
            ctx.run_later(DRAW, |shell, ctx| {
                shell.port.drawing = false;
                draw(shell, ctx);
            });
        }
    }
    fn done(shell: &mut Shell<Self>, ctx: &mut Context<Shell<Self>>) {
        shell.port.showing = false;
        Self::refresh(shell, ctx);
    }
    fn tested(shell: &mut Shell<Self>, _: &Finding, ctx: &mut Context<Shell<Self>>) {
        // The pattern makes room for what is to be shown.
        shell.port.drawn = None;
        Self::refresh(shell, ctx);
    }
}

/// The display shows what is wanted now.
fn draw(shell: &mut Shell<Display>, ctx: &mut Context<Shell<Display>>) {
    let (screen, language) = {
        let desired = shell.context.desired();
        (desired.screen().cloned(), desired.language)
    };
    let Some(screen) = screen.filter(|_| shell.is_open() && !shell.port.showing) else { return };
    // The lines count: the language may have changed.
    let role = shell.context.config.role();
    let language = language.filter(|_| role == Some(DeviceRole::Customer));
    let lines = (shell.context.around.draw)(&screen, role, language, shell.port.size);
    if shell.port.drawn.as_ref() != Some(&lines) {
        shell.port.drawn = Some(lines.clone());
        let time = shell.command_time();
        shell.port.showing = shell.order(Order::Show(lines), time, ctx);
    }
    if screen.runs() && !shell.port.ticking {
        shell.port.ticking = true;
        ctx.run_later(TICK, |shell, ctx| {
            shell.port.ticking = false;
            Display::refresh(shell, ctx);
        });
    }
}
