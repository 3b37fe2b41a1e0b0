//! JSON of the schema's types <-> D-Bus values. An object is `a{sv}`; a text `s`; a bool `b`; a whole
//! number `t`, a negative one `x`, a count, STAN or batch `u`; an array of texts `as`, of numbers `at`, of
//! objects `aa{sv}`, any other (and an empty one) `av`. A field that is null is left out. Coming in, every
//! D-Bus integer type, `o` and nested variants are understood; a double is refused: money is never a
//! floating-point number.
use payterm_schema::Fault;
use serde::{Serialize, Serializer, de::DeserializeOwned, ser::SerializeStruct as _};
use serde_json::{Map, Number, Value};
use std::{borrow::Cow, fmt};
use zbus::{Array, Dict, Signature, Str, Structure, Variant};

/// Bounds of a value that comes in.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries of one dictionary or array.
    pub items: usize,
    /// Bytes of one text.
    pub text: usize,
    /// Containers in containers.
    pub depth: usize,
}
/// Limits of what a caller may send.
pub const CALLER: Limits = Limits { items: 64, text: 4096, depth: 4 };
/// Limits of what a client takes from the daemon it trusts.
pub const ANSWER: Limits = Limits { items: 100_000, text: 16 << 20, depth: 24 };

/// A schema value as a D-Bus value; a struct becomes `a{sv}`.
pub fn encode<T: Serialize>(value: &T) -> Result<Variant<'static>, Fault> {
    let json = serde_json::to_value(value).map_err(|e| Fault::invalid("value", &e.to_string()))?;
    to_variant("", json).ok_or_else(unsound)
}

/// A schema's struct, written as `a{sv}` without the tree that a [`Variant`] of it is: what is told of a
/// payment goes this way.
pub struct Object(Value);

impl Object {
    pub fn of<T: Serialize>(value: &T) -> Result<Self, Fault> {
        let json = serde_json::to_value(value).map_err(|e| Fault::invalid("value", &e.to_string()))?;
        if json.is_object() && sound(&json) { Ok(Self(json)) } else { Err(unsound()) }
    }
}
impl zbus::Type for Object {
    const SIGNATURE: &'static Signature =
        <std::collections::HashMap<String, Variant<'_>> as zbus::Type>::SIGNATURE;
}
impl Serialize for Object {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        Plain("", &self.0).serialize(out)
    }
}

fn unsound() -> Fault {
    Fault::invalid("value", "holds a null or a fraction outside an object")
}

/// Every part of it but the nulls of an object has a D-Bus type.
fn sound(json: &Value) -> bool {
    match json {
        Value::Null => false,
        Value::Bool(_) | Value::String(_) => true,
        Value::Number(n) => n.is_u64() || n.is_i64(),
        Value::Array(items) => items.iter().all(sound),
        Value::Object(map) => map.values().all(|v| v.is_null() || sound(v)),
    }
}

/// Fields that hold a count, a STAN or a batch: `u`. All other whole numbers (amounts, times, numbers of
/// transactions and papers) do not fit one.
const COUNTS: [&str; 35] = [
    "agree",
    "aids",
    "atc",
    "attempts",
    "basis_points",
    "batch",
    "card_sequence",
    "count",
    "credit_count",
    "debit_count",
    "digit",
    "digits",
    "first",
    "index",
    "keys",
    "left",
    "lines",
    "more",
    "open_obligations",
    "original_stan",
    "received",
    "records",
    "replaced",
    "restarts",
    "revision",
    "sequence",
    "stan",
    "stuck_more",
    "tries",
    "typed",
    "unpaid_more",
    "certificates",
    "uploaded",
    "width",
    "wrong",
];
fn is_count(field: &str, n: &Number) -> bool {
    COUNTS.contains(&field) && n.as_u64().is_some_and(|n| u32::try_from(n).is_ok())
}

