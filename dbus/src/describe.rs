//! The interfaces as one table: calls are checked against it, introspection and the committed XML are made
//! from it.
use crate::path::ROOT;
use std::fmt::Write;

/// Name and D-Bus signature of an argument.
pub type Argument = (&'static str, &'static str);

#[derive(Clone, Copy, Debug)]
pub struct Method {
    pub name: &'static str,
    pub takes: &'static [Argument],
    pub gives: &'static [Argument],
    pub doc: &'static str,
}
/// A read-only property. `constant`: it never changes while the daemon runs, so no change is told.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    pub name: &'static str,
    pub signature: &'static str,
    pub constant: bool,
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

const fn method(
    name: &'static str,
    takes: &'static [Argument],
    gives: &'static [Argument],
    doc: &'static str,
) -> Method {
    Method { name, takes, gives, doc }
}
const fn property(name: &'static str, signature: &'static str) -> Property {
    Property { name, signature, constant: false }
}
const fn constant(name: &'static str, signature: &'static str) -> Property {
    Property { name, signature, constant: true }
}
const fn signal(name: &'static str, gives: &'static [Argument], doc: &'static str) -> Signal {
    Signal { name, gives, doc }
}

pub(crate) const MANAGER: &str = "org.payterm.Terminal1.Manager";
pub(crate) const TRANSACTION: &str = "org.payterm.Terminal1.Transaction";
pub(crate) const DEVICE: &str = "org.payterm.Terminal1.Device";
pub(crate) const QUEUE: &str = "org.payterm.Terminal1.Queue";
pub(crate) const OPERATORS: &str = "org.payterm.Terminal1.Operators";
pub(crate) const BATCH: &str = "org.payterm.Terminal1.Batch";
pub(crate) const SETUP: &str = "org.payterm.Terminal1.Setup";
pub(crate) const APPLICATION: &str = "org.payterm.Terminal1.Application";
pub(crate) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
pub(crate) const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";
pub(crate) const PEER: &str = "org.freedesktop.DBus.Peer";
pub(crate) const OBJECT_MANAGER: &str = "org.freedesktop.DBus.ObjectManager";

const REQUEST: &[Argument] = &[("request", "a{sv}")];
const OUTCOME: &[Argument] = &[("outcome", "a{sv}")];
const OPERATOR: &[Argument] = &[("operator", "s")];
const PATH: &[Argument] = &[("transaction", "o")];

