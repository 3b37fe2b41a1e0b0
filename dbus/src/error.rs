//! A fault on the bus: an error whose name is the decision and whose one text is for people, as every D-Bus
//! program expects it. Where the bus has a name for it, it is that; else
//! `org.payterm.Terminal1.Error.<name>`. The data of a fault is what `Manager.LastFault` answers.
use payterm_schema::Fault;
use zbus::fdo;

/// Prefix of the error names.
pub const ERROR_PREFIX: &str = "org.payterm.Terminal1.Error.";
const BUS_PREFIX: &str = "org.freedesktop.DBus.Error.";

/// Things of the bus itself that [`Fault::NotFound`] and [`Fault::Invalid`] name, and the bus's own name
/// for it.
pub(crate) const OBJECT: &str = "object";
pub(crate) const INTERFACE: &str = "interface";
pub(crate) const PROPERTY: &str = "property";
pub(crate) const WRITABLE: &str = "writable property";
pub(crate) const ARGUMENTS: &str = "arguments";
const BUS_NAMES: [(&str, &str); 5] = [
    (OBJECT, "UnknownObject"),
    (INTERFACE, "UnknownInterface"),
    (PROPERTY, "UnknownProperty"),
    (WRITABLE, "PropertyReadOnly"),
    (ARGUMENTS, "InvalidArgs"),
];

/// Error name and text of a fault.
#[allow(clippy::wildcard_enum_match_arm, reason = "two of the faults have names of the bus's own")]
pub(crate) fn reply_of(fault: &Fault) -> (String, String) {
    let what = match fault {
        Fault::NotFound { what, .. } => what.as_str(),
        Fault::Invalid { field, .. } if field == ARGUMENTS => field,
        _ => "",
    };
    let name = match BUS_NAMES.iter().find(|(named, _)| *named == what) {
        Some((_, name)) => format!("{BUS_PREFIX}{name}"),
        None => format!("{ERROR_PREFIX}{}", fault.name()),
    };
    (name, fault.to_string())
}

/// The fault in an error reply, as far as name and text tell it. Every other failure of a call is
/// [`Fault::Unreachable`], but a refusal by the bus policy ([`Fault::NotAllowed`]).
#[allow(clippy::wildcard_enum_match_arm, reason = "zbus's errors are open")]
pub fn fault_of(error: zbus::Error) -> Fault {
    let unreachable = |cause: String| Fault::Unreachable { cause };
    match &error {
        zbus::Error::MethodError(name, text, _) if let Some(name) = name.strip_prefix(ERROR_PREFIX) => {
            let text = text.as_deref().unwrap_or_default();
            named(name, text).unwrap_or_else(|| unreachable(format!("{name}: {text}")))
        }
        zbus::Error::FDO(e) => match &**e {
            fdo::Error::AccessDenied(text) => Fault::NotAllowed { rule: format!("bus policy: {text}") },
            fdo::Error::UnknownObject(text)
            | fdo::Error::UnknownInterface(text)
            | fdo::Error::UnknownProperty(text)
            | fdo::Error::PropertyReadOnly(text) => not_found(text),
            fdo::Error::InvalidArgs(text) => invalid(text),
            _ => unreachable(error.to_string()),
        },
        _ => unreachable(error.to_string()),
    }
}

fn invalid(text: &str) -> Fault {
    let (field, rule) = text.split_once(": ").unwrap_or((ARGUMENTS, text));
    Fault::invalid(field, rule)
}
fn not_found(text: &str) -> Fault {
    let named = text.strip_suffix(": not found").unwrap_or(text);
    let (what, name) = named.rsplit_once(' ').unwrap_or(("", named));
    Fault::not_found(what, name)
}

/// A fault from its name and text: what only [`Fault`]'s own fields hold is empty.
fn named(name: &str, text: &str) -> Option<Fault> {
    let rule = || text.split_once(": ").map_or(text, |(_, rule)| rule).to_owned();
    Some(match name {
        "Invalid" => invalid(text),
        "Busy" => Fault::Busy { running: None },
        "KeyReused" => Fault::KeyReused { id: String::new() },
        "NotFound" => not_found(text),
        "NotAllowed" => Fault::NotAllowed { rule: rule() },
        "TooLate" => Fault::TooLate { rule: rule() },
        "NotActivated" => Fault::NotActivated,
        "WrongState" => Fault::WrongState { rule: rule() },
        "NoAccount" => Fault::NoAccount { currency: String::new() },
        "Original" => Fault::Original { rule: rule() },
        "NotLoggedOn" => Fault::NotLoggedOn,
        "TerminalLocked" => Fault::TerminalLocked,
        "OperatorLocked" => Fault::OperatorLocked { operator: String::new() },
        "NotDone" => Fault::NotDone { rule: rule() },
        "StoreFailed" => Fault::StoreFailed { id: String::new(), cause: rule() },
        "JournalRestored" => Fault::JournalRestored { id: String::new() },
        "RequestLost" => Fault::RequestLost { id: String::new() },
        "JournalDamaged" => Fault::JournalDamaged { cause: rule() },
        "DiskFull" => Fault::DiskFull { free_mib: 0, needed_mib: 0 },
        "Restarting" => Fault::Restarting { part: "terminal".into() },
        "ShuttingDown" => Fault::ShuttingDown,
        "Unreachable" => Fault::Unreachable { cause: rule() },
        _ => return None,
    })
}
