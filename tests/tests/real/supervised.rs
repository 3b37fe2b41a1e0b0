//! Devices of the real daemon that panic, hang and are unplugged in the middle of a sale: the daemon goes on,
//! the request is recalled right, the list of devices tells the restart.
use crate::common::*;
use payterm_dbus::Client;
use payterm_devices::virtual_control::VirtualControl;
use payterm_schema::{Device, Status, Terminal, device::DeviceState};
use payterm_tests::real::stack::{Stack, caller};
use std::time::{Duration, Instant};

type Done<T = ()> = Result<T, Box<dyn std::error::Error>>;

const PATIENCE: Duration = Duration::from_secs(60);

async fn device(client: &Client, name: &str) -> Done<Device> {
    Ok(client.devices().await?.into_iter().find(|d| d.name == name).ok_or("no such device")?)
}
/// Waits for what the bus tells of a device.
async fn becomes(client: &Client, name: &str, what: impl Fn(&Device) -> bool) -> Done<Device> {
    let began = Instant::now();
    loop {
        let d = device(client, name).await?;
        if what(&d) {
            return Ok(d);
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("{name} stays {d:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
/// The daemon is the same process, works, and recalls the request as it was told.
async fn goes_on(
    stack: &Stack,
    client: &Client,
    virtuals: &mut VirtualControl,
    pid: Option<u32>,
    told: &payterm_schema::Outcome,
) -> Done {
    is(told, Status::Approved);
    assert_eq!(&client.recall(&caller(), &told.key).await?.outcome, told);
    alice(virtuals);
    is(&pay(client, sale(&format!("{}-next", told.key.id), "1.00")).await, Status::Approved);
    assert_eq!(stack.daemon_pid(), pid);
    Ok(())
}
/// A sale as far as the card is asked for.
async fn begun(client: &Client, virtuals: &mut VirtualControl, id: &str) -> Done {
    start(client, sale(id, "12.34")).await;
    virtuals.wait_screen("12.34", PATIENCE)?;
    Ok(())
}
fn customer(virtuals: &mut VirtualControl) -> Done {
    virtuals.swipe(ALICE.0, ALICE.1, SOON)?;
    virtuals.pin(PIN, SOON)?;
    Ok(())
}

#[tokio::test]
async fn a_driver_that_panics_during_a_sale() -> Done {
    let mut stack = Stack::start(|c, _| c.paper.retry_ms = 100)?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    let pid = stack.daemon_pid();
    let mut net = 0;
    for name in ["swipe", "pinpad", "display", "printer"] {
        let id = format!("panic-{name}");
        begun(&client, &mut virtuals, &id).await?;
        if name == "pinpad" {
            // While the customer types.
            virtuals.swipe(ALICE.0, ALICE.1, SOON)?;
            let asked = device(&client, name).await?;
            assert_eq!(asked.restarts, 0);
            becomes(&client, name, |d| d.state == DeviceState::Busy).await?;
            virtuals.panic(name)?;
            becomes(&client, name, |d| d.restarts == 1).await?;
            let o = last(&client, &id).await;
            // The entry went with the driver: no frame left, nothing was charged.
            assert!(matches!(o.status, Status::Failed | Status::Cancelled), "{o:?}");
            assert_eq!((stack.net("cup")?, &client.recall(&caller(), &o.key).await?.outcome), (net, &o));
            becomes(&client, name, |d| d.state == DeviceState::Idle).await?;
            alice(&mut virtuals);
            is(&pay(&client, sale("panic-pinpad-2", "12.34")).await, Status::Approved);
            net += 1234;
            continue;
        }
        virtuals.panic(name)?;
        if name == "swipe" {
            // It was waiting for the card: back at once, and armed again.
            becomes(&client, name, |d| d.restarts == 1 && d.state != DeviceState::Opening).await?;
        }
        customer(&mut virtuals)?;
        let o = last(&client, &id).await;
        goes_on(&stack, &client, &mut virtuals, pid, &o).await?;
        net += 1334;
        // Reopened after its backoff.
        becomes(&client, name, |d| {
            d.restarts == 1 && matches!(d.state, DeviceState::Idle | DeviceState::Busy)
        })
        .await?;
        assert_eq!(stack.net("cup")?, net);
    }
    // Two papers for each of the 7 approvals, none lost; the one under the panic came again, headed.
    let (_, papers) = virtuals.wait_papers(14, PATIENCE)?;
    assert!(papers.iter().filter(|p| p.contains("重打印")).count() <= 1, "{papers:#?}");
    assert!(!stack.daemon_gone());
    Ok(())
}

#[tokio::test]
async fn a_printer_and_a_display_that_hang_hold_up_nothing() -> Done {
    let mut stack = Stack::start(|c, _| {
        c.paper.retry_ms = 100;
        c.devices.iter_mut().for_each(|d| d.command_timeout_ms = 300);
    })?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    let pid = stack.daemon_pid();
    for name in ["printer", "display"] {
        let id = format!("hang-{name}");
        begun(&client, &mut virtuals, &id).await?;
        virtuals.hang(name, Duration::from_secs(120))?;
        let began = Instant::now();
        customer(&mut virtuals)?;
        let o = last(&client, &id).await;
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{name} held up the sale for {:?}",
            began.elapsed()
        );
        // The spooler's next command runs into it.
        becomes(&client, name, |d| d.restarts >= 1 && d.state != DeviceState::Failed).await?;
        goes_on(&stack, &client, &mut virtuals, pid, &o).await?;
    }
    virtuals.wait_papers(8, PATIENCE)?;
    assert_eq!(stack.net("cup")?, 2 * 1334);
    assert!(!stack.daemon_gone());
    Ok(())
}

#[tokio::test]
async fn a_reader_that_is_unplugged_and_comes_back() -> Done {
    let stack = Stack::start(|_, _| {})?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    let pid = stack.daemon_pid();
    begun(&client, &mut virtuals, "plug-1").await?;
    virtuals.plug("swipe", false)?;
    let d = becomes(&client, "swipe", |d| d.state == DeviceState::Failed).await?;
    assert!(!d.health.is_empty(), "{d:?}");
    // The other ways stay open: the same request is paid by code.
    virtuals.scan("281234567890123456", SOON)?;
    is(&last(&client, "plug-1").await, Status::Approved);
    // Plugged in during a request, it is armed for it.
    begun(&client, &mut virtuals, "plug-2").await?;
    virtuals.plug("swipe", true)?;
    customer(&mut virtuals)?;
    let o = last(&client, "plug-2").await;
    let d = becomes(&client, "swipe", |d| d.restarts >= 1 && d.state != DeviceState::Failed).await?;
    assert!(d.is_virtual);
    goes_on(&stack, &client, &mut virtuals, pid, &o).await?;
    assert_eq!(stack.net("cup")?, 2 * 1234 + 100);
    Ok(())
}
