//! Objects, properties, signals and introspection on a real bus, with busctl, and what another app sees of
//! them.
use crate::common::*;
use futures_util::StreamExt;
use payterm_dbus::{INTERFACES, ROOT, device_path, path};
use payterm_fake::{Fake, sample::*};
use payterm_schema::{Caller, Fault, Kind, Notice, Phase, Status, Terminal, config::Language};
use std::{collections::HashMap, path::Path, process::Output, sync::atomic::Ordering, time::Duration};
use zbus::{Connection, OwnedObjectPath, OwnedVariant, Variant};

type Managed = HashMap<OwnedObjectPath, HashMap<String, HashMap<String, OwnedVariant>>>;
const NAME: Option<&str> = Some("org.payterm.Terminal1");
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const TRANSACTION: &str = "org.payterm.Terminal1.Transaction";

async fn managed(c: &Connection) -> Managed {
    let reply = c
        .call_method(NAME, ROOT, Some("org.freedesktop.DBus.ObjectManager"), "GetManagedObjects", &())
        .await
        .unwrap();
    reply.body().deserialize().unwrap()
}
async fn introspect(c: &Connection, path: &str) -> Result<String, Fault> {
    let reply =
        c.call_method(NAME, path, Some("org.freedesktop.DBus.Introspectable"), "Introspect", &()).await;
    reply.map(|m| m.body().deserialize().unwrap()).map_err(payterm_dbus::fault_of)
}
async fn get(c: &Connection, path: &str, interface: &str, name: &str) -> Result<OwnedVariant, Fault> {
    let reply = c.call_method(NAME, path, Some(PROPERTIES), "Get", &(interface, name)).await;
    reply.map(|m| m.body().deserialize().unwrap()).map_err(payterm_dbus::fault_of)
}

/// Every interface, as the running service describes it, is the committed file, byte for byte;
/// PAYTERM_BLESS=1 rewrites them.
#[tokio::test]
async fn the_committed_xml_is_what_the_service_says() {
    let w = World::start(vec![caller("till", true)]).await;
    let c = w.raw().await;
    let (transaction, device) = (path(&key("other", "secret-1")), device_path("front-reader"));
    let mut served = HashMap::new();
    for p in [ROOT, transaction.as_str(), device.as_str()] {
        let xml = introspect(&c, p).await.unwrap();
        let mut rest = xml.as_str();
        while let Some(start) = rest.find("  <interface name=\"org.payterm.") {
            let end = rest[start..].find("  </interface>\n").unwrap() + start + "  </interface>\n".len();
            let element = &rest[start..end];
            let name = element.split('"').nth(1).unwrap().to_owned();
            let file = format!(
                "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n \
                 \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n\
                 <node>\n{element}</node>\n"
            );
            served.insert(name, file);
            rest = &rest[end..];
        }
    }
    let own: Vec<_> = INTERFACES.iter().filter(|i| i.name.starts_with("org.payterm.")).collect();
    assert_eq!(served.len(), own.len());
    for i in own {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("data/{}.xml", i.name));
        if std::env::var_os("PAYTERM_BLESS").is_some() {
            std::fs::write(&file, &served[i.name]).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(&file).unwrap_or_default(),
            served[i.name],
            "{} (PAYTERM_BLESS=1 rewrites it)",
            file.display()
        );
    }
}

