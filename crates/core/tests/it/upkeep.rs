//! The self-test's report, the echo to an idle account, the language and required paper, on the machine
//! alone.
use crate::till::{self, NOW, account};
use payterm_core::{Ask, Effect, Input, Machine, Settings, Step};
use payterm_schema::{
    AccountRecord, Class, Fault, HostEvent, Kind, Notice, PaperRecord, Record, RequestKey, RequestRecord,
    Screen, SelfTest, TerminalRecord,
    config::Language,
    host::EntryMode,
    host::HostRules,
    paper::PaperKind,
    record::Entry,
    request::RequestWire,
    selftest::{Finding, Part},
};

/// `required`: no payment without paper.
fn settings(required: bool) -> Settings {
    let mut s = till::settings();
    s.paper.required = required;
    s
}
fn machine(required: bool, printer: bool) -> Machine {
    let mut m = Machine::replay(settings(required), None, []).unwrap();
    m.boot(NOW, "test", &[]);
    m.handle(Input::Devices { modes: vec![EntryMode::Swipe], pin_pad: true, printer }, NOW);
    m
}
fn sale() -> Input {
    let wire = RequestWire {
        id: "s".into(),
        kind: "sale".into(),
        amount: Some("1.00".into()),
        currency: Some("CNY".into()),
        ..RequestWire::default()
    };
    Input::Start {
        call: 1,
        key: RequestKey::new("app", "s").unwrap(),
        request: Box::new(wire.try_into().unwrap()),
    }
}
fn answers(step: &Step) -> Vec<Result<(), Fault>> {
    step.effects
        .iter()
        .filter_map(|e| if let Effect::Answer { result, .. } = e { Some(result.clone()) } else { None })
        .collect()
}
fn shown(step: &Step) -> Vec<&Screen> {
    let asked = step.asks.iter().filter_map(|a| if let Ask::Show(s, _) = a { Some(s) } else { None });
    asked
        .chain(step.effects.iter().filter_map(|e| if let Effect::Show(s, _) = e { Some(s) } else { None }))
        .collect()
}
fn report() -> Box<SelfTest> {
    Box::new(SelfTest::new(NOW, vec![Finding::failed("paper-out").of(Part::Printer, "p")]))
}

#[test]
fn required_paper_is_asked_before_the_card() {
    let ended = |required, printer| {
        let step = machine(required, printer).handle(sale(), NOW);
        let asked = step.asks.iter().any(|a| matches!(a, Ask::Offer { .. }));
        let code = step.records.iter().find_map(|e| {
            if let Record::Request(RequestRecord::Outcome { outcome, .. }) = &e.record {
                outcome.reason.clone()
            } else {
                None
            }
        });
        (asked, code.map(|r| (r.code, r.class)))
    };
    assert_eq!(ended(true, false), (false, Some(("printer-unavailable".into(), Class::D))));
    for fine in [(true, true), (false, false), (false, true)] {
        assert_eq!(ended(fine.0, fine.1), (true, None), "{fine:?}");
    }
}

#[test]
fn a_report_is_recorded_told_and_shown_but_to_no_customer() {
    let mut m = machine(false, true);
    let step = m.handle(Input::SelfTested { call: 7, report: report(), print: false }, NOW);
    assert!(matches!(
        &step.records[..],
        [Entry { record: Record::Terminal(TerminalRecord::SelfTested { .. }), .. }]
    ));
    assert_eq!(answers(&step), [Ok(())]);
    assert!(
        step.effects.iter().any(|e| matches!(e, Effect::Tell(n) if matches!(**n, Notice::SelfTest { .. })))
    );
    assert!(matches!(shown(&step)[..], [Screen::SelfTest { .. }]));
    // It leaves the screen by itself.
    let due = m.poll_timeout().unwrap().at;
    assert!(matches!(shown(&m.handle_timeout(due))[..], [Screen::Idle(_)]));
    // The same where nobody is on duty, or nothing can be paid yet.
    for (required, accounts) in [(true, settings(false).accounts), (false, Vec::new())] {
        let mut s = Settings { accounts, ..settings(false) };
        s.operators.required = required;
        let mut m = Machine::replay(s, None, []).unwrap();
        let rest = m.boot(NOW, "test", &[]);
        assert!(matches!(shown(&rest)[..], [Screen::LogOn(_) | Screen::Onboarding { .. }]));
        assert!(matches!(
            shown(&m.handle(Input::SelfTested { call: 7, report: report(), print: false }, NOW))[..],
            [Screen::SelfTest { .. }]
        ));
        let due = m.poll_timeout().unwrap().at;
        assert_eq!(shown(&m.handle_timeout(due)), shown(&rest));
    }
    m.handle(sale(), due);
    let step = m.handle(Input::SelfTested { call: 8, report: report(), print: true }, due);
    assert!(shown(&step).is_empty());
    // Its paper waits in the same queue as every other, and is at the printer at once.
    let records: Vec<_> = step.records.iter().map(|e| &e.record).collect();
    assert!(
        matches!(
            records[..],
            [
                Record::Terminal(TerminalRecord::SelfTested { .. }),
                Record::Paper(PaperRecord::Queued { .. }),
                Record::Paper(PaperRecord::Started { .. })
            ]
        ),
        "{records:?}"
    );
    let printing = step.effects.iter().any(|e| {
        matches!(e, Effect::Print { job, .. }
            if job.kind == PaperKind::SelfTestSlip && job.owner().is_none())
    });
    assert!(printing, "managers see it, no app");
}

