//! Every method and every fault, over a real bus and peer to peer; hostile arguments; callers.
use crate::common::*;
use futures_util::StreamExt;
use payterm_dbus::{Address, BusError, Client, fault_of, path};
use payterm_fake::sample::*;
use payterm_schema::{
    Caller, Fault, Kind, Notice, OperatorId, OperatorRequest, Phase, Status, Terminal,
    config::{BusConfig, CallerConfig, Language},
    terminal::Filter,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::Duration,
};
use zbus::Variant;

const ROOT: &str = payterm_dbus::ROOT;
const MANAGER: &str = "org.payterm.Terminal1.Manager";

#[tokio::test]
async fn every_method_answers_what_the_terminal_said() {
    let w = World::start(vec![caller("till", true)]).await;
    let who = Caller { manager: true, app: "till".into(), ..nobody() };
    let refused = key("till", "refused");
    w.fake.put(&refused, Status::Declined);
    for (n, c) in [w.client().await, w.peer().await].into_iter().enumerate() {
        let id = format!("order.{n}");
        let k = c.start(&who, request(&id)).await.unwrap();
        assert_eq!(k, key("till", &id));
        assert_eq!(c.start(&who, request(&id)).await, Ok(k.clone()));
        assert_eq!(c.info().await, w.fake.info().await);
        assert_eq!(c.recall(&who, &k).await, w.fake.recall(&who, &k).await);
        assert_eq!(c.recall(&who, &refused).await, w.fake.recall(&who, &refused).await);
        c.confirm(&who, &k, true).await.unwrap();
        assert!(w.fake.has_done(&format!("confirm {k} true")));
        w.fake.finish(&k, Status::Unknown);
        assert_eq!(c.wait(&who, &k, false).await.unwrap().status, Status::Unknown);
        let (last, ()) = tokio::join!(c.wait(&who, &k, true), async { w.fake.finish(&k, Status::Approved) });
        assert_eq!(last.unwrap(), outcome(k.clone(), n as u64 + 3, Status::Approved, Kind::Sale));
        assert!(matches!(c.cancel(&who, &k).await, Err(Fault::TooLate { .. })));
        assert_eq!(
            c.list(&who, Filter { limit: Some(1), ..Filter::default() }).await,
            w.fake.list(&who, Filter { limit: Some(1), ..Filter::default() }).await
        );
        assert_eq!(c.explain(&who, &k).await, w.fake.explain(&who, &k).await);
        c.reprint(&who, &k, None).await.unwrap();
        c.reprint(&who, &k, Some(payterm_schema::paper::SlipCopy::Merchant)).await.unwrap();
        assert!(w.fake.has_done(&format!("reprint {k} merchant")));
        let page = payterm_schema::page::Printable::parse(r#"{"page":{"lines":[{"type":"rule"}]}}"#).unwrap();
        assert_eq!(c.print(&who, "p1".into(), page).await, Ok(9));
        assert!(w.fake.has_done("print p1 page"));
        let drawer = payterm_schema::page::Printable::Drawer(payterm_schema::page::Drawer {});
        assert_eq!(c.print(&who, "d1".into(), drawer).await, Ok(9));
        assert!(w.fake.has_done("print d1 drawer"));
        assert_eq!(c.paper(&who, &k, true).await, w.fake.paper(&who, &k, true).await);
        for scope in [payterm_schema::totals::Scope::Batch, payterm_schema::totals::Scope::Shift] {
            assert_eq!(c.report(&who, scope).await, w.fake.report(&who, scope).await);
            c.print_report(&who, scope).await.unwrap();
            assert!(w.fake.has_done(&format!("report {}", scope.name())));
        }
        assert!(w.fake.has_done(&format!("reprint {k}")));
        assert_eq!(c.devices().await, w.fake.devices().await);
        assert_eq!(c.obligations(&who).await, w.fake.obligations(&who).await);
        assert_eq!(c.papers(&who).await, w.fake.papers(&who).await);
        assert_eq!(c.totals(&who).await, w.fake.totals(&who).await);
        assert_eq!(c.operators(&who).await, w.fake.operators(&who).await);
        let one = || OperatorId::first_cashier();
        for request in [
            OperatorRequest::LogOn { operator: one() },
            OperatorRequest::LogOff,
            OperatorRequest::ChangePassword,
            OperatorRequest::Add { operator: one() },
            OperatorRequest::Remove { operator: one() },
            OperatorRequest::Unlock { operator: one() },
            OperatorRequest::EndRecovery,
        ] {
            c.operator_session(&who, request.clone()).await.unwrap();
            assert!(w.fake.has_done(&format!("operators {}", serde_json::to_string(&request).unwrap())));
        }
        c.retry_obligation(&who, 40 + n as u64).await.unwrap();
        c.resolve_obligation(
            &who,
            50 + n as u64,
            n == 0,
            (n == 0).then(|| payterm_schema::Stan::new(12).unwrap()),
            "case 7",
        )
        .await
        .unwrap();
        assert!(w.fake.has_done(&format!("resolve 5{n} {} {} case 7", n == 0, if n == 0 { 12 } else { 0 })));
        let account = (n == 0).then(|| payterm_schema::AccountId::new("unionpay").unwrap());
        assert_eq!(
            c.reconcile(&who, account.clone(), "x".into()).await,
            w.fake.reconcile(&who, account, "x".into()).await
        );
        c.release_paper(&who, 4, n == 0).await.unwrap();
        assert!(w.fake.has_done(&format!("retry 4{n}")) && w.fake.has_done(&format!("release 4 {}", n == 0)));
        assert_eq!(c.info().await, w.fake.info().await);
        assert_eq!(c.self_test(&who, n == 0).await, Ok(self_test()));
        c.set_language(&who, Language::En).await.unwrap();
        assert!(w.fake.has_done(&format!("self-test {}", n == 0)) && w.fake.has_done("language en"));
        assert_eq!(c.last_self_test().await, Ok(None));
        assert_eq!(c.emv_lists().await, w.fake.emv_lists().await);
        assert_eq!(c.support_bundle(&who).await, w.fake.support_bundle(&who).await);
    }
}

#[tokio::test]
async fn every_fault_comes_through_whole() {
    let w = World::start(vec![caller("till", false)]).await;
    let mut names = BTreeSet::new();
    for c in [w.client().await, w.peer().await] {
        for (n, fault) in faults().into_iter().enumerate() {
            names.insert(fault.name());
            assert_eq!(c.recall(&nobody(), &key("till", &format!("fault-{n}"))).await, Err(fault));
        }
    }
    assert_eq!(names.len(), 23);
}

async fn call(
    c: &zbus::Connection,
    interface: &str,
    member: &str,
    arguments: Vec<Variant<'static>>,
) -> Result<zbus::Message, zbus::Error> {
    let name = Some("org.payterm.Terminal1");
    if arguments.is_empty() {
        return c.call_method(name, ROOT, Some(interface), member, &()).await;
    }
    let body =
        arguments.into_iter().fold(zbus::wire::StructureBuilder::new(), |b, v| b.append_field(v)).build()?;
    c.call_method(name, ROOT, Some(interface), member, &body).await
}

fn sale(extra: Vec<(&str, Variant<'static>)>) -> Variant<'static> {
    let base = [("id", "x"), ("kind", "sale"), ("amount", "12.34"), ("currency", "CNY")];
    let mut all: BTreeMap<String, Variant<'static>> =
        base.into_iter().map(|(k, v)| (k.to_owned(), Variant::from(v))).collect();
    all.extend(extra.into_iter().map(|(k, v)| (k.to_owned(), v)));
    Variant::from(all)
}

#[tokio::test]
async fn hostile_arguments_name_the_field_and_change_nothing() {
    let w = World::start(vec![caller("till", false)]).await;
    let c = w.raw().await;
    let mut deep = Variant::from("x");
    for _ in 0..9 {
        deep = Variant::from(vec![deep]);
    }
    let many: Vec<(String, Variant)> = (0..65).map(|i| (format!("k{i}"), Variant::U8(1))).collect();
    let many = sale(many.iter().map(|(k, v)| (k.as_str(), v.try_clone().unwrap())).collect());
    let pay = |v: Variant<'static>| vec![v];
    let cases: Vec<(&str, Vec<Variant<'static>>, &str)> = vec![
        ("Start", pay(sale(vec![("amount", Variant::F64(12.34))])), "amount"),
        ("Start", pay(sale(vec![("amount", Variant::U32(12))])), "amount"),
        ("Pay", pay(sale(vec![("amount", Variant::from("-1"))])), "amount"),
        ("Start", pay(sale(vec![("tip", Variant::from("1"))])), "tip"),
        ("Start", pay(sale(vec![("note", Variant::from("x".repeat(5000)))])), "note"),
        ("Start", pay(sale(vec![("note", deep)])), "note"),
        ("Start", pay(sale(vec![("id", Variant::from("a/b"))])), "id"),
        ("Start", pay(sale(vec![("kind", Variant::from("theft"))])), "kind"),
        ("Start", pay(sale(vec![("currency", Variant::from("XXX"))])), "currency"),
        ("Start", pay(many), "request"),
        ("Start", pay(Variant::from("sale")), "arguments"),
        ("Start", Vec::new(), "arguments"),
        ("Start", pay(Variant::Structure(zbus::Structure::from((1u8, 2u8)))), "arguments"),
        ("Wait", pay(Variant::from("x")), "arguments"),
        ("List", pay(sale(vec![])), "amount"),
        ("List", pay(Variant::from(BTreeMap::from([("limit", Variant::U32(201))]))), "limit"),
        ("Recall", pay(Variant::from("a b")), "id"),
        ("Confirm", vec![Variant::from("a"), Variant::Bool(true)], "arguments"),
        ("Ping2", Vec::new(), ""),
    ];
    for (member, arguments, field) in cases {
        let shown = format!("{member} {arguments:?}").chars().take(120).collect::<String>();
        let e = call(&c, MANAGER, member, arguments).await.expect_err(&shown);
        if field.is_empty() {
            assert!(
                matches!(&e, zbus::Error::FDO(f) if matches!(**f, zbus::fdo::Error::UnknownMethod(_))),
                "{shown}: {e:?}"
            );
            continue;
        }
        let Fault::Invalid { field: f, rule } = fault_of(e) else { panic!("{shown}") };
        assert!(f == field && !rule.is_empty(), "{shown}: {f}: {rule}");
    }
    let wait = |p: &'static str| vec![Variant::ObjectPath(zbus::ObjectPath::try_from(p).unwrap())];
    for p in [
        "/",
        "/org/payterm/Terminal1",
        "/org/payterm/Terminal1/transaction/till/none",
        "/org/payterm/Terminal1/transaction/other/secret_2d1",
    ] {
        assert!(
            matches!(call(&c, MANAGER, "Wait", wait(p)).await.map_err(fault_of), Err(Fault::NotFound { .. })),
            "{p}"
        );
    }
    // Nothing was started by all this, and the terminal is still served.
    assert_eq!(
        w.fake.list(&nobody(), Filter { app: Some("till".into()), ..Filter::default() }).await.unwrap().len(),
        0
    );
    let path: zbus::OwnedObjectPath =
        call(&c, MANAGER, "Start", vec![sale(vec![("original_stan", Variant::from(""))])])
            .await
            .map_err(fault_of)
            .map_or_else(
                |f| {
                    assert!(matches!(f, Fault::Invalid { .. }));
                    zbus::OwnedObjectPath::default()
                },
                |_| panic!("a text is no number"),
            );
    assert_eq!(path.as_str(), "/");
    let ok = call(&c, MANAGER, "Start", vec![sale(vec![])]).await.unwrap();
    assert_eq!(
        ok.body().deserialize::<zbus::OwnedObjectPath>().unwrap().as_str(),
        self::path(&key("till", "x"))
    );
}

#[tokio::test]
async fn kinds_limit_and_unmapped_users_are_refused() {
    let limit = payterm_schema::Money::new(1000, payterm_schema::Currency::CNY).unwrap();
    let row = CallerConfig { kinds: vec![Kind::Sale], limit: Some(limit.into()), ..caller("till", false) };
    let w = World::start(vec![row]).await;
    for c in [w.client().await, w.peer().await] {
        let refused = c.start(&nobody(), request("a")).await;
        assert!(matches!(refused, Err(Fault::NotAllowed { rule }) if rule.contains("limit")));
        let echo = payterm_schema::Request { kind: Kind::Echo, amount: None, ..request("e") };
        assert!(
            matches!(c.start(&nobody(), echo).await, Err(Fault::NotAllowed { rule }) if rule.contains("echo"))
        );
        assert!(matches!(c.retry_obligation(&nobody(), 1).await, Err(Fault::NotAllowed { .. })));
        assert!(matches!(c.release_paper(&nobody(), 1, true).await, Err(Fault::NotAllowed { .. })));
        assert!(matches!(c.set_language(&nobody(), Language::En).await, Err(Fault::NotAllowed { .. })));
        assert!(matches!(c.support_bundle(&nobody()).await, Err(Fault::NotAllowed { .. })));
        for request in [
            OperatorRequest::Add { operator: OperatorId::first_cashier() },
            OperatorRequest::Unlock { operator: OperatorId::first_cashier() },
        ] {
            assert!(
                matches!(c.operator_session(&nobody(), request).await, Err(Fault::NotAllowed { .. })),
                "managers only"
            );
        }
        assert_eq!(
            c.operator_session(&nobody(), OperatorRequest::LogOff).await,
            Ok(()),
            "whoever may call may log off"
        );
        assert!(matches!(
            c.list(&nobody(), Filter { app: Some("other".into()), ..Filter::default() }).await,
            Err(Fault::NotAllowed { .. })
        ));
    }
    let w = World::start(vec![CallerConfig { uid: me() + 1, ..caller("till", true) }]).await;
    for c in [w.client().await, w.peer().await] {
        let refused = |f: Fault| matches!(f, Fault::NotAllowed { rule } if rule.contains("bus.caller"));
        assert!(
            refused(c.info().await.unwrap_err())
                && refused(c.start(&nobody(), request("a")).await.unwrap_err())
        );
        assert!(
            refused(c.devices().await.unwrap_err())
                && refused(c.recall(&nobody(), &key("other", "secret-1")).await.unwrap_err())
        );
    }
    let log = w.fake.log.lock().unwrap();
    assert!(
        log.iter().all(|l| l.starts_with("list ")),
        "the bus itself lists, and nobody else called: {log:?}"
    );
}

#[tokio::test]
async fn a_long_wait_keeps_nobody_and_too_many_are_refused() {
    let w = World::start(vec![caller("till", false)]).await;
    let c = w.client().await;
    let k = c.start(&nobody(), request("slow")).await.unwrap();
    let waits: Vec<_> = (0..31)
        .map(|_| {
            let (c, k) = (c.clone(), k.clone());
            tokio::spawn(async move { c.wait(&nobody(), &k, true).await })
        })
        .collect();
    for _ in 0..20 {
        tokio::time::timeout(Duration::from_secs(10), c.recall(&nobody(), &k)).await.unwrap().unwrap();
    }
    let (c2, k2) = (c.clone(), k.clone());
    let last = tokio::spawn(async move {
        // One that comes beside a look is the one too many.
        loop {
            match c2.wait(&nobody(), &k2, true).await {
                Err(Fault::Unreachable { .. }) => {}
                told => return told,
            }
        }
    });
    // When all are under way.
    let refused = async {
        loop {
            if let Err(fault) = c.recall(&nobody(), &k).await {
                return fault;
            }
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(10), refused).await.unwrap();
    assert!(matches!(refused, Fault::Unreachable { cause } if cause.contains("too many calls")));
    assert!(w.client().await.recall(&nobody(), &k).await.is_ok(), "another connection has its own bound");
    w.fake.finish(&k, Status::Declined);
    for t in waits.into_iter().chain([last]) {
        assert_eq!(t.await.unwrap().unwrap().status, Status::Declined);
    }
}

#[tokio::test]
async fn the_terminal_hears_of_a_lost_caller_once_nobody_holds_the_request() {
    let w = World::start(vec![caller("till", false)]).await;
    for (n, (a, b)) in
        [(w.client().await, w.client().await), (w.peer().await, w.client().await)].into_iter().enumerate()
    {
        let k = a.start(&nobody(), request(&format!("lost-{n}"))).await.unwrap();
        let waiting = tokio::spawn({
            let (a, k) = (a.clone(), k.clone());
            async move { a.wait(&nobody(), &k, true).await }
        });
        assert_eq!(b.start(&nobody(), request(&k.id)).await, Ok(k.clone()));
        a.close().await;
        assert!(matches!(waiting.await.unwrap(), Err(Fault::Unreachable { .. })));
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!w.fake.has_done(&format!("lost {k}")), "the second starter is still there");
        b.close().await;
        until("lost", || w.fake.has_done(&format!("lost {k}"))).await;
    }
    // A finished request has nobody to lose.
    let c = w.client().await;
    let k = c.start(&nobody(), request("done")).await.unwrap();
    w.fake.finish(&k, Status::Approved);
    c.wait(&nobody(), &k, false).await.unwrap();
    c.close().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!w.fake.has_done("lost till/done"));
}

#[tokio::test]
async fn many_clients_at_once() {
    let w = World::start(vec![caller("till", false)]).await;
    let tasks: Vec<_> = (0..40)
        .map(|n| {
            let at = if n % 2 == 0 {
                Address::Bus(w.bus.address.clone())
            } else {
                Address::Peer(w.socket.clone())
            };
            let fake = w.fake.clone();
            tokio::spawn(async move {
                let c = Client::connect(at, "").await.unwrap();
                for m in 0..10 {
                    let k = c.start(&nobody(), request(&format!("{n}.{m}"))).await.unwrap();
                    fake.finish(&k, Status::Approved);
                    assert_eq!(c.wait(&nobody(), &k, true).await.unwrap().key, k);
                }
            })
        })
        .collect();
    for t in tasks {
        t.await.unwrap();
    }
}

#[tokio::test]
async fn notices_reach_who_asked_and_may_see_them() {
    let w = World::start(vec![caller("till", false)]).await;
    for c in [w.client().await, w.peer().await] {
        let mut told = c.notices();
        // The subscription is under way: a harmless notice until it arrives.
        let device = Notice::Device { device: device(payterm_schema::DeviceState::Failed) };
        loop {
            w.fake.tell(device.clone());
            if let Ok(Some(n)) = tokio::time::timeout(Duration::from_millis(50), told.next()).await {
                assert_eq!(n, device);
                break;
            }
        }
        let k = key("till", "n");
        w.fake.put(&k, Status::Running);
        let other = Arc::new(outcome(key("other", "secret-1"), 1, Status::Approved, Kind::Sale));
        w.fake.tell(Notice::Outcome { outcome: other.clone() });
        w.fake.tell(Notice::Screen { screen: payterm_schema::Screen::Result { outcome: other } });
        w.fake.tell(Notice::Screen { screen: present() });
        w.fake.tell(Notice::Obligation { obligation: Box::new(stuck(1)) });
        let phase = Notice::Phase { key: k.clone(), phase: Phase::Presenting, screen: present() };
        w.fake.tell(phase.clone());
        let own = Notice::Outcome { outcome: Arc::new(outcome(k.clone(), 2, Status::Approved, Kind::Sale)) };
        w.fake.tell(own.clone());
        let mut next = told.next().await.unwrap();
        while next == device {
            next = told.next().await.unwrap();
        }
        assert_eq!(next, phase, "what is another app's is not told");
        assert_eq!(told.next().await.unwrap(), own);
        c.close().await;
        assert_eq!(told.next().await, None);
    }
}

#[tokio::test]
async fn lost_servers_taken_names_and_stale_sockets() {
    let mut w = World::start(vec![caller("till", false)]).await;
    let config = BusConfig { callers: vec![caller("till", false)], ..BusConfig::default() };
    let second = payterm_dbus::serve_at(w.fake.clone(), &config, w.bus.at()).await;
    assert!(matches!(second.map(drop), Err(BusError::NameTaken { name }) if name == "org.payterm.Terminal1"));
    let lane = BusConfig { lane: "lane2".into(), ..config.clone() };
    let lane = payterm_dbus::serve_at(w.fake.clone(), &lane, w.bus.at()).await.unwrap();
    let on_lane = Client::connect(Address::Bus(w.bus.address.clone()), "lane2").await.unwrap();
    on_lane.info().await.unwrap();
    lane.close().await;
    assert!(matches!(on_lane.info().await, Err(Fault::Unreachable { .. })));

    let mode = std::fs::metadata(&w.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let busy = BusConfig { peer_socket: Some(w.socket.clone()), ..config.clone() };
    assert!(matches!(
        payterm_dbus::serve_at(w.fake.clone(), &busy, None).await.map(drop),
        Err(BusError::SocketInUse { .. })
    ));
    let stale = w.bus.dir.path().join("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let again = payterm_dbus::serve_at(
        w.fake.clone(),
        &BusConfig { peer_socket: Some(stale.clone()), ..config.clone() },
        None,
    )
    .await
    .unwrap();
    Client::connect(Address::Peer(stale.clone()), "").await.unwrap().info().await.unwrap();
    again.close().await;
    assert!(!stale.exists());
    std::fs::write(&stale, "a file").unwrap();
    assert!(
        payterm_dbus::serve_at(
            w.fake.clone(),
            &BusConfig { peer_socket: Some(stale.clone()), ..config },
            None
        )
        .await
        .is_err()
    );
    assert_eq!(std::fs::read_to_string(&stale).unwrap(), "a file");

    let (bus_client, peer) = (w.client().await, w.peer().await);
    let k = bus_client.start(&nobody(), request("cut")).await.unwrap();
    let waiting = tokio::spawn({
        let (c, k) = (bus_client.clone(), k.clone());
        async move { c.wait(&nobody(), &k, true).await }
    });
    let mut on_bus = w.server.on_bus();
    w.bus.stop();
    on_bus.wait_for(|on| !on).await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(Fault::Unreachable { .. })));
    assert!(matches!(bus_client.info().await, Err(Fault::Unreachable { .. })));
    assert!(peer.info().await.is_ok());
    until("its caller is lost", || w.fake.has_done("lost till/cut")).await;
    w.bus.again();
    tokio::time::timeout(Duration::from_secs(5), on_bus.wait_for(|on| *on)).await.unwrap().unwrap();
    w.client().await.info().await.unwrap();
    w.server.close().await;
    assert!(matches!(peer.info().await, Err(Fault::Unreachable { .. })));
    assert!(!w.fake.log.lock().unwrap().iter().any(|l| l == "lost till/none"));
}