#[tokio::test]
async fn the_object_manager_and_properties_show_own_transactions_only() {
    let w = World::start(vec![caller("till", false)]).await;
    let c = w.raw().await;
    let client = w.client().await;
    let k = client.start(&nobody(), request("a.1")).await.unwrap();
    until("the notice has come", || true).await;
    let (own, foreign) = (path(&k), path(&key("other", "secret-1")));
    let mut all = managed(&c).await;
    for _ in 0..100 {
        if all.len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        all = managed(&c).await;
    }
    let mut paths: Vec<_> = all.keys().map(|p| p.as_str().to_owned()).collect();
    paths.sort();
    assert_eq!(paths, [device_path("front-reader"), own.clone()]);
    let told = &all[&OwnedObjectPath::try_from(own.clone()).unwrap()][TRANSACTION];
    assert_eq!(*told["Status"], Variant::from("running"));
    assert_eq!(*told["CanCancel"], Variant::Bool(true));
    for i in INTERFACES.iter().filter(|i| !i.properties.is_empty()) {
        let at = if ["Manager", "Operators"].iter().any(|n| i.name.ends_with(n)) {
            ROOT.to_owned()
        } else if i.name == TRANSACTION {
            own.clone()
        } else {
            device_path("front-reader")
        };
        for p in i.properties {
            let v = get(&c, &at, i.name, p.name).await.unwrap();
            assert_eq!(v.value_signature().to_string(), p.signature, "{}.{}", i.name, p.name);
            let set = c
                .call_method(NAME, at.as_str(), Some(PROPERTIES), "Set", &(i.name, p.name, Variant::U8(1)))
                .await;
            assert!(set.is_err());
        }
    }
    for p in [ROOT, own.as_str()] {
        assert!(matches!(get(&c, p, TRANSACTION, "Theft").await, Err(Fault::NotFound { .. })), "{p}");
    }
    assert!(matches!(get(&c, &foreign, TRANSACTION, "Status").await, Err(Fault::NotFound { .. })));
    assert!(matches!(introspect(&c, &foreign).await, Err(Fault::NotFound { .. })));
    let mut seen = String::new();
    for p in [
        "/",
        "/org",
        ROOT,
        "/org/payterm/Terminal1/device",
        "/org/payterm/Terminal1/transaction",
        "/org/payterm/Terminal1/transaction/till",
        &own,
    ] {
        seen += &introspect(&c, p).await.unwrap();
    }
    assert!(
        seen.contains("\"a_2e1\"")
            && seen.contains("\"front_2dreader\"")
            && !seen.contains("other")
            && !seen.contains("secret")
    );
    for p in ["/org/payterm/Terminal1/transaction/other", "/elsewhere", "/org/payterm/Terminal1/device/none"]
    {
        assert!(introspect(&c, p).await.is_err(), "{p}");
    }
    // The terminal shows another app's customer: neither the request nor the page is told.
    w.fake.put(&key("other", "now"), Status::Running);
    w.fake.finish(&k, Status::Approved);
    assert_eq!(
        *get(&c, ROOT, "org.payterm.Terminal1.Manager", "Running").await.unwrap(),
        Variant::ObjectPath("/".try_into().unwrap())
    );
}

/// The fake owes for transaction 1, which 60 later ones have pushed out of the last 50.
#[tokio::test]
async fn a_manager_sees_all_apps_and_what_owes_something_however_old() {
    let (bus, fake) = (Bus::start(), Fake::by_hand());
    for n in 0..60 {
        fake.put(&key("kiosk", &format!("k{n}")), Status::Approved);
    }
    let config =
        payterm_schema::config::BusConfig { callers: vec![caller("till", true)], ..Default::default() };
    let _server = payterm_dbus::serve_at(fake, &config, bus.at()).await.unwrap();
    let c = zbus::connection::Builder::address(bus.address.as_str()).build().await.unwrap();
    let all = managed(&c).await;
    let has = |k| all.contains_key(&OwnedObjectPath::try_from(path(&k)).unwrap());
    assert_eq!(all.len(), 52, "a device, 50 transactions and the one that owes");
    assert!(
        has(key("other", "secret-1"))
            && has(key("kiosk", "k59"))
            && has(key("kiosk", "k10"))
            && !has(key("kiosk", "k9"))
    );
}

