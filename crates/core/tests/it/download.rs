//! Downloads of CA keys and applications: list, entries, end, then one record; or nothing at all.
use crate::till::*;
use payterm_core::{By, Effect, Input, Settings, Step};
use payterm_schema::{
    AccountRecord, HostAnswer, HostEvent, HostMessage, Kind, Notice, Record, RequestKey, Screen,
    download::{EmvAid, EmvAnswer, EmvAsk, EmvKey, EmvList, EmvName, EmvParameters, EmvRow},
    host::HostRules,
    time::Millis,
};
use std::sync::Arc;

fn settings_with(downloads: bool) -> Settings {
    let mut s = settings();
    s.accounts[0].rules = HostRules { downloads, ..(*s.accounts[0].rules).clone() }.into();
    s
}
fn till() -> Till {
    let mut till = Till::with(settings_with(true), Vec::new());
    till.boot(NOW);
    till
}
fn key(index: u8) -> EmvKey {
    let (modulus, exponent) = (vec![0x81; 64], vec![3]);
    EmvKey { rid: [1; 5], index, expiry: "20301231".into(), modulus, exponent, checksum: [index; 20] }
}
fn aid(last: u8) -> EmvAid {
    EmvAid {
        aid: vec![1, 1, 1, 1, 1, last],
        partial: false,
        version: [0, 1],
        default: [0; 5],
        online: [0; 5],
        denial: [0; 5],
        floor: 0,
        threshold: 0,
        most: 0,
        target: 0,
        ddol: vec![0x9F, 0x37, 4],
        online_pin: true,
        cash_limit: None,
        tap_floor: None,
        tap_limit: None,
        tap_no_cvm: None,
    }
}
/// Two keys, of which each part of the list has one, and one application.
fn host(ask: &EmvAsk) -> Option<EmvAnswer> {
    let row = |name| EmvRow { name, expiry: None };
    Some(match ask {
        EmvAsk::List { of: EmvList::Keys, received } => {
            EmvAnswer::Page { more: *received == 0, rows: vec![row(key(received + 1).name())] }
        }
        EmvAsk::List { of: EmvList::Aids, .. } => {
            EmvAnswer::Page { more: false, rows: vec![row(aid(1).name())] }
        }
        EmvAsk::Entry { name: EmvName::Key { index, .. } } => EmvAnswer::Key(key(*index)),
        EmvAsk::Entry { name: EmvName::Aid { .. } } => EmvAnswer::Aid(aid(1)),
        EmvAsk::End { .. } => return None,
    })
}
fn message(step: &Step) -> Option<HostMessage> {
    step.effects.iter().find_map(|e| if let Effect::Send(m) = e { Some((**m).clone()) } else { None })
}
fn answer(till: &mut Till, tag: u64, code: &str, download: Option<EmvAnswer>) -> Step {
    let answer = HostAnswer { download, ..host_answer(&format!(r#""code":"{code}""#)) };
    till.input(Input::Host { tag, event: reply(answer) })
}
/// Answers as `host` says until nothing leaves any more; the asks, and the last step.
fn run(till: &mut Till, mut step: Step, host: impl Fn(&EmvAsk) -> Option<EmvAnswer>) -> (Vec<EmvAsk>, Step) {
    let mut asks = Vec::new();
    while let Some(m) = message(&step) {
        assert_eq!(m.plan.kind, Kind::Parameters);
        let ask = m.plan.download.clone().expect("a download");
        step = answer(till, m.tag, "00", host(&ask));
        asks.push(ask);
        assert!(asks.len() < 300, "it has no end");
    }
    (asks, step)
}
/// A sale whose answer asks for something.
fn asked_for(till: &mut Till, digit: u8) -> Step {
    let step = till.frame(start("sale", &format!("s{}", till.disk.len())));
    let answer = HostAnswer { requirement: digit, ..host_answer(r#""code":"00","amount":100"#) };
    till.input(Input::Host { tag: tag_of(&step).unwrap(), event: reply(answer) })
}
fn given(till: &Till) -> Option<Arc<EmvParameters>> {
    till.bank().emv.clone()
}
fn used(step: &Step) -> Vec<Arc<EmvParameters>> {
    let used = |e: &Effect| if let Effect::UseDownloads { all } = e { Some(all.clone()) } else { None };
    step.effects.iter().find_map(used).unwrap_or_default().into_iter().map(|(_, given)| given).collect()
}
/// What a step tells of downloads.
fn told(step: &Step) -> Vec<Notice> {
    let of_downloads = |n: &Notice| matches!(n, Notice::Downloaded { .. } | Notice::DownloadFailed { .. });
    let told = |e: &Effect| if let Effect::Tell(notice) = e { Some((**notice).clone()) } else { None };
    step.effects.iter().filter_map(told).filter(of_downloads).collect()
}
fn failed(till: &Till) -> Vec<String> {
    let why = |r: &Record| {
        if let Record::Account(AccountRecord::DownloadFailed { why, .. }) = r {
            Some(why.clone())
        } else {
            None
        }
    };
    till.disk.iter().filter_map(|e| why(&e.record)).collect()
}

#[test]
fn by_hand_both_lists_come_entry_by_entry_and_a_restart_keeps_them() {
    let mut till = till();
    let step = till.input(start("parameters", "p"));
    let step = till.answered(&step, r#""code":"00""#);
    let (asks, step) = run(&mut till, step, host);
    let list = |of, received| EmvAsk::List { of, received };
    let entry = |name| EmvAsk::Entry { name };
    assert_eq!(
        asks,
        [
            list(EmvList::Aids, 0),
            entry(aid(1).name()),
            EmvAsk::End { of: EmvList::Aids },
            list(EmvList::Keys, 0),
            list(EmvList::Keys, 1),
            entry(key(1).name()),
            entry(key(2).name()),
            EmvAsk::End { of: EmvList::Keys },
        ]
    );
    let all = given(&till).unwrap();
    assert_eq!((all.version, &all.keys, &all.aids), (1, &Some(vec![key(1), key(2)]), &Some(vec![aid(1)])));
    assert!(all.holds() && !EmvParameters { keys: None, ..(*all).clone() }.holds());
    assert_eq!(used(&step), std::slice::from_ref(&all), "with its record");
    let (account, version) = (account(), 1);
    assert_eq!(told(&step), [Notice::Downloaded { account, version, keys: Some(2), aids: Some(1) }]);
    // Each message had a STAN of its own, on disk.
    let mut again = Till::with(settings_with(true), till.disk.clone());
    assert_eq!(given(&again), Some(all.clone()));
    assert_eq!(used(&again.boot(NOW)), [all], "the kernel hears of it at the start");
}

#[test]
fn the_host_asks_by_a_digit_and_the_other_list_stays() {
    let mut till = till();
    let step = asked_for(&mut till, 4);
    let (asks, _) = run(&mut till, step, host);
    assert!(asks.iter().all(|ask| row_of(ask) == EmvList::Keys) && asks.len() == 5, "{asks:?}");
    let step = asked_for(&mut till, 5);
    let (asks, _) = run(&mut till, step, host);
    assert!(asks.iter().all(|ask| row_of(ask) == EmvList::Aids) && asks.len() == 3, "{asks:?}");
    let all = given(&till).unwrap();
    assert_eq!(
        (all.version, all.keys.iter().flatten().count(), all.aids.iter().flatten().count()),
        (2, 2, 1)
    );
    assert_eq!(till.bank().requirement, 0, "it was acted on");
    // Where no kernel is there, nothing leaves.
    let mut other = Till::with(settings_with(false), Vec::new());
    other.boot(NOW);
    assert_eq!(message(&asked_for(&mut other, 4)), None);
}
fn row_of(ask: &EmvAsk) -> EmvList {
    match ask {
        EmvAsk::List { of, .. } | EmvAsk::End { of } => *of,
        EmvAsk::Entry { name } => name.list(),
    }
}

#[test]
fn what_goes_wrong_half_way_changes_nothing() {
    let mut till = till();
    let step = asked_for(&mut till, 4);
    run(&mut till, step, host);
    let before = given(&till).unwrap();
    type Host = fn(&EmvAsk) -> Option<EmvAnswer>;
    let endless: Host = |ask| match ask {
        EmvAsk::List { received, .. } => {
            let name = key(received + 1).name();
            Some(EmvAnswer::Page { more: true, rows: vec![EmvRow { name, expiry: None }] })
        }
        EmvAsk::Entry { .. } | EmvAsk::End { .. } => host(ask),
    };
    let again: Host = |ask| match ask {
        EmvAsk::List { .. } => {
            let name = key(1).name();
            Some(EmvAnswer::Page { more: true, rows: vec![EmvRow { name, expiry: None }] })
        }
        EmvAsk::Entry { .. } | EmvAsk::End { .. } => host(ask),
    };
    let gone: Host = |ask| match ask {
        EmvAsk::Entry { .. } => Some(EmvAnswer::NoEntry),
        EmvAsk::List { .. } | EmvAsk::End { .. } => host(ask),
    };
    let other: Host = |ask| match ask {
        EmvAsk::Entry { .. } => Some(EmvAnswer::Key(key(77))),
        EmvAsk::List { .. } | EmvAsk::End { .. } => host(ask),
    };
    for (bad, why) in [
        (endless, "the list has no end behind 99 entries"),
        (again, "the list names an entry twice"),
        (gone, "the host does not have an entry of its list"),
        (other, "the answer is to another message"),
    ] {
        let mut again = Till::with(settings_with(true), till.disk.clone());
        again.boot(NOW);
        let step = asked_for(&mut again, 4);
        let (_, step) = run(&mut again, step, bad);
        let at = Some(NOW + Millis::secs(60));
        assert_eq!(told(&step), [Notice::DownloadFailed { account: account(), why: why.into(), again: at }]);
        assert_eq!((failed(&again), given(&again)), (vec![why.to_owned()], Some(before.clone())), "{why}");
    }
    // The end is not answered: nothing of it counts; it is tried again later, and not for ever.
    let mut step = asked_for(&mut till, 4);
    while let Some(m) = message(&step) {
        step = match &m.plan.download {
            Some(EmvAsk::End { .. }) => {
                let event = HostEvent::NoReply { why: "silence".into(), trace: Default::default() };
                till.input(Input::Host { tag: m.tag, event })
            }
            ask => answer(&mut till, m.tag, "00", ask.as_ref().and_then(host)),
        };
    }
    assert_eq!((failed(&till), given(&till)), (vec!["silence".to_owned()], Some(before)));
    let later = till.machine.poll_timeout().unwrap().at;
    assert!(later >= NOW && later <= NOW + Millis::secs(60), "it is tried again");
    for tries in 2..=3 {
        let step = till.machine.handle_timeout(NOW + Millis::secs(61 * tries));
        let step = till.keep(step);
        let Some(m) = message(&step) else { continue };
        let event = HostEvent::NotSent { why: "no line".into() };
        let now = NOW + Millis::secs(61 * tries);
        let step = till.machine.handle(Input::Host { tag: m.tag, event }, now);
        let step = till.keep(step);
        let again = (tries < 3).then_some(now + Millis::secs(60));
        assert_eq!(
            told(&step),
            [Notice::DownloadFailed { account: account(), why: "no line".into(), again }]
        );
        // Whoever stands at the counter hears of it once nothing is tried any more.
        let page = Screen::Trouble { what: "downloads-failed".into() };
        assert_eq!(till.machine.screen() == page, again.is_none(), "{:?}", till.machine.screen());
    }
    assert_eq!(failed(&till).len(), 3);
    let step = till.machine.handle_timeout(NOW + Millis::secs(1_000));
    assert_eq!(message(&step), None, "until somebody asks again");
}

#[test]
fn nobody_waits_for_a_download() {
    let mut till = till();
    let step = asked_for(&mut till, 4);
    let first = message(&step).unwrap();
    // A customer comes while its message is out: the frame leaves at once, the download waits.
    let sale = till.frame(start("sale", "b"));
    assert_eq!(message(&sale).unwrap().plan.kind, Kind::Sale);
    let step = answer(&mut till, first.tag, "00", host(first.plan.download.as_ref().unwrap()));
    assert_eq!(message(&step), None, "nothing of it leaves while somebody is served");
    let step = till.answered(&sale, r#""code":"00","amount":100"#);
    let second = message(&step).unwrap();
    // The next customer is asked for a card, and the line is free: it waits all the same.
    till.input(start("sale", "c"));
    let step = answer(&mut till, second.tag, "00", host(second.plan.download.as_ref().unwrap()));
    assert_eq!(message(&step), None);
    let key = RequestKey::new("app", "c").unwrap();
    let step = till.input(Input::Cancel { call: 2, key, by: By::Caller });
    let (asks, _) = run(&mut till, step, host);
    assert_eq!(asks.len(), 3, "it goes on where it was");
    assert!(given(&till).is_some());
}