#[test]
fn the_language_is_kept_by_the_journal() {
    let mut m = machine(false, true);
    assert_eq!(m.state().language, None);
    let mut journal = Vec::new();
    for language in [Language::En, Language::ZhCn, Language::En] {
        let step = m.handle(Input::SetLanguage { call: 1, language, by: "owner".into() }, NOW);
        assert_eq!(answers(&step), [Ok(())]);
        // Spoken before the screen is drawn again.
        let order: Vec<_> =
            step.effects.iter().filter(|e| matches!(e, Effect::Speak(_) | Effect::Show(..))).collect();
        assert!(
            matches!(order[..], [Effect::Speak(l), Effect::Show(Screen::Idle(_), None)] if *l == language),
            "{order:?}"
        );
        journal.extend(step.records);
    }
    let first = journal[0].seq;
    let journal = journal.into_iter().map(|e| Entry { seq: e.seq - first + 1, ..e });
    let mut again = Machine::replay(settings(false), None, journal).unwrap();
    assert_eq!(again.state().language, Some(Language::En));
    let boot = again.boot(NOW, "test", &[]);
    assert!(boot.effects.iter().any(|e| matches!(e, Effect::Speak(Language::En))));
    // A state that an earlier version wrote has none.
    let mut old = serde_json::to_value(again.state()).unwrap();
    old.as_object_mut().unwrap().remove("language");
    assert_eq!(serde_json::from_value::<payterm_core::State>(old).unwrap().language, None);
}

/// On the page of rest until it is mended, whatever happens meanwhile; told once a minute at most.
#[test]
fn a_trouble_that_lasts_stays_on_the_page_of_rest() {
    let mut m = machine(false, true);
    let rests = |m: &Machine| if let Screen::Idle(rest) = m.screen() { Some(rest.troubles) } else { None };
    let is_trouble = |n: &Notice| matches!(n, Notice::Screen { screen: Screen::Trouble { .. } });
    let told =
        |step: &Step| step.effects.iter().filter(|e| matches!(e, Effect::Tell(n) if is_trouble(n))).count();
    let turn = |m: &mut Machine, what, lasts, after: i64| {
        let now = payterm_schema::Time(NOW.0 + after);
        told(&m.handle(Input::Trouble { what, lasts }, now))
    };
    assert_eq!(turn(&mut m, "printer", true, 0), 1);
    assert_eq!(turn(&mut m, "disk-full", true, 1), 1);
    assert_eq!(turn(&mut m, "printer", true, 2), 0, "it has not begun again");
    assert_eq!(rests(&m), Some(vec!["disk-full".into(), "printer".into()]), "the worst first");
    m.handle(sale(), NOW);
    assert_eq!((rests(&m), turn(&mut m, "disk-full", false, 3)), (None, 0));
    m.handle(
        Input::Cancel { call: 2, key: RequestKey::new("app", "s").unwrap(), by: payterm_core::By::Caller },
        NOW,
    );
    let due = m.poll_timeout().unwrap().at;
    m.handle_timeout(due);
    assert_eq!(rests(&m), Some(vec!["printer".into()]));
    // A printer that comes and goes.
    for after in [20_000, 30_000, 50_000] {
        assert_eq!((turn(&mut m, "printer", false, after), turn(&mut m, "printer", true, after)), (0, 0));
    }
    assert_eq!((turn(&mut m, "printer", false, 61_000), turn(&mut m, "printer", true, 61_000)), (0, 1));
    turn(&mut m, "printer", false, 62_000);
    assert_eq!(rests(&m), Some(Vec::new()));
}