#[tokio::test]
async fn changes_are_told_to_readers_and_nobody_else() {
    let w = World::start(vec![caller("till", false)]).await;
    let (reader, silent) = (w.raw().await, w.raw().await);
    managed(&reader).await;
    silent.call_method(NAME, ROOT, Some("org.payterm.Terminal1.Manager"), "Devices", &()).await.unwrap();
    let (mut told, mut quiet) = (zbus::MessageStream::from(&reader), zbus::MessageStream::from(&silent));
    let client = w.client().await;
    let k = client.start(&nobody(), request("s")).await.unwrap();
    w.fake.tell(Notice::Phase { key: k.clone(), phase: Phase::Presenting, screen: present() });
    w.fake.finish(&k, Status::Approved);
    let (mut members, at) = (Vec::new(), path(&k));
    while members.last().is_none_or(|(m, _)| m != "OutcomeChanged") {
        let m = tokio::time::timeout(Duration::from_secs(5), told.next()).await.unwrap().unwrap().unwrap();
        let h = m.header();
        if let (Some(member), Some(p)) = (h.member(), h.path()) {
            members.push((member.to_string(), p.to_string()));
        }
    }
    let has = |member: &str, p: &str| members.iter().any(|(m, q)| m == member && q == p);
    assert!(
        has("InterfacesAdded", ROOT)
            && has("PropertiesChanged", &at)
            && has("PropertiesChanged", ROOT)
            && has("Notice", ROOT)
            && has("OutcomeChanged", &at)
    );
    let silence = tokio::time::timeout(Duration::from_millis(300), async {
        while let Some(Ok(m)) = quiet.next().await {
            if m.header().path().is_some_and(|p| p.as_str().starts_with(ROOT)) {
                return m.to_string();
            }
        }
        String::new()
    });
    assert!(silence.await.is_err(), "a connection that asked for nothing was told something");
    // The window slides: after 50 more the first object is gone from the object manager, yet answers on its
    // path.
    let mut removed = zbus::MessageStream::from(&reader);
    drop(told);
    tokio::spawn({
        let client = client.clone();
        async move {
            for n in 0..50 {
                client.start(&nobody(), request(&format!("s{n}"))).await.unwrap();
            }
        }
    });
    let gone = loop {
        let m = tokio::time::timeout(Duration::from_secs(5), removed.next()).await.unwrap().unwrap().unwrap();
        if m.header().member().is_some_and(|n| n.as_str() == "InterfacesRemoved") {
            break m.body().deserialize::<(OwnedObjectPath, Vec<String>)>().unwrap();
        }
    };
    assert_eq!((gone.0.as_str(), gone.1[0].as_str()), (at.as_str(), TRANSACTION));
    assert!(get(&reader, &at, TRANSACTION, "Status").await.is_ok());
}

/// The signals of a connection that reads, until `last` of the given member.
async fn heard(stream: &mut zbus::MessageStream, last: &str) -> Vec<(String, zbus::Message)> {
    let mut all = Vec::new();
    while all.last().is_none_or(|(m, _)| m != last) {
        let m = tokio::time::timeout(Duration::from_secs(5), stream.next()).await.unwrap().unwrap().unwrap();
        if m.header().path().is_some_and(|p| p.as_str().starts_with(ROOT)) {
            all.push((m.header().member().unwrap().to_string(), m));
        }
    }
    all
}

/// Each connection is told everything of a sale, and nothing is asked of the terminal for it: no query of the
/// store, no copy of the state.
#[tokio::test]
async fn a_notice_carries_what_is_told_of_it() {
    let w = World::start(vec![caller("till", true)]).await;
    let mut readers = Vec::new();
    for _ in 0..20 {
        let c = w.raw().await;
        managed(&c).await;
        readers.push(zbus::MessageStream::from(&c));
    }
    let client = w.client().await;
    let before = w.fake.queries.load(Ordering::Relaxed);
    let k = client.start(&nobody(), request("s")).await.unwrap();
    w.fake.tell(Notice::Phase { key: k.clone(), phase: Phase::Sending, screen: present() });
    let done = outcome(k.clone(), 2, Status::Approved, Kind::Sale);
    w.fake.tell(Notice::Outcome { outcome: done.into() });
    w.fake.tell(Notice::Operators { on_duty: None, locked: true });
    for told in &mut readers {
        let all = heard(told, "OutcomeChanged").await;
        for member in ["Notice", "InterfacesAdded", "PropertiesChanged"] {
            assert!(all.iter().any(|(m, _)| m == member), "{member}");
        }
        let (_, added) = all.iter().find(|(m, _)| m == "InterfacesAdded").unwrap();
        let (_, interfaces): (OwnedObjectPath, HashMap<String, HashMap<String, OwnedVariant>>) =
            added.body().deserialize().unwrap();
        assert_eq!(*interfaces[TRANSACTION]["Id"], Variant::from("s"));
        assert_eq!(interfaces[TRANSACTION].len(), 7);
    }
    assert_eq!(w.fake.queries.load(Ordering::Relaxed), before);
}