/// Every interface served: payterm's own, then the standard ones.
pub const INTERFACES: &[Interface] = &[
    Interface {
        name: MANAGER,
        methods: &[
            method(
                "Start",
                REQUEST,
                PATH,
                "Starts a request; answers when it is durable. The same id with the same content answers the same path and does nothing again.",
            ),
            method(
                "Pay",
                REQUEST,
                OUTCOME,
                "Start and Wait in one call; answers at the latest at the outcome's answer_by, if need be with status unknown.",
            ),
            method(
                "Wait",
                PATH,
                OUTCOME,
                "Answers with the final outcome, or with status unknown at answer_by.",
            ),
            method(
                "WaitFinal",
                PATH,
                OUTCOME,
                "Answers with the final outcome only, however long that takes.",
            ),
            method(
                "Recall",
                &[("request", "s")],
                &[("transaction", "a{sv}")],
                "What became of a request: outcome, phase, can_cancel. Takes an id, an object path, or (managers) app/id.",
            ),
            method("Cancel", PATH, &[], "Cancels while the frame has not left; WrongState afterwards."),
            method(
                "Confirm",
                &[("transaction", "o"), ("yes", "b")],
                &[],
                "Answers the prompt of phase confirming.",
            ),
            method(
                "List",
                &[("filter", "a{sv}")],
                &[("outcomes", "aa{sv}")],
                "The history, newest first, a page at a time: app, kind, status, account, since, until, last4, rrn, stan, before, limit.",
            ),
            method(
                "Explain",
                &[("request", "s")],
                &[("json", "s")],
                "The dispute page as a JSON text: outcome, entries, slips. Takes what Recall takes.",
            ),
            method(
                "Reprint",
                &[("request", "s")],
                &[],
                "Queues a copy of the slip, headed as a duplicate. Takes what Recall takes.",
            ),
            method(
                "ReprintCopy",
                &[("request", "s"), ("copy", "s")],
                &[],
                "As Reprint; copy is merchant or customer.",
            ),
            method(
                "Print",
                &[("id", "s"), ("json", "s")],
                &[("job", "t")],
                "Prints a page or an invoice slip that the app composed, given as a JSON text (paper.schema.json); answers when it is durable. The same id with the same content answers the same job and prints nothing again.",
            ),
            method(
                "OpenDrawer",
                &[("id", "s")],
                &[("job", "t")],
                "Opens the cash drawer at the receipt printer, at once or not at all; answers when that is durable. The same id answers the same job and opens nothing again. Paper and WaitPaper tell what came of it.",
            ),
            method(
                "Paper",
                &[("id", "s")],
                &[("json", "s")],
                "Where such a paper stands, as a JSON text: job, state, problem.",
            ),
            method(
                "WaitPaper",
                &[("id", "s")],
                &[("json", "s")],
                "As Paper, when it is printed, held or given up.",
            ),
            method(
                "Devices",
                &[],
                &[("devices", "aa{sv}")],
                "The devices, in the order of the configuration.",
            ),
            method(
                "Subscribe",
                &[],
                &[],
                "From now on this connection is sent signals. Properties.GetAll and GetManagedObjects do the same.",
            ),
        ],
        properties: &[
            constant("Version", "s"),
            constant("Api", "u"),
            property("Language", "s"),
            constant("Shop", "s"),
            constant("ServicePhone", "s"),
            constant("Test", "b"),
            constant("Accounts", "as"),
            property("Running", "o"),
            property("Screen", "a{sv}"),
            property("Inhibited", "b"),
            property("InhibitReasons", "as"),
        ],
        signals: &[signal(
            "Notice",
            &[("notice", "a{sv}")],
            "Something happened that this caller may know of; key notice tells what.",
        )],
    },
    Interface {
        name: TRANSACTION,
        methods: &[
            method("Cancel", &[], &[], "As Manager.Cancel."),
            method("Confirm", &[("yes", "b")], &[], "As Manager.Confirm."),
            method("Wait", &[], OUTCOME, "As Manager.Wait."),
        ],
        properties: &[
            constant("App", "s"),
            constant("Id", "s"),
            constant("Kind", "s"),
            property("Status", "s"),
            property("Phase", "s"),
            property("CanCancel", "b"),
            property("Outcome", "a{sv}"),
        ],
        signals: &[signal(
            "OutcomeChanged",
            OUTCOME,
            "The outcome is known: final, or unknown and once more when it is final.",
        )],
    },
    Interface {
        name: DEVICE,
        methods: &[],
        properties: &[
            constant("Name", "s"),
            constant("Kind", "s"),
            constant("Driver", "s"),
            property("State", "s"),
            property("Health", "s"),
            property("Restarts", "u"),
            constant("Virtual", "b"),
        ],
        signals: &[],
    },
    Interface {
        name: QUEUE,
        methods: &[
            method("Obligations", &[], &[("obligations", "aa{sv}")], "What frames that left still owe."),
            method("Retry", &[("txn", "t")], &[], "Tries a Stuck obligation again. Managers only."),
            method(
                "Resolve",
                &[("txn", "t"), ("executed", "b"), ("stan", "u"), ("reference", "s")],
                &[],
                "What the acquirer says became of what is Stuck, with their reference; of several frames the one that stands, else 0. Managers only.",
            ),
            method(
                "Forward",
                &[("txn", "t")],
                &[],
                "Has it tried now, or with 0 all that waits. Managers only.",
            ),
            method("Hold", &[("txn", "t")], &[], "Keeps an advice back until it is released. Managers only."),
            method("Release", &[("txn", "t")], &[], "Lets a held advice go. Managers only."),
            method(
                "WriteOff",
                &[("txn", "t"), ("why", "s")],
                &[],
                "The supervisor gives it up: asked at the keypad; answers when that has ended. Managers only.",
            ),
            method(
                "OfflineWhy",
                &[("amount", "s"), ("currency", "s"), ("account", "s")],
                &[("answer", "a{sv}")],
                "Would a sale be accepted while the host cannot be reached, by which rule, limit and exposure? An empty account: the first of the currency.",
            ),
            method("Papers", &[], &[("papers", "aa{sv}")], "Papers that are not printed yet."),
            method(
                "ReleasePaper",
                &[("paper", "t"), ("print", "b")],
                &[],
                "Prints a held paper as a duplicate, or gives it up. Managers only.",
            ),
        ],
        properties: &[],
        signals: &[],
    },
    Interface {
        name: BATCH,
        methods: &[
            method("Totals", &[], &[("totals", "aa{sv}")], "Counts and sums of each account's open batch."),
            method(
                "Report",
                &[("scope", "s")],
                &[("json", "s")],
                "Totals of scope batch or shift by account, organisation, kind and operator, as a JSON text. Managers only.",
            ),
            method(
                "Reconcile",
                &[("account", "s"), ("file", "s")],
                &[("json", "s")],
                "Compares the acquirer's file of a settled batch (CSV, docs/integrator.md) with the journal; answers the differences as a JSON text. account may be empty when there is one only. Managers only.",
            ),
            method(
                "PrintReport",
                &[("scope", "s")],
                &[],
                "Queues that report for printing; a shift's ends the shift. Managers only.",
            ),
        ],
        properties: &[],
        signals: &[],
    },
    Interface {
        name: SETUP,
        methods: &[
            method(
                "SelfTest",
                &[("print", "b")],
                &[("report", "a{sv}")],
                "Tests devices, store, clock, keys and lines now; answers at, verdict and items, in some seconds at most. print: on paper too.",
            ),
            method(
                "LastSelfTest",
                &[],
                &[("report", "a{sv}")],
                "The last report since the daemon started; empty before the first.",
            ),
            method(
                "SetLanguage",
                &[("language", "s")],
                &[],
                "Managers: zh-CN or en, for screens, papers and texts from now on. See Manager.Language.",
            ),
            method(
                "SupportBundle",
                &[],
                &[("archive", "ay")],
                "Managers: a tar.gz for customer service, at most 2 MiB, without keys and card data.",
            ),
        ],
        properties: &[],
        signals: &[],
    },
    Interface {
        name: OPERATORS,
        methods: &[
            method(
                "LogOn",
                OPERATOR,
                &[],
                "Asks for the operator's password at the keypad; answers when that has ended. Numbers: 99, 00, 01 to 89.",
            ),
            method("LogOff", &[], &[], "Nobody is on duty any more."),
            method(
                "ChangePassword",
                &[],
                &[],
                "Asks the operator on duty for the old and the new password at the keypad.",
            ),
            method(
                "Add",
                OPERATOR,
                &[],
                "A new cashier, whose first password is typed at the keypad. Managers only; asks for the supervisor.",
            ),
            method("Remove", OPERATOR, &[], "Removes a cashier. Managers only; asks for the supervisor."),
            method("Unlock", OPERATOR, &[], "Unlocks a cashier. Managers only; asks for the supervisor."),
            method(
                "EndRecovery",
                &[],
                &[],
                "The restored journal is reconciled with the acquirer: payments go on. Managers only; asks for the supervisor where there are operators.",
            ),
            method(
                "List",
                &[],
                &[("operators", "a{sv}")],
                "Who there is, who is on duty, who is locked; required, and the lock of the terminal with its challenge.",
            ),
        ],
        properties: &[constant("Required", "b"), property("OnDuty", "s"), property("Locked", "b")],
        signals: &[],
    },
    Interface {
        name: APPLICATION,
        methods: &[
            method(
                "Offer",
                &[],
                &[("json", "s")],
                "What the acquirer offers to who applies for a terminal, with the hash that Accept takes. Managers only, as all of this interface.",
            ),
            method("SetDraft", &[("json", "s")], &[], "Fills the application in, anew each time."),
            method("Accept", &[("hash", "s")], &[], "Accepts the offer with this hash."),
            method(
                "Submit",
                &[],
                &[],
                "Sends the application; answers when that is durable. It is repeated until the acquirer has it.",
            ),
            method("State", &[], &[("json", "s")], "How far the application is."),
            method("Refresh", &[], &[], "Asks the acquirer now."),
            method(
                "Activate",
                &[],
                &[],
                "Fetches parameters and master key of an approved application and starts the terminal anew with them.",
            ),
        ],
        properties: &[],
        signals: &[],
    },
    Interface {
        name: PROPERTIES,
        methods: &[
            method("Get", &[("interface_name", "s"), ("property_name", "s")], &[("value", "v")], ""),
            method("Set", &[("interface_name", "s"), ("property_name", "s"), ("value", "v")], &[], ""),
            method("GetAll", &[("interface_name", "s")], &[("properties", "a{sv}")], ""),
        ],
        properties: &[],
        signals: &[signal(
            "PropertiesChanged",
            &[("interface_name", "s"), ("changed_properties", "a{sv}"), ("invalidated_properties", "as")],
            "",
        )],
    },
    Interface {
        name: INTROSPECTABLE,
        methods: &[method("Introspect", &[], &[("xml_data", "s")], "")],
        properties: &[],
        signals: &[],
    },
    Interface {
        name: PEER,
        methods: &[method("Ping", &[], &[], ""), method("GetMachineId", &[], &[("machine_uuid", "s")], "")],
        properties: &[],
        signals: &[],
    },
    Interface {
        name: OBJECT_MANAGER,
        methods: &[method("GetManagedObjects", &[], &[("objects", "a{oa{sa{sv}}}")], "")],
        properties: &[],
        signals: &[
            signal("InterfacesAdded", &[("object", "o"), ("interfaces_and_properties", "a{sa{sv}}")], ""),
            signal("InterfacesRemoved", &[("object", "o"), ("interfaces", "as")], ""),
        ],
    },
];

