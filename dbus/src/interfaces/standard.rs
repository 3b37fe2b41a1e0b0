//! The interfaces that every D-Bus service has.
use crate::row::{Interface, signal};

pub(crate) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
pub(crate) const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";
pub(crate) const PEER: &str = "org.freedesktop.DBus.Peer";
pub(crate) const OBJECT_MANAGER: &str = "org.freedesktop.DBus.ObjectManager";

pub(crate) const PROPERTIES_INTERFACE: Interface = Interface {
    name: PROPERTIES,
    methods: properties::METHODS,
    properties: &[],
    signals: &[signal(
        "PropertiesChanged",
        &[("interface_name", "s"), ("changed_properties", "a{sv}"), ("invalidated_properties", "as")],
        "",
    )],
};
pub(crate) const INTROSPECTABLE_INTERFACE: Interface =
    Interface { name: INTROSPECTABLE, methods: introspectable::METHODS, properties: &[], signals: &[] };
pub(crate) const PEER_INTERFACE: Interface =
    Interface { name: PEER, methods: peer::METHODS, properties: &[], signals: &[] };
pub(crate) const OBJECT_MANAGER_INTERFACE: Interface = Interface {
    name: OBJECT_MANAGER,
    methods: object_manager::METHODS,
    properties: &[],
    signals: &[
        signal("InterfacesAdded", &[("object", "o"), ("interfaces_and_properties", "a{sa{sv}}")], ""),
        signal("InterfacesRemoved", &[("object", "o"), ("interfaces", "as")], ""),
    ],
};

pub(crate) mod properties {
    use super::PROPERTIES;
    use crate::{
        error::{PROPERTY, WRITABLE},
        objects::dict,
        row::methods,
        types::{AllProperties, Any},
    };
    use payterm_schema::Fault;
    use zbus::Variant;

    methods! { PROPERTIES;
        /// Value of a property.
        Get(interface_name: String, property_name: String) -> value: Any [Apps, Own, Moment] |asked| {
            let mut all = asked.properties(&interface_name).await?;
            let found = all.remove(property_name.as_str());
            let shown = || property_name.chars().take(64).collect::<String>();
            found
                .map(|value| Variant::Variant(Box::new(value)))
                .ok_or_else(|| Fault::not_found(PROPERTY, &shown()))
        };
        /// Refuses: every property is read-only.
        Set(interface_name: String, property_name: String, value: Any) [Apps, Own, Moment] |_| {
            let ((), _) = (value, interface_name);
            let shown = property_name.chars().take(64).collect::<String>();
            Err(Fault::not_found(WRITABLE, &shown))
        };
        /// All properties of an interface.
        GetAll(interface_name: String) -> properties: AllProperties [Apps, Own, Moment] |asked| {
            asked.peer.follow();
            asked.properties(&interface_name).await.map(dict)
        };
    }
}

pub(crate) mod introspectable {
    use super::INTROSPECTABLE;
    use crate::row::methods;

    methods! { INTROSPECTABLE;
        /// Description of the object as XML.
        Introspect() -> xml_data: String [Apps, Own, Moment] |asked| asked.introspect().await;
    }
}

pub(crate) mod peer {
    use super::PEER;
    use crate::row::methods;
    use payterm_schema::Fault;

    methods! { PEER;
        /// Answers that somebody is there.
        Ping() [Anybody, Nobodys, Moment] |_| Ok(());
        /// Id of the machine.
        GetMachineId() -> machine_uuid: String [Anybody, Nobodys, Moment] |_| {
            let id = std::fs::read_to_string("/etc/machine-id")
                .or_else(|_| std::fs::read_to_string("/var/lib/dbus/machine-id"));
            id.map(|id| id.trim().to_owned()).map_err(|_| Fault::not_found("machine", "id"))
        };
    }
}

pub(crate) mod object_manager {
    use super::OBJECT_MANAGER;
    use crate::{row::methods, types::AllObjects};

    methods! { OBJECT_MANAGER;
        /// The devices and those transactions of the caller that are shown.
        GetManagedObjects() -> objects: AllObjects [Apps, Own, Moment] |asked| {
            asked.peer.follow();
            asked.managed_objects().await
        };
    }
}