/// The D-Bus type of a field's value that is [`sound`].
fn signature(field: &str, json: &Value) -> Cow<'static, str> {
    match json {
        Value::Bool(_) => "b".into(),
        Value::Number(n) if is_count(field, n) => "u".into(),
        Value::Number(n) if n.is_u64() => "t".into(),
        Value::Number(_) => "x".into(),
        Value::String(_) | Value::Null => "s".into(),
        Value::Object(_) => "a{sv}".into(),
        Value::Array(items) => same(field, items).map_or("av".into(), |s| format!("a{s}").into()),
    }
}
/// The one type of all items, where there is one.
fn same(field: &str, items: &[Value]) -> Option<Cow<'static, str>> {
    let first = signature(field, items.first()?);
    items.iter().all(|i| signature(field, i) == first).then_some(first)
}

/// A value by its own type; with the name of its field.
struct Plain<'a>(&'a str, &'a Value);
impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let field = self.0;
        match self.1 {
            Value::Object(map) => {
                out.collect_map(map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, Boxed(k, v))))
            }
            Value::Array(items) if same(field, items).is_some() => {
                out.collect_seq(items.iter().map(|i| Plain(field, i)))
            }
            Value::Array(items) => out.collect_seq(items.iter().map(|i| Boxed(field, i))),
            Value::Number(n) if is_count(field, n) => {
                out.serialize_u32(n.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or_default())
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Null => self.1.serialize(out),
        }
    }
}

/// A value as a variant: its type before it (the form in which zbus itself writes one).
struct Boxed<'a>(&'a str, &'a Value);
impl Serialize for Boxed<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut both = out.serialize_struct("Variant", 2)?;
        both.serialize_field("signature", &*signature(self.0, self.1))?;
        both.serialize_field("value", &Plain(self.0, self.1))?;
        both.end()
    }
}

/// A D-Bus value as a schema value; `what` names it in the fault.
pub fn decode<T: DeserializeOwned>(what: &str, value: &Variant<'_>, limits: Limits) -> Result<T, Fault> {
    let json = to_json(&Place { name: what, of: None }, value, limits, 0)?;
    // The path to what is wrong is looked for only where something is.
    T::deserialize(&json).or_else(|_| serde_path_to_error::deserialize(&json)).map_err(|e| {
        let (path, text) = (e.path().to_string(), e.inner().to_string());
        match text.strip_prefix("invalid type: ").and_then(|t| t.rsplit_once(", expected ")) {
            Some((_, expected)) => {
                let field = if path == "." { what } else { path.as_str() };
                Fault::invalid(
                    field,
                    &format!("{expected} is needed, not D-Bus type {}", type_at(value, &path)),
                )
            }
            None => invalid_from(what, &text),
        }
    })
}

/// D-Bus type of a field.
#[allow(clippy::wildcard_enum_match_arm, reason = "zbus's values are open")]
fn type_at(value: &Variant<'_>, path: &str) -> String {
    let (field, rest) = path.split_once('.').unwrap_or((path, ""));
    match value {
        Variant::Variant(inner) => type_at(inner, path),
        Variant::Dict(all) if !field.is_empty() => all
            .iter()
            .find(|(k, _)| matches!(k, Variant::Str(k) if k.as_str() == field))
            .map_or_else(|| value.value_signature().to_string(), |(_, v)| type_at(v, rest)),
        _ => value.value_signature().to_string(),
    }
}

/// serde says "unknown field `x`, expected ..." or "missing field `x`": the field it names becomes the
/// fault's.
fn invalid_from(what: &str, text: &str) -> Fault {
    let field = text
        .strip_prefix("unknown field `")
        .or_else(|| text.strip_prefix("missing field `"))
        .and_then(|t| t.split_once('`'));
    let (field, rule) = match field {
        Some((name, _)) if text.starts_with("missing") => (name, "is needed"),
        Some((name, rest)) => (name, rest.trim_start_matches(", ")),
        None => (what, text),
    };
    let rule = if text.starts_with("unknown") { format!("unknown key; {rule}") } else { rule.to_owned() };
    Fault::Invalid { field: field.chars().take(64).collect(), rule: rule.chars().take(400).collect() }
}