/// What is told of the root is what has changed, with its value.
#[tokio::test]
async fn properties_that_did_not_change_are_not_told() {
    let w = World::start(vec![caller("till", false)]).await;
    let reader = w.raw().await;
    managed(&reader).await;
    let mut told = zbus::MessageStream::from(&reader);
    let client = w.client().await;
    let k = client.start(&nobody(), request("s")).await.unwrap();
    let mut all = heard(&mut told, "PropertiesChanged").await;
    w.fake.finish(&k, Status::Approved);
    all.extend(heard(&mut told, "OutcomeChanged").await);
    all.extend(heard(&mut told, "PropertiesChanged").await);
    // Built anew with another account, and the next thing that happens.
    w.fake.activated.store(true, Ordering::Relaxed);
    w.fake.tell(Notice::Language { language: Language::ZhCn });
    all.extend(heard(&mut told, "PropertiesChanged").await);
    let mut changes = Vec::new();
    for (member, m) in all {
        if member == "PropertiesChanged" && m.header().path().is_some_and(|p| p.as_str() == ROOT) {
            let (_, new, gone): (String, HashMap<String, OwnedVariant>, Vec<String>) =
                m.body().deserialize().unwrap();
            assert!(gone.is_empty());
            changes.push(new);
        }
    }
    let names = |n: usize| changes[n].keys().map(String::as_str).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(
        names(0),
        ["Accounts", "Inhibited", "InhibitReasons", "Language", "Running", "Screen", "Shop"].into(),
        "at first all"
    );
    assert_eq!(names(1), ["Running", "Screen"].into());
    assert_eq!(*changes[1]["Running"], Variant::ObjectPath("/".try_into().unwrap()));
    assert_eq!(names(2), ["Accounts"].into());
}

/// Another app's payment is "busy", told at most once a second, and no more than that.
#[tokio::test]
async fn another_apps_payment_is_told_as_busy_and_seldom() {
    let w = World::start(vec![caller("till", false)]).await;
    let reader = w.raw().await;
    managed(&reader).await;
    let mut told = zbus::MessageStream::from(&reader);
    let k = key("other", "private-order");
    for n in 0..5 {
        w.fake.start(&Caller { app: "other".into(), ..nobody() }, request(&k.id)).await.unwrap();
        w.fake.tell(Notice::Started {
            key: k.clone(),
            txn: n,
            outcome: outcome(k.clone(), n, Status::Running, Kind::Sale).into(),
        });
        w.fake.tell(Notice::Device { device: device(payterm_schema::DeviceState::Busy) });
        w.fake.tell(Notice::Inhibited { reasons: vec![payterm_schema::InhibitReason::Payment] });
        w.fake.tell(Notice::Phase { key: k.clone(), phase: Phase::Presenting, screen: present() });
        w.fake.tell(Notice::Outcome { outcome: outcome(k.clone(), n, Status::Approved, Kind::Sale).into() });
    }
    let mut all = heard(&mut told, "PropertiesChanged").await;
    let more = tokio::time::timeout(Duration::from_secs(2), heard(&mut told, "never")).await;
    assert!(more.is_err());
    let text: String = all
        .drain(..)
        .map(|(m, message)| format!("{m} {:?}", message.body().deserialize::<zbus::Structure<'_>>().unwrap()))
        .collect();
    assert!(!text.contains("private") && !text.contains("1234") && !text.contains("approved"), "{text}");
    assert!(text.contains("Device") || text.contains("device"), "{text}");
    let screen = get(&reader, ROOT, "org.payterm.Terminal1.Manager", "Screen").await.unwrap();
    let Variant::Dict(screen) = &*screen else { panic!("{screen:?}") };
    assert_eq!(screen.get::<&str, &str>(&"page").unwrap(), Some("busy"));
}

fn out(o: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&o.stdout), String::from_utf8_lossy(&o.stderr))
}

