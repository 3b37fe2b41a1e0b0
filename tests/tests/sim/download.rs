//! Downloads for the card kernel: their end is told, once, when it is on disk, wherever the power goes.
use payterm_core::Settings;
use payterm_schema::{Kind, Screen, host::HostRules};
use payterm_tests::sim::{
    bank::HostFault,
    fixtures::*,
    world::{Script, World},
};

fn kernel() -> Settings {
    let mut settings = settings();
    let account = &mut settings.accounts[0];
    account.rules = HostRules { downloads: true, ..(*account.rules).clone() }.into();
    settings
}
/// Parameters by hand; the faults are those of the messages behind its own.
fn with(faults: impl IntoIterator<Item = HostFault>) -> Script {
    let faults: Vec<HostFault> = [HostFault::Answer].into_iter().chain(faults).collect();
    Script { digested: false, ..script([control("p", Kind::Parameters)], faults) }
}
fn failed(why: &str, again: bool) -> Result<u64, (String, bool)> {
    Err((why.into(), again))
}
/// The version that the machine has, and that its journal has.
fn version(world: &World) -> Option<u64> {
    world.machine.state().ledger(&up()).emv.as_ref().map(|emv| emv.version)
}
fn troubled(world: &World) -> bool {
    let page = Screen::Trouble { what: "downloads-failed".into() };
    world.notices.iter().any(|(_, screen)| *screen == page)
}

#[test]
fn the_end_of_a_download_is_told_and_what_failed_is_tried_again() {
    use HostFault::{Answer, LoseReply, NotSent, Refuse};
    // Two lists, of one entry each: six messages.
    for (faults, told) in [
        (vec![], vec![Ok(1)]),
        (vec![Refuse("96")], vec![failed("the host answered 96", true), Ok(1)]),
        (vec![Answer, LoseReply], vec![failed("time-out", true), Ok(1)]),
        (vec![Answer; 5].into_iter().chain([LoseReply]).collect(), vec![failed("time-out", true), Ok(1)]),
        (vec![NotSent; 2], vec![failed("refused", true), failed("refused", true), Ok(1)]),
    ] {
        let mut world = World::new(kernel(), with(faults), None);
        world.run();
        assert_eq!((&world.downloads, version(&world), troubled(&world)), (&told, Some(1), false));
    }
    let mut world = World::new(kernel(), with(vec![NotSent; 3]), None);
    world.run();
    let [again, last] = [true, false].map(|again| failed("refused", again));
    assert_eq!(world.downloads, [again.clone(), again, last]);
    assert!(version(&world).is_none() && troubled(&world), "a person hears of it");
}

#[test]
fn a_download_cut_at_every_step_is_taken_or_nothing_of_it_and_told_at_most_once() {
    for faults in [vec![], vec![HostFault::Answer, HostFault::NotSent]] {
        let points = World::new(kernel(), with(faults.clone()), None).run();
        let mut kept = [0; 2];
        for n in 1..=points {
            let mut world = World::new(kernel(), with(faults.clone()), [n]);
            world.run();
            let told = world.downloads.iter().flatten().collect::<Vec<_>>();
            assert!(told.len() <= 1, "cut {n} of {points}: {:?}", world.downloads);
            assert!(told.is_empty() || version(&world) == Some(1), "cut {n} of {points}");
            kept[usize::from(version(&world).is_some())] += 1;
        }
        assert!(kept[0] > 5 && kept[1] > 5, "{kept:?}");
    }
}