fn to_variant(field: &str, json: Value) -> Option<Variant<'static>> {
    Some(match json {
        Value::Null => return None,
        Value::Bool(b) => Variant::Bool(b),
        Value::Number(n) if is_count(field, &n) => Variant::U32(u32::try_from(n.as_u64()?).ok()?),
        Value::Number(n) => match (n.as_u64(), n.as_i64()) {
            (Some(n), _) => Variant::U64(n),
            (None, Some(n)) => Variant::I64(n),
            (None, None) => return None,
        },
        Value::String(s) => Variant::Str(Str::from(s)),
        Value::Array(items) => {
            let items = items.into_iter().map(|i| to_variant(field, i)).collect::<Option<Vec<_>>>()?;
            let same = items
                .first()
                .map(|f| f.value_signature().clone())
                .filter(|s| items.iter().all(|i| i.value_signature() == s));
            let mut out = Array::new(same.as_ref().unwrap_or(&Signature::Variant));
            for i in items {
                out.append(if same.is_some() { i } else { Variant::Variant(Box::new(i)) }).ok()?;
            }
            Variant::Array(out)
        }
        Value::Object(map) => {
            let mut out = Dict::new(&Signature::Str, &Signature::Variant);
            for (k, v) in map.into_iter().filter(|(_, v)| !v.is_null()) {
                let value = Variant::Variant(Box::new(to_variant(&k, v)?));
                out.append(Variant::Str(Str::from(k)), value).ok()?;
            }
            Variant::Dict(out)
        }
    })
}

/// Name of a value that comes in, with those of the values around it: `note`, `note.a`.
struct Place<'a> {
    name: &'a str,
    of: Option<&'a Place<'a>>,
}
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(of) = self.of {
            write!(f, "{of}.")?;
        }
        f.write_str(self.name)
    }
}

fn to_json(place: &Place<'_>, value: &Variant<'_>, limits: Limits, depth: usize) -> Result<Value, Fault> {
    let bad =
        |rule: String| Err(Fault::Invalid { field: place.to_string().chars().take(64).collect(), rule });
    let text = |s: &str| {
        if s.len() > limits.text {
            bad(format!("up to {} bytes", limits.text))
        } else {
            Ok(Value::String(s.into()))
        }
    };
    let inside = |items: usize| match () {
        () if depth >= limits.depth => bad(format!("up to {} containers in one another", limits.depth)),
        () if items > limits.items => bad(format!("up to {} entries", limits.items)),
        () => Ok(Value::Null),
    };
    Ok(match value {
        Variant::U8(n) => Value::Number(Number::from(*n)),
        Variant::I16(n) => Value::Number(Number::from(*n)),
        Variant::U16(n) => Value::Number(Number::from(*n)),
        Variant::I32(n) => Value::Number(Number::from(*n)),
        Variant::U32(n) => Value::Number(Number::from(*n)),
        Variant::I64(n) => Value::Number(Number::from(*n)),
        Variant::U64(n) => Value::Number(Number::from(*n)),
        Variant::Bool(b) => Value::Bool(*b),
        Variant::F64(_) => {
            return bad(
                "no floating-point numbers: write an amount as a decimal text such as \"12.34\"".into()
            );
        }
        Variant::Str(s) => text(s.as_str())?,
        Variant::ObjectPath(p) => text(p.as_str())?,
        Variant::Variant(v) => {
            // Each value of a dictionary is one; how deep they may stand in each other the wire bounds (64).
            to_json(place, v, limits, depth)?
        }
        Variant::Array(a) => {
            inside(a.len())?;
            Value::Array(
                a.inner().iter().map(|v| to_json(place, v, limits, depth + 1)).collect::<Result<_, _>>()?,
            )
        }
        Variant::Dict(d) => {
            inside(d.iter().count())?;
            let mut map = Map::new();
            for (k, v) in d.iter() {
                let Variant::Str(k) = k else { return bad("dictionary keys are texts".into()) };
                if k.len() > limits.text {
                    return bad(format!("keys of up to {} bytes", limits.text));
                }
                let inner = Place { name: k.as_str(), of: (depth > 0).then_some(place) };
                map.insert(k.as_str().into(), to_json(&inner, v, limits, depth + 1)?);
            }
            Value::Object(map)
        }
        Variant::Structure(_) | Variant::Signature(_) | Variant::Fd(_) => {
            return bad(format!("D-Bus type {} has no meaning here", value.value_signature()));
        }
    })
}