/// A host an hour ahead of the terminal: apps hear of it at once, the display waits until nobody is served
/// and no result stands there.
#[test]
fn a_trouble_is_told_to_apps_and_shown_on_a_free_display() {
    let trouble = || Screen::Trouble { what: "clock-jump".into() };
    let told = |step: &Step| {
        step.effects
            .iter()
            .filter(|e| **e == Effect::Tell(Box::new(Notice::Screen { screen: trouble() })))
            .count()
    };
    let signs_in = || {
        let mut s = settings(false);
        s.accounts[0].rules = HostRules { sign_in: true, ..(*s.accounts[0].rules).clone() }.into();
        let mut m = Machine::replay(s, None, []).unwrap();
        let step = m.boot(NOW, "test", &[]);
        let tag = step
            .effects
            .iter()
            .find_map(|e| if let Effect::Send(m) = e { Some(m.tag) } else { None })
            .unwrap();
        m.handle(Input::Devices { modes: vec![EntryMode::Swipe], pin_pad: true, printer: true }, NOW);
        (m, tag)
    };
    let answer = r#"{"code":"00","mac":"not_used","keys":"none","date":"0528","time":"212640",
        "texts":[],"requirement":0}"#;
    let reply = |tag| Input::Host {
        tag,
        event: HostEvent::Reply {
            answer: Box::new(serde_json::from_str(answer).unwrap()),
            trace: Default::default(),
        },
    };
    let timeout = |m: &mut Machine| {
        let due = m.poll_timeout().unwrap().at;
        m.handle_timeout(due)
    };
    let (mut m, tag) = signs_in();
    let step = m.handle(reply(tag), NOW);
    assert_eq!((told(&step), shown(&step)), (1, vec![&trouble()]));
    assert!(matches!(shown(&timeout(&mut m))[..], [Screen::Idle(_)]), "the display does not stay with it");
    // Not over what a customer is asked, nor over the result.
    let (mut m, tag) = signs_in();
    m.handle(sale(), NOW);
    let step = m.handle(reply(tag), NOW);
    assert!(told(&step) == 1 && matches!(m.screen(), Screen::Present { .. }), "{:?}", m.screen());
    let step = m.handle(
        Input::Cancel { call: 2, key: RequestKey::new("app", "s").unwrap(), by: payterm_core::By::Caller },
        NOW,
    );
    assert!(told(&step) == 0 && matches!(m.screen(), Screen::Result { .. }), "{:?}", m.screen());
    let step = timeout(&mut m);
    assert_eq!((told(&step), m.screen()), (0, trouble()));
    assert!(matches!(shown(&timeout(&mut m))[..], [Screen::Idle(_)]), "once");
}

#[test]
fn an_idle_account_is_sent_an_echo_within_a_bound() {
    let mut m = machine(false, true);
    let step = m.handle(Input::Probe { call: 5, account: account() }, NOW);
    let sent = step
        .effects
        .iter()
        .find_map(|e| if let Effect::Send(m) = e { Some(m.clone()) } else { None })
        .unwrap();
    assert_eq!(sent.plan.kind, Kind::Echo);
    assert!(sent.deadline.since(NOW).0 <= 5_000, "a customer would wait for it");
    assert!(
        matches!(
            &step.records[..],
            [Entry { record: Record::Account(AccountRecord::ControlSent { plan, .. }), .. }]
                if plan.stan == sent.plan.stan
        ),
        "its STAN is on disk"
    );
    // One at a time.
    assert_eq!(
        answers(&m.handle(Input::Probe { call: 6, account: account() }, NOW)),
        [Err(Fault::Busy { running: None })]
    );
    let step = m.handle(
        Input::Host {
            tag: sent.tag,
            event: HostEvent::NoReply { why: "silence".into(), trace: Default::default() },
        },
        NOW,
    );
    assert_eq!(answers(&step), [Err(Fault::Unreachable { cause: "silence".into() })]);
    assert!(m.heard().is_empty() && m.obligations().is_empty(), "nothing is owed for an echo");
    m.handle(sale(), NOW);
    assert_eq!(
        answers(&m.handle(Input::Probe { call: 7, account: account() }, NOW)),
        [Err(Fault::Busy { running: None })]
    );
}
