//! A fault on the bus: `org.payterm.Terminal1.Error.<Fault::name>` with two strings, the text for people and
//! the fault as JSON.
use payterm_schema::Fault;

/// Prefix of the error names.
pub const ERROR_PREFIX: &str = "org.payterm.Terminal1.Error.";

/// Error name and arguments of a fault.
pub(crate) fn reply_of(fault: &Fault) -> (String, (String, String)) {
    (
        format!("{ERROR_PREFIX}{}", fault.name()),
        (fault.to_string(), serde_json::to_string(fault).unwrap_or_default()),
    )
}

/// The fault in an error reply. Every other failure of a call is [`Fault::Unreachable`], but a refusal by the
/// bus policy ([`Fault::NotAllowed`]).
pub fn fault_of(error: zbus::Error) -> Fault {
    let unreachable = |cause: String| Fault::Unreachable { cause };
    if let zbus::Error::MethodError(name, text, message) = &error
        && name.as_str().starts_with(ERROR_PREFIX)
    {
        let parsed = message
            .body()
            .deserialize::<(String, String)>()
            .ok()
            .and_then(|(_, json)| serde_json::from_str(&json).ok());
        return parsed
            .unwrap_or_else(|| unreachable(format!("{name}: {}", text.as_deref().unwrap_or_default())));
    }
    if let zbus::Error::FDO(e) = &error
        && let zbus::fdo::Error::AccessDenied(text) = &**e
    {
        return Fault::NotAllowed { rule: format!("bus policy: {text}") };
    }
    unreachable(error.to_string())
}