const STANDARD: [&str; 3] = [PROPERTIES, INTROSPECTABLE, PEER];

/// Names of the interfaces at an object path, by its kind alone.
pub(crate) fn interfaces_at(path: &str) -> &'static [&'static str] {
    let Some(rest) = path.strip_prefix(ROOT) else { return &[] };
    match rest.split('/').collect::<Vec<_>>()[..] {
        [""] => &[MANAGER, QUEUE, BATCH, OPERATORS, SETUP, APPLICATION, OBJECT_MANAGER],
        ["", "device", _] => &[DEVICE],
        ["", "transaction", _, _] => &[TRANSACTION],
        _ => &[],
    }
}

pub(crate) fn interface(name: &str) -> Option<&'static Interface> {
    INTERFACES.iter().find(|i| i.name == name)
}

/// The method that a call means; without an interface the first of that name, as D-Bus allows.
pub(crate) fn find_method(
    path: &str,
    interface: Option<&str>,
    member: &str,
) -> Option<(&'static str, &'static Method)> {
    let mut served =
        interfaces_at(path).iter().chain(&STANDARD).filter(|n| interface.is_none_or(|i| i == **n));
    served.find_map(|n| {
        INTERFACES.iter().find(|i| i.name == *n)?.methods.iter().find(|m| m.name == member).map(|m| (*n, m))
    })
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
            doc(&mut x, m.doc);
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
            let told = if p.constant { "const" } else { "true" };
            let _ = writeln!(
                x,
                "      <annotation name=\"org.freedesktop.DBus.Property.EmitsChangedSignal\" value=\"{told}\"/>"
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

/// The introspection document of an object with these children.
pub(crate) fn introspection(path: &str, children: &[String]) -> String {
    let mut x = String::from(
        "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n<node>\n",
    );
    for i in interfaces_at(path).iter().chain(&STANDARD).filter_map(|n| interface(n)) {
        x.push_str(&i.xml());
    }
    for c in children {
        let _ = writeln!(x, "  <node name=\"{c}\"/>");
    }
    x.push_str("</node>\n");
    x
}
