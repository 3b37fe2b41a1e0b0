//! Rows: an interface is a table of methods, properties and signals. The committed XML, introspection, the
//! dispatch of calls and the client are made from the rows, and each method is one row ([`methods!`]).
use crate::{
    link::Link,
    peer::Peer,
    types::{Answer, Gives},
};
use payterm_schema::{Caller, Fault, RequestKey, Terminal};
use std::{fmt::Write, future::Future, pin::Pin, sync::Arc};
use zbus::Variant;

/// Name and D-Bus signature of an argument.
pub type Argument = (&'static str, &'static str);

/// Callers that may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// Everybody who can connect, also a user without a row in the configuration.
    Anybody,
    /// Every app of the configuration.
    Apps,
    /// Every app whose kinds and limit allow the request that it starts.
    Starters,
    Managers,
    /// Managers; the supervisor is asked at the keypad as well.
    Supervised,
}

/// Whose transactions a method names or shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Requests that the caller sees: another app's is not found.
    Own,
    /// All; such a method is for managers.
    All,
    Nobodys,
}

/// Time that an answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// The answer comes from memory, the store or one commit.
    Moment,
    /// Devices and lines are tested meanwhile.
    Test,
    /// A customer, operator or printer is waited for: no bound, and nobody waits on when the caller has left.
    Long,
}

/// A call on its way to the terminal: its caller may make it, and sees its object.
pub(crate) struct Asked<'a> {
    pub link: &'a Arc<Link>,
    pub peer: &'a Arc<Peer>,
    pub caller: &'a Caller,
    pub path: &'a str,
    /// Transaction of that path.
    pub object: Option<RequestKey>,
}
impl Asked<'_> {
    pub fn terminal(&self) -> &dyn Terminal {
        &*self.link.face.terminal
    }
    pub fn object(&self) -> Result<&RequestKey, Fault> {
        self.object.as_ref().ok_or_else(|| Fault::not_found("transaction", self.path))
    }
}

type Answering<'a> = Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send + 'a>>;

#[derive(Clone, Copy, Debug)]
pub struct Method {
    pub name: &'static str,
    pub takes: &'static [Argument],
    pub gives: &'static [Argument],
    pub(crate) doc: &'static str,
    pub may: May,
    pub whose: Whose,
    pub patience: Patience,
    pub(crate) run: for<'a> fn(Asked<'a>, &'a [Variant<'a>]) -> Answering<'a>,
}

/// A read-only property. `constant`: it never changes while the daemon runs, so no change is told.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    pub name: &'static str,
    pub signature: &'static str,
    pub constant: bool,
    pub(crate) doc: &'static str,
}
#[derive(Clone, Copy, Debug)]
pub struct Signal {
    pub name: &'static str,
    pub gives: &'static [Argument],
    pub doc: &'static str,
}
#[derive(Clone, Copy, Debug)]
pub struct Interface {
    pub name: &'static str,
    pub methods: &'static [Method],
    pub properties: &'static [Property],
    pub signals: &'static [Signal],
}

pub(crate) const fn signal(name: &'static str, gives: &'static [Argument], doc: &'static str) -> Signal {
    Signal { name, gives, doc }
}

/// Call of a method as the client makes it; its fields are the arguments.
pub(crate) trait Call {
    const INTERFACE: &'static str;
    const METHOD: Method;
    type Gives: Gives;
    fn arguments(self) -> Result<Vec<Answer>, Fault>;
}

impl Method {
    /// The documentation as one line.
    pub fn doc(&self) -> &'static str {
        self.doc.trim()
    }
    /// Refuses a method that shows all apps' transactions to others than managers.
    pub(crate) const fn checked(self) -> Self {
        let managers = matches!(self.may, May::Managers | May::Supervised);
        assert!(managers || !matches!(self.whose, Whose::All), "what is of all apps is for managers");
        self
    }
}