#[tokio::test]
async fn busctl_is_enough_for_a_sale() {
    let w = World::start(vec![caller("till", false)]).await;
    let manager = ["org.payterm.Terminal1", ROOT, "org.payterm.Terminal1.Manager"];
    let call = async |rest: &[&str]| w.bus.busctl(&[&["call"], &manager[..], rest].concat()).await;
    let sale = [
        "Start", "a{sv}", "4", "id", "s", "b-1", "kind", "s", "sale", "amount", "s", "12.34", "currency",
        "s", "CNY",
    ];
    let started = call(&sale).await;
    let at = path(&key("till", "b-1"));
    assert_eq!(out(&started).trim(), format!("o \"{at}\""));
    let tree = out(&w.bus.busctl(&["tree", "org.payterm.Terminal1"]).await);
    assert!(tree.contains(&at) && tree.contains("front_2dreader") && !tree.contains("other"), "{tree}");
    let shown = out(&w.bus.busctl(&["introspect", "org.payterm.Terminal1", &at]).await);
    assert!(shown.contains(".CanCancel") && shown.contains("OutcomeChanged"), "{shown}");
    assert!(
        out(&w.bus.busctl(&["get-property", "org.payterm.Terminal1", &at, TRANSACTION, "Phase"]).await)
            .contains("presenting")
    );
    let cancelled = w.bus.busctl(&["call", "org.payterm.Terminal1", &at, TRANSACTION, "Cancel"]).await;
    assert!(cancelled.status.success(), "{}", out(&cancelled));
    let ended = out(&w
        .bus
        .busctl(&["--json=short", "call", "org.payterm.Terminal1", &at, TRANSACTION, "Wait"])
        .await);
    assert!(ended.contains(r#""status":{"type":"s","data":"cancelled"}"#), "{ended}");
    let refused = call(&["Start", "a{sv}", "1", "amount", "d", "12.34"]).await;
    assert!(!refused.status.success() && out(&refused).contains("decimal text"), "{}", out(&refused));
}

/// Each fault has a name that decides and one text that every D-Bus program shows; its data is told when it
/// is asked for.
#[tokio::test]
async fn an_error_is_a_name_and_a_text_and_the_data_can_be_asked_for() {
    let w = World::start(vec![caller("till", false)]).await;
    let c = w.raw().await;
    let manager = Some("org.payterm.Terminal1.Manager");
    let mut names = std::collections::BTreeMap::new();
    for (n, fault) in faults().into_iter().enumerate() {
        let e = c.call_method(NAME, ROOT, manager, "Recall", &format!("fault-{n}")).await.unwrap_err();
        let zbus::Error::MethodError(name, text, message) = e else { panic!("{e:?}") };
        assert_eq!(message.body().signature().to_string_no_parens(), "s");
        assert_eq!(text.as_deref(), Some(fault.to_string().as_str()));
        assert_eq!(name.as_str(), format!("{}{}", payterm_dbus::ERROR_PREFIX, fault.name()));
        let last = c.call_method(NAME, ROOT, manager, "LastFault", &()).await.unwrap();
        let last: HashMap<String, OwnedVariant> = last.body().deserialize().unwrap();
        assert_eq!(*last["fault"], Variant::from(fault.name()));
        names.insert(fault.name(), ());
    }
    assert!(names.contains_key("JournalRestored") && names.contains_key("RequestLost"));
    let mute = w.raw().await;
    let none = mute.call_method(NAME, ROOT, manager, "LastFault", &()).await.unwrap();
    assert!(
        none.body().deserialize::<HashMap<String, OwnedVariant>>().unwrap().is_empty(),
        "of another connection"
    );
}

/// What the bus itself has a name for has that name.
#[tokio::test]
async fn the_names_of_the_bus_are_used() {
    let w = World::start(vec![caller("till", false)]).await;
    let c = w.raw().await;
    let manager = "org.payterm.Terminal1.Manager";
    let foreign = path(&key("other", "secret-1"));
    let set = c.call_method(NAME, ROOT, Some(PROPERTIES), "Set", &(manager, "Shop", Variant::U8(1))).await;
    let device = "/org/payterm/Terminal1/device/none";
    let calls = [
        ("PropertyReadOnly", set),
        ("UnknownProperty", c.call_method(NAME, ROOT, Some(PROPERTIES), "Get", &(manager, "Theft")).await),
        ("UnknownInterface", c.call_method(NAME, ROOT, Some(PROPERTIES), "GetAll", &"org.x.Y").await),
        ("UnknownObject", c.call_method(NAME, foreign.as_str(), Some(TRANSACTION), "Cancel", &()).await),
        (
            "UnknownObject",
            c.call_method(NAME, foreign.as_str(), Some(PROPERTIES), "GetAll", &TRANSACTION).await,
        ),
        (
            "UnknownObject",
            c.call_method(NAME, device, Some(PROPERTIES), "GetAll", &"org.payterm.Terminal1.Device").await,
        ),
        ("UnknownMethod", c.call_method(NAME, ROOT, Some(manager), "Steal", &()).await),
        ("InvalidArgs", c.call_method(NAME, ROOT, Some(manager), "Start", &"sale").await),
    ];
    for (name, answer) in calls {
        let error = answer.unwrap_err();
        let zbus::Error::FDO(e) = &error else { panic!("{name}: {error:?}") };
        assert_eq!(zbus::DBusError::name(&**e).as_str(), format!("org.freedesktop.DBus.Error.{name}"));
    }
}

/// GLib, and all that is built on it, shows the text.
#[tokio::test]
async fn gdbus_and_busctl_show_name_and_text() {
    let w = World::start(vec![caller("till", false)]).await;
    let manager = "org.payterm.Terminal1.Manager";
    let address = w.bus.address.clone();
    let gdbus = async |member: &str, rest: &[&str]| {
        let mut c = std::process::Command::new("gdbus");
        c.args(["call", "--address", &address, "--dest", "org.payterm.Terminal1", "--object-path", ROOT]);
        c.args(["--method", &format!("{manager}.{member}")]).args(rest);
        let o = tokio::task::spawn_blocking(move || c.output()).await.unwrap();
        out(&o.expect("gdbus is installed (packaging/setup.sh)"))
    };
    let said = gdbus("Recall", &["none"]).await;
    assert!(said.contains("org.payterm.Terminal1.Error.NotFound: transaction none: not found"), "{said}");
    let sale = "{'id': <'g-1'>, 'kind': <'sale'>, 'amount': <uint32 12>, 'currency': <'CNY'>}";
    let said = gdbus("Start", &[sale]).await;
    assert!(said.contains("Error.Invalid: amount: a string is needed, not D-Bus type u"), "{said}");
    let call = ["call", "org.payterm.Terminal1", ROOT, manager];
    let said = out(&w.bus.busctl(&[&call[..], &["Recall", "s", "none"]].concat()).await);
    assert!(said.contains("transaction none: not found"), "{said}");
    // Counts are what their names say.
    let shown = out(&w.bus.busctl(&[&call[..], &["Recall", "s", "other/secret-1"]].concat()).await);
    assert!(shown.contains("not found"), "{shown}");
    gdbus("Start", &["{'id': <'g-2'>, 'kind': <'sale'>, 'amount': <'12.34'>, 'currency': <'CNY'>}"]).await;
    let shown = out(&w.bus.busctl(&[&call[..], &["Recall", "s", "g-2"]].concat()).await);
    assert!(
        shown.contains("\"stan\" u 118") && shown.contains("\"batch\" u 7") && shown.contains("\"txn\" t 2"),
        "{shown}"
    );
}

/// A real second user. Only root can become one; the same rules with one user are in the other tests.
#[tokio::test]
async fn another_user_is_another_app() {
    if me() != 0 {
        return;
    }
    const NOBODY: u32 = 65534;
    let second = payterm_schema::config::CallerConfig { uid: NOBODY, ..caller("kiosk", false) };
    let w = World::start(vec![caller("till", false), second]).await;
    let client = w.client().await;
    let k = client.start(&nobody(), request("private")).await.unwrap();
    let as_user = async |uid: u32, arguments: &[&str]| out(&w.bus.busctl_as(uid, uid, arguments).await);
    let manager = ["call", "org.payterm.Terminal1", ROOT, "org.payterm.Terminal1.Manager"];
    let started = as_user(
        NOBODY,
        &[
            &manager[..],
            &[
                "Start", "a{sv}", "4", "id", "s", "private", "kind", "s", "sale", "amount", "s", "1",
                "currency", "s", "CNY",
            ],
        ]
        .concat(),
    )
    .await;
    assert!(
        started.contains("/transaction/kiosk/private"),
        "the same id of another app is another request: {started}"
    );
    assert!(
        as_user(NOBODY, &[&manager[..], &["Recall", "s", &path(&k)]].concat()).await.contains("not found")
    );
    assert!(
        as_user(NOBODY, &[&manager[..], &["Cancel", "o", &path(&k)]].concat()).await.contains("not found")
    );
    let seen = as_user(NOBODY, &["tree", "org.payterm.Terminal1"]).await
        + &as_user(NOBODY, &[&manager[..], &["List", "a{sv}", "0"]].concat()).await;
    assert!(seen.contains("kiosk") && !seen.contains("till"), "{seen}");
    let unmapped = as_user(1, &[&manager[..], &["List", "a{sv}", "0"]].concat()).await;
    assert!(unmapped.contains("bus.caller"), "{unmapped}");
}