/// Values as the arguments of a message.
pub(crate) fn arguments(values: Vec<Variant<'static>>) -> Result<Structure<'static>, zbus::Error> {
    values.into_iter().fold(zbus::wire::StructureBuilder::new(), |b, v| b.append_field(v)).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use payterm_schema::{request::RequestWire, terminal::Filter};
    use std::collections::BTreeMap;

    #[test]
    fn json_survives_the_trip() {
        for json in [
            serde_json::json!({
                "a": "text", "b": true, "n": u64::MAX, "m": i64::MIN, "o": {"x": {"y": {"z": [1, 2]}}},
            }),
            serde_json::json!({
                "as": ["x", "y"], "at": [1, 2], "aa": [{"k": 1}, {"k": "v"}], "av": ["x", 1, true],
                "mixed": [1, -1], "empty": [], "none": {},
            }),
        ] {
            assert_eq!(decode::<Value>("v", &encode(&json).unwrap(), ANSWER).unwrap(), json);
        }
        let gone = encode(&serde_json::json!({"a":null,"b":1})).unwrap();
        assert_eq!(decode::<Value>("v", &gone, ANSWER).unwrap(), serde_json::json!({"b":1}));
        assert!(encode(&1.5).is_err() && encode(&serde_json::json!([null])).is_err());
    }

    /// Names of integers in the schemas of what is told, with their formats.
    fn integers(node: &Value, name: &str, out: &mut BTreeMap<String, Vec<String>>) {
        let kind = |k: &Value| k == "integer" || k.as_array().is_some_and(|a| a.contains(&"integer".into()));
        if node.get("type").is_some_and(kind) {
            out.entry(name.into()).or_default().push(node["format"].as_str().unwrap_or_default().into());
        }
        if let Some(map) = node.as_object() {
            for (k, v) in map {
                let inner = match k.as_str() {
                    "items" | "anyOf" | "oneOf" => name,
                    named => named,
                };
                integers(v, inner, out);
            }
        }
        node.as_array().into_iter().flatten().for_each(|v| integers(v, name, out));
    }

    #[test]
    fn counts_are_those_of_the_schemas() {
        let mut all = BTreeMap::new();
        let told = ["outcome", "notice", "obligation", "paper_job", "batch_totals", "operators", "self_test"];
        for name in told {
            let file = format!("{}/../schema/json/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
            integers(&serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap(), "", &mut all);
        }
        assert!(all.len() > 30, "{all:?}");
        for (name, formats) in &all {
            // The definitions of the schemas themselves.
            if name.starts_with(char::is_uppercase) {
                continue;
            }
            let small = formats.iter().any(|f| matches!(f.as_str(), "uint8" | "uint16" | "uint32"));
            if small || name.ends_with("count") {
                assert!(COUNTS.contains(&name.as_str()), "{name} is missing among the counts");
            }
            assert!(!COUNTS.contains(&name.as_str()) || !formats.iter().any(|f| f == "int64"), "{name}");
        }
        for name in ["stan", "batch", "count"] {
            let one = serde_json::json!({ name: 7, "txn": 7 });
            let Variant::Dict(d) = encode(&one).unwrap() else { panic!() };
            assert_eq!(d.get::<&str, Variant<'_>>(&name).unwrap(), Some(Variant::U32(7)));
            assert_eq!(d.get::<&str, Variant<'_>>(&"txn").unwrap(), Some(Variant::U64(7)));
        }
    }

    #[test]
    fn a_wrong_type_names_field_and_type() {
        let fault = |field: &str, v: Variant<'static>| {
            let all = [("id", Variant::from("a")), ("kind", Variant::from("sale")), (field, v)];
            let all: BTreeMap<String, Variant<'_>> =
                all.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
            decode::<RequestWire>("request", &Variant::from(all), CALLER).unwrap_err().to_string()
        };
        assert_eq!(fault("amount", Variant::U32(12)), "amount: a string is needed, not D-Bus type u");
        assert_eq!(fault("confirm", Variant::from("yes")), "confirm: a boolean is needed, not D-Bus type s");
        assert_eq!(
            fault("original_stan", Variant::from("7")),
            "original_stan: u32 is needed, not D-Bus type s"
        );
    }

    #[test]
    fn an_object_is_written_like_its_tree() {
        let context = zbus::wire::serialized::Context::new(zbus::wire::Endian::Little, 0);
        for json in [
            serde_json::json!({
                "a": "text", "b": true, "n": u64::MAX, "m": i64::MIN, "o": {"x": {"y": {"z": [1, 2]}}},
            }),
            serde_json::json!({"stan":1,"batch":[1,2],"o":{"count":3,"txn":4}}),
            serde_json::json!({
                "as": ["x", "y"], "at": [1, 2], "aa": [{"k": 1}, {"k": null}], "av": ["x", 1, true],
                "aas": [["a"], ["b"]], "mixed": [["a"], [1]], "empty": [], "none": {},
            }),
        ] {
            let object = zbus::wire::to_bytes(context, &Object::of(&json).unwrap()).unwrap();
            assert_eq!(
                *object,
                *zbus::wire::to_bytes(context, &arguments(vec![encode(&json).unwrap()]).unwrap()).unwrap()
            );
        }
        assert!(
            Object::of(&1).is_err()
                && Object::of(&serde_json::json!({"a":1.5})).is_err()
                && Object::of(&serde_json::json!({"a":[null]})).is_err()
        );
    }

    #[test]
    fn every_integer_type_is_taken_and_no_double() {
        for v in [
            Variant::U8(7),
            Variant::I16(7),
            Variant::U16(7),
            Variant::I32(7),
            Variant::U32(7),
            Variant::I64(7),
            Variant::U64(7),
        ] {
            let d = Variant::from(BTreeMap::from([("stan", v)]));
            assert_eq!(decode::<Filter>("filter", &d, CALLER).unwrap().stan.map(|s| s.get()), Some(7));
        }
        let d = Variant::from(BTreeMap::from([
            ("id", Variant::from("a")),
            ("kind", Variant::from("sale")),
            ("amount", Variant::F64(12.34)),
        ]));
        let fault = decode::<RequestWire>("request", &d, CALLER).unwrap_err();
        assert!(
            matches!(
                &fault,
                Fault::Invalid { field, rule } if field == "amount" && rule.contains("decimal text")
            ),
            "{fault:?}"
        );
    }

    #[test]
    fn limits_and_unknown_keys_name_the_field() {
        let fault =
            |json: Value| decode::<RequestWire>("request", &encode(&json).unwrap(), CALLER).unwrap_err();
        let field = |json: Value| {
            let Fault::Invalid { field, .. } = fault(json) else { panic!("not Invalid") };
            field
        };
        assert_eq!(field(serde_json::json!({"id":"a","kind":"sale","tip":"1"})), "tip");
        assert_eq!(field(serde_json::json!({"id":"a"})), "kind");
        assert_eq!(field(serde_json::json!({"id":"a","kind":"sale","note":"x".repeat(4097)})), "note");
        assert_eq!(field(serde_json::json!({"note":{"a":{"b":{"c":{"d":1}}}}})), "note.a.b.c");
        let many: Map<String, Value> = (0..65).map(|i| (format!("k{i}"), Value::from(1))).collect();
        assert_eq!(field(Value::Object(many)), "request");
    }
}