/// Table of an interface's methods. A row is
///
/// ```text
/// /// Documentation, also of the committed XML.
/// Name(argument: Type, ..) -> answer: Type [May, Whose, Patience] |asked| expression;
/// ```
///
/// The types are those of [`crate::types`]; the expression is what the terminal does, with the arguments by
/// their names. `Name { argument, .. }` is the client's call of it.
macro_rules! methods {
    ($interface:ident; $(
        $(#[doc = $doc:literal])+
        $name:ident($($argument:ident: $type:ty),*) $(-> $answer:ident: $gives:ty)?
        [$may:ident, $whose:ident, $patience:ident] |$asked:pat_param| $run:expr;
    )*) => {
        $(
            $(#[doc = $doc])+
            // Some are called by apps only.
            #[allow(dead_code)]
            pub(crate) struct $name {
                $(pub $argument: <$type as $crate::types::Takes>::Sent),*
            }
            impl $crate::row::Call for $name {
                const INTERFACE: &'static str = $interface;
                const METHOD: $crate::row::Method = $crate::row::Method {
                    name: stringify!($name),
                    takes: &[$((stringify!($argument), <$type as $crate::types::Takes>::SIGNATURE)),*],
                    gives: &[$((stringify!($answer), <$gives as $crate::types::Gives>::SIGNATURE))?],
                    doc: concat!($($doc),+),
                    may: $crate::row::May::$may,
                    whose: $crate::row::Whose::$whose,
                    patience: $crate::row::Patience::$patience,
                    run: |asked, arguments| Box::pin(async move {
                        #[allow(unused_mut, unused_variables)]
                        let mut arguments = arguments.iter();
                        $(let $argument = <$type as $crate::types::Takes>::take(
                            stringify!($argument),
                            arguments.next(),
                            asked.caller,
                        )?;)*
                        let $asked = asked;
                        let given: Result<
                            <$crate::row::given!($($gives)?) as $crate::types::Gives>::Value,
                            payterm_schema::Fault,
                        > = $run;
                        <$crate::row::given!($($gives)?) as $crate::types::Gives>::give(given?)
                    }),
                }
                .checked();
                type Gives = $crate::row::given!($($gives)?);
                fn arguments(self) -> Result<Vec<$crate::types::Answer>, payterm_schema::Fault> {
                    Ok(vec![$(<$type as $crate::types::Takes>::send(self.$argument)?),*])
                }
            }
        )*
        pub(crate) const METHODS: &[$crate::row::Method] = &[$(<$name as $crate::row::Call>::METHOD),*];
    };
}
macro_rules! given {
    () => {
        ()
    };
    ($gives:ty) => {
        $gives
    };
}
/// Table of an interface's properties, and `properties`, which reads them all. A row is
/// `/// Text. Name: signature, constant or changes = |of| value;`.
macro_rules! properties {
    (of $of:ty; $(
        $(#[doc = $doc:literal])+
        $name:ident: $signature:literal, $told:ident = |$it:pat_param| $value:expr;
    )*) => {
        pub(crate) const PROPERTIES: &[$crate::row::Property] = &[$(
            $crate::row::Property {
                name: stringify!($name),
                signature: $signature,
                constant: $crate::row::$told,
                doc: concat!($($doc),+),
            }
        ),*];
        pub(crate) fn properties(of: &$of) -> Result<$crate::objects::Properties, payterm_schema::Fault> {
            Ok(std::collections::BTreeMap::from([$(
                (stringify!($name), { let $it = of; zbus::Variant::from($value) })
            ),*]))
        }
        /// The properties that change.
        #[allow(dead_code)]
        pub(crate) fn changing(of: &$of) -> Result<$crate::objects::Properties, payterm_schema::Fault> {
            let mut all = properties(of)?;
            all.retain(|name, _| PROPERTIES.iter().any(|p| p.name == *name && !p.constant));
            Ok(all)
        }
    };
}
pub(crate) use {given, methods, properties};
pub(crate) const CONSTANT: bool = true;
pub(crate) const CHANGES: bool = false;

impl Property {
    /// The text as one line.
    pub fn doc(&self) -> &'static str {
        self.doc.trim()
    }
}

impl Interface {
    /// The `<interface>` element.
    pub fn xml(&self) -> String {
        let mut x = String::new();
        let _ = writeln!(x, "  <interface name=\"{}\">", self.name);
        let doc = |x: &mut String, text: &str| {
            if !text.is_empty() {
                let _ = writeln!(x, "      <annotation name=\"org.gtk.GDBus.DocString\" value=\"{text}\"/>");
            }
        };
        for m in self.methods {
            let _ = writeln!(x, "    <method name=\"{}\">", m.name);
            doc(&mut x, m.doc());
            for (direction, arguments) in [("in", m.takes), ("out", m.gives)] {
                for (name, signature) in arguments {
                    let _ = writeln!(
                        x,
                        "      <arg name=\"{name}\" type=\"{signature}\" direction=\"{direction}\"/>"
                    );
                }
            }
            x.push_str("    </method>\n");
        }
        for p in self.properties {
            let _ =
                writeln!(x, "    <property name=\"{}\" type=\"{}\" access=\"read\">", p.name, p.signature);
            doc(&mut x, p.doc());
            let told = if p.constant { "const" } else { "true" };
            let _ = writeln!(
                x,
                "      <annotation name=\"org.freedesktop.DBus.Property.EmitsChangedSignal\" \
             value=\"{told}\"/>"
            );
            x.push_str("    </property>\n");
        }
        for s in self.signals {
            let _ = writeln!(x, "    <signal name=\"{}\">", s.name);
            doc(&mut x, s.doc);
            for (name, signature) in s.gives {
                let _ = writeln!(x, "      <arg name=\"{name}\" type=\"{signature}\"/>");
            }
            x.push_str("    </signal>\n");
        }
        x.push_str("  </interface>\n");
        x
    }
}
