//! The interfaces, a file each: its methods, its properties with their values, its signals.
pub(crate) mod batch;
pub(crate) mod device;
pub(crate) mod manager;
pub(crate) mod onboarding;
pub(crate) mod operators;
pub(crate) mod queue;
pub(crate) mod setup;
pub(crate) mod standard;
pub(crate) mod transaction;

use crate::{
    path::ROOT,
    row::{Interface, Method},
};
use std::fmt::Write;

/// Every interface served: payterm's own, then the standard ones.
pub const INTERFACES: &[Interface] = &[
    manager::INTERFACE,
    transaction::INTERFACE,
    device::INTERFACE,
    queue::INTERFACE,
    batch::INTERFACE,
    setup::INTERFACE,
    operators::INTERFACE,
    onboarding::INTERFACE,
    standard::PROPERTIES_INTERFACE,
    standard::INTROSPECTABLE_INTERFACE,
    standard::PEER_INTERFACE,
    standard::OBJECT_MANAGER_INTERFACE,
];

const STANDARD: [&str; 3] = [standard::PROPERTIES, standard::INTROSPECTABLE, standard::PEER];

/// Names of the interfaces at an object path, by its kind alone.
pub(crate) fn at(path: &str) -> &'static [&'static str] {
    let Some(rest) = path.strip_prefix(ROOT) else { return &[] };
    match rest.split('/').collect::<Vec<_>>()[..] {
        [""] => &[
            manager::NAME,
            queue::NAME,
            batch::NAME,
            operators::NAME,
            setup::NAME,
            onboarding::NAME,
            standard::OBJECT_MANAGER,
        ],
        ["", "device", _] => &[device::NAME],
        ["", "transaction", _, _] => &[transaction::NAME],
        _ => &[],
    }
}

fn named(name: &str) -> Option<&'static Interface> {
    INTERFACES.iter().find(|i| i.name == name)
}

/// The method that a call means; without an interface the first of that name, as D-Bus allows.
pub(crate) fn find(
    path: &str,
    interface: Option<&str>,
    member: &str,
) -> Option<(&'static str, &'static Method)> {
    let mut served = at(path).iter().chain(&STANDARD).filter(|n| interface.is_none_or(|i| i == **n));
    served.find_map(|n| named(n)?.methods.iter().find(|m| m.name == member).map(|m| (*n, m)))
}

/// The introspection document of an object with these children.
pub(crate) fn introspection(path: &str, children: &[String]) -> String {
    let mut x = String::from(
        "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n \
         \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n<node>\n",
    );
    for i in at(path).iter().chain(&STANDARD).filter_map(|n| named(n)) {
        x.push_str(&i.xml());
    }
    for c in children {
        let _ = writeln!(x, "  <node name=\"{c}\"/>");
    }
    x.push_str("</node>\n");
    x
}
