//! Types of arguments and answers: how each is written on the bus and read from it, on both sides.
use crate::{
    path,
    wire::{self, ANSWER, CALLER, Object},
};
use payterm_schema::{
    AccountId, Caller, Fault, OperatorId, Request, RequestKey, account::Stan, config::Language,
    onboarding::Draft, page::Printable, paper::SlipCopy, request::RequestWire, terminal::Filter,
    totals::Scope,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{any::type_name, fmt, marker::PhantomData};
use zbus::{Message, ObjectPath, Variant};

/// Value of a message.
pub(crate) enum Answer {
    Nothing,
    Value(Variant<'static>),
    Object(Object),
    Objects(Vec<Object>),
}

impl Answer {
    /// The value as one of several arguments: a method that takes a struct takes nothing else.
    pub fn into_value(self) -> Variant<'static> {
        let value = if let Answer::Value(value) = self { Some(value) } else { None };
        assert!(value.is_some(), "a struct is the only argument of its method");
        value.unwrap_or(Variant::Bool(false))
    }
}

/// Type of an argument.
pub(crate) trait Takes {
    const SIGNATURE: &'static str;
    /// Type in which the client has the argument.
    type Sent: Send;
    /// Type in which the terminal is given the argument: what it names is the caller's own.
    type Taken: Send;
    fn send(value: Self::Sent) -> Result<Answer, Fault>;
    /// `field` names it in the fault. The signature was checked before: another type is our own mistake, told
    /// as a fault all the same.
    fn take(field: &str, value: Option<&Variant<'_>>, caller: &Caller) -> Result<Self::Taken, Fault>;
}

/// Type of an answer.
pub(crate) trait Gives {
    const SIGNATURE: &'static str;
    type Value: Send;
    fn give(value: Self::Value) -> Result<Answer, Fault>;
    fn read(message: &Message) -> Result<Self::Value, Fault>;
}

pub(crate) fn unclear(cause: impl fmt::Display) -> Fault {
    Fault::Unreachable { cause: format!("the daemon's answer is not understood: {cause}") }
}
/// The first argument of a reply or signal.
pub(crate) fn value<T: DeserializeOwned>(message: &Message) -> Result<T, Fault> {
    let body = message.body();
    let fields = body.deserialize::<zbus::Structure<'_>>().map_err(unclear)?;
    let first = fields.fields().first().ok_or_else(|| unclear("no value"))?;
    wire::decode("answer", first, ANSWER).map_err(unclear)
}
pub(crate) fn object_path(text: String) -> Variant<'static> {
    Variant::ObjectPath(ObjectPath::from_string_unchecked(text))
}
fn text<'a>(field: &str, value: Option<&'a Variant<'_>>) -> Result<&'a str, Fault> {
    match value {
        Some(Variant::Str(s)) => Ok(s.as_str()),
        Some(Variant::ObjectPath(p)) => Ok(p.as_str()),
        _ => Err(Fault::invalid(field, "a text")),
    }
}

impl Takes for bool {
    const SIGNATURE: &'static str = "b";
    type Sent = bool;
    type Taken = bool;
    fn send(value: bool) -> Result<Answer, Fault> {
        Ok(Answer::Value(Variant::Bool(value)))
    }
    fn take(field: &str, value: Option<&Variant<'_>>, _: &Caller) -> Result<bool, Fault> {
        if let Some(Variant::Bool(b)) = value { Ok(*b) } else { Err(Fault::invalid(field, "true or false")) }
    }
}
impl Takes for u64 {
    const SIGNATURE: &'static str = "t";
    type Sent = u64;
    type Taken = u64;
    fn send(value: u64) -> Result<Answer, Fault> {
        Ok(Answer::Value(Variant::U64(value)))
    }
    fn take(field: &str, value: Option<&Variant<'_>>, _: &Caller) -> Result<u64, Fault> {
        if let Some(Variant::U64(n)) = value { Ok(*n) } else { Err(Fault::invalid(field, "a number")) }
    }
}
impl Takes for String {
    const SIGNATURE: &'static str = "s";
    type Sent = String;
    type Taken = String;
    fn send(value: String) -> Result<Answer, Fault> {
        Ok(Answer::Value(Variant::from(value)))
    }
    fn take(field: &str, value: Option<&Variant<'_>>, _: &Caller) -> Result<String, Fault> {
        text(field, value).map(str::to_owned)
    }
}
/// 0: none is named.
impl Takes for Option<Stan> {
    const SIGNATURE: &'static str = "u";
    type Sent = Option<Stan>;
    type Taken = Option<Stan>;
    fn send(value: Option<Stan>) -> Result<Answer, Fault> {
        Ok(Answer::Value(Variant::U32(value.map_or(0, Stan::get))))
    }
    fn take(_: &str, value: Option<&Variant<'_>>, _: &Caller) -> Result<Option<Stan>, Fault> {
        match value {
            Some(Variant::U32(0)) => Ok(None),
            Some(Variant::U32(n)) if let Some(stan) = Stan::new(*n) => Ok(Some(stan)),
            Some(_) | None => Err(Fault::invalid("stan", "0 to 999999")),
        }
    }
}

/// Object path of a transaction that the caller sees.
pub(crate) struct Path;
impl Takes for Path {
    const SIGNATURE: &'static str = "o";
    type Sent = RequestKey;
    type Taken = RequestKey;
    fn send(key: RequestKey) -> Result<Answer, Fault> {
        Self::give(key)
    }
    fn take(field: &str, value: Option<&Variant<'_>>, caller: &Caller) -> Result<RequestKey, Fault> {
        path::key_of(caller, text(field, value)?)
    }
}
impl Gives for Path {
    const SIGNATURE: &'static str = "o";
    type Value = RequestKey;
    fn give(key: RequestKey) -> Result<Answer, Fault> {
        Ok(Answer::Value(object_path(path::path(&key))))
    }
    fn read(message: &Message) -> Result<RequestKey, Fault> {
        let text: String = value(message)?;
        path::parse(&text).ok_or_else(|| unclear(format!("path {text}")))
    }
}
/// Object path, id of an own request, or (managers) `app/id`, of what the caller sees.
pub(crate) struct Name;
impl Takes for Name {
    const SIGNATURE: &'static str = "s";
    type Sent = String;
    type Taken = RequestKey;
    fn send(name: String) -> Result<Answer, Fault> {
        Ok(Answer::Value(Variant::from(name)))
    }
    fn take(field: &str, value: Option<&Variant<'_>>, caller: &Caller) -> Result<RequestKey, Fault> {
        path::key_of(caller, text(field, value)?)
    }
}

/// Request that the caller may start.
pub(crate) struct Start;
impl Takes for Start {
    const SIGNATURE: &'static str = "a{sv}";
    type Sent = Request;
    type Taken = Request;
    fn send(request: Request) -> Result<Answer, Fault> {
        Object::of(&RequestWire::from(request)).map(Answer::Object)
    }
    fn take(field: &str, value: Option<&Variant<'_>>, caller: &Caller) -> Result<Request, Fault> {
        let value = value.ok_or_else(|| Fault::invalid(field, "is needed"))?;
        let request = Request::try_from(wire::decode::<RequestWire>(field, value, CALLER)?)?;
        caller.may_start(&request)?;
        Ok(request)
    }
}
/// Filter of the history, narrowed to what the caller sees.
pub(crate) struct History;
impl Takes for History {
    const SIGNATURE: &'static str = "a{sv}";
    type Sent = Filter;
    type Taken = Filter;
    fn send(filter: Filter) -> Result<Answer, Fault> {
        Object::of(&filter).map(Answer::Object)
    }
    fn take(field: &str, value: Option<&Variant<'_>>, caller: &Caller) -> Result<Filter, Fault> {
        let value = value.ok_or_else(|| Fault::invalid(field, "is needed"))?;
        caller.own(wire::decode(field, value, CALLER)?)
    }
}

/// Text that stands for one of the schema's words.
pub(crate) trait Word: Sized + Send {
    fn word(self) -> String;
    fn named(field: &str, text: &str) -> Result<Self, Fault>;
}
pub(crate) struct Text<T>(PhantomData<T>);
impl<T: Word> Takes for Text<T> {
    const SIGNATURE: &'static str = "s";
    type Sent = T;
    type Taken = T;
    fn send(value: T) -> Result<Answer, Fault> {
        Ok(Answer::Value(Variant::from(value.word())))
    }
    fn take(field: &str, value: Option<&Variant<'_>>, _: &Caller) -> Result<T, Fault> {
        T::named(field, text(field, value)?)
    }
}
impl Word for Scope {
    fn word(self) -> String {
        self.name().into()
    }
    fn named(field: &str, text: &str) -> Result<Self, Fault> {
        Scope::named(text).ok_or_else(|| Fault::invalid(field, "batch or shift"))
    }
}
impl Word for SlipCopy {
    fn word(self) -> String {
        self.name().into()
    }
    fn named(field: &str, text: &str) -> Result<Self, Fault> {
        SlipCopy::named(text).ok_or_else(|| Fault::invalid(field, "merchant or customer"))
    }
}
impl Word for Language {
    fn word(self) -> String {
        self.tag().into()
    }
    fn named(_: &str, text: &str) -> Result<Self, Fault> {
        text.parse()
    }
}
impl Word for OperatorId {
    fn word(self) -> String {
        self.to_string()
    }
    fn named(_: &str, text: &str) -> Result<Self, Fault> {
        OperatorId::new(text)
    }
}
/// Empty: none is named.
impl Word for Option<AccountId> {
    fn word(self) -> String {
        self.map_or_else(String::new, |a| a.as_str().into())
    }
    fn named(field: &str, text: &str) -> Result<Self, Fault> {
        let account = Some(text).filter(|a| !a.is_empty()).map(AccountId::new).transpose();
        account.map_err(|_| Fault::invalid(field, "1 to 32 characters of a-z 0-9 - _"))
    }
}

/// The longest draft is some 2,000 bytes.
const MAX_DRAFT: usize = 8 * 1024;

impl Word for Box<Draft> {
    fn word(self) -> String {
        serde_json::to_string(&self).unwrap_or_default()
    }
    fn named(field: &str, text: &str) -> Result<Self, Fault> {
        if text.len() > MAX_DRAFT {
            return Err(Fault::invalid(field, "up to 8192 bytes"));
        }
        let draft: Draft = serde_json::from_str(text).map_err(|e| Fault::invalid(field, &e.to_string()))?;
        draft.check()?;
        Ok(Box::new(draft))
    }
}
impl Word for Printable {
    fn word(self) -> String {
        serde_json::to_string(&self).unwrap_or_default()
    }
    fn named(_: &str, text: &str) -> Result<Self, Fault> {
        Printable::parse(text)
    }
}

impl Gives for () {
    const SIGNATURE: &'static str = "";
    type Value = ();
    fn give((): ()) -> Result<Answer, Fault> {
        Ok(Answer::Nothing)
    }
    fn read(_: &Message) -> Result<(), Fault> {
        Ok(())
    }
}
impl Gives for u64 {
    const SIGNATURE: &'static str = "t";
    type Value = u64;
    fn give(value: u64) -> Result<Answer, Fault> {
        Ok(Answer::Value(Variant::U64(value)))
    }
    fn read(message: &Message) -> Result<u64, Fault> {
        value(message)
    }
}
impl Gives for String {
    const SIGNATURE: &'static str = "s";
    type Value = String;
    fn give(value: String) -> Result<Answer, Fault> {
        Ok(Answer::Value(Variant::from(value)))
    }
    fn read(message: &Message) -> Result<String, Fault> {
        value(message)
    }
}
impl Gives for Vec<u8> {
    const SIGNATURE: &'static str = "ay";
    type Value = Vec<u8>;
    fn give(value: Vec<u8>) -> Result<Answer, Fault> {
        Ok(Answer::Value(Variant::from(value)))
    }
    fn read(message: &Message) -> Result<Vec<u8>, Fault> {
        message.body().deserialize().map_err(unclear)
    }
}
/// A struct of the schema, as a dictionary.
pub(crate) struct Dict<T>(PhantomData<T>);
impl<T: Serialize + DeserializeOwned + Send> Gives for Dict<T> {
    const SIGNATURE: &'static str = "a{sv}";
    type Value = T;
    fn give(value: T) -> Result<Answer, Fault> {
        Object::of(&value).map(Answer::Object)
    }
    fn read(message: &Message) -> Result<T, Fault> {
        value(message)
    }
}
/// Several of them.
pub(crate) struct Dicts<T>(PhantomData<T>);
impl<T: Serialize + DeserializeOwned + Send> Gives for Dicts<T> {
    const SIGNATURE: &'static str = "aa{sv}";
    type Value = Vec<T>;
    fn give(values: Vec<T>) -> Result<Answer, Fault> {
        values.iter().map(Object::of).collect::<Result<_, _>>().map(Answer::Objects)
    }
    fn read(message: &Message) -> Result<Vec<T>, Fault> {
        value(message)
    }
}
/// A struct of the schema, as a dictionary; empty when there is none.
pub(crate) struct Maybe<T>(PhantomData<T>);
impl<T: Serialize + DeserializeOwned + Send> Gives for Maybe<T> {
    const SIGNATURE: &'static str = "a{sv}";
    type Value = Option<T>;
    fn give(value: Option<T>) -> Result<Answer, Fault> {
        match value {
            Some(value) => Object::of(&value),
            None => Object::of(&serde_json::json!({})),
        }
        .map(Answer::Object)
    }
    fn read(message: &Message) -> Result<Option<T>, Fault> {
        let found: serde_json::Value = value(message)?;
        if found.as_object().is_some_and(serde_json::Map::is_empty) {
            return Ok(None);
        }
        serde_json::from_value(found).map_err(unclear)
    }
}
/// A JSON text: what nests deeper than a dictionary is pleasant to read.
pub(crate) struct Json<T>(PhantomData<T>);
impl<T: Serialize + DeserializeOwned + Send> Gives for Json<T> {
    const SIGNATURE: &'static str = "s";
    type Value = T;
    fn give(value: T) -> Result<Answer, Fault> {
        let text = serde_json::to_string(&value).map_err(|e| Fault::invalid("answer", &e.to_string()))?;
        Ok(Answer::Value(Variant::from(text)))
    }
    fn read(message: &Message) -> Result<T, Fault> {
        let text: String = value(message)?;
        serde_json::from_str(&text).map_err(unclear)
    }
}
/// A value made here, of the given signature.
macro_rules! raw {
    ($($name:ident $signature:literal;)*) => {$(
        pub(crate) struct $name;
        impl Gives for $name {
            const SIGNATURE: &'static str = $signature;
            type Value = Variant<'static>;
            fn give(value: Variant<'static>) -> Result<Answer, Fault> {
                Ok(Answer::Value(value))
            }
            fn read(_: &Message) -> Result<Variant<'static>, Fault> {
                Err(unclear(type_name::<Self>()))
            }
        }
    )*};
}
raw! {
    Any "v";
    AllProperties "a{sv}";
    AllObjects "a{oa{sa{sv}}}";
}
impl Takes for Any {
    const SIGNATURE: &'static str = "v";
    type Sent = Variant<'static>;
    type Taken = ();
    fn send(value: Variant<'static>) -> Result<Answer, Fault> {
        Ok(Answer::Value(Variant::Variant(Box::new(value))))
    }
    fn take(_: &str, _: Option<&Variant<'_>>, _: &Caller) -> Result<(), Fault> {
        Ok(())
    }
}
