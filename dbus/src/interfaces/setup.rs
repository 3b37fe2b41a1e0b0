//! Methods for whoever looks after the terminal.
use crate::{
    row::{Interface, methods},
    types::{Dict, Maybe, Text},
};
use payterm_schema::{SelfTest as Report, config::Language, emv_lists::EmvLists as Lists};

pub(crate) const NAME: &str = "org.payterm.Terminal1.Setup";

pub(crate) const INTERFACE: Interface =
    Interface { name: NAME, methods: METHODS, properties: &[], signals: &[] };

methods! { NAME;
    /// Tests devices, store, clock, keys and lines now; answers at, verdict and items, in some seconds at
    /// most. print: on paper too.
    SelfTest(print: bool) -> report: Dict<Report> [Apps, Nobodys, Test]
        |asked| asked.terminal().self_test(asked.caller, print).await;
    /// The last report since the daemon started; empty before the first.
    LastSelfTest() -> report: Maybe<Report> [Apps, Nobodys, Moment]
        |asked| asked.terminal().last_self_test().await;
    /// Managers: zh-CN or en, for screens, papers and texts from now on. See Manager.Language.
    SetLanguage(language: Text<Language>) [Managers, Nobodys, Moment]
        |asked| asked.terminal().set_language(asked.caller, language).await;
    /// Applications and CA keys of the card kernel, and where each came from; empty without [emv].
    EmvLists() -> lists: Maybe<Lists> [Apps, Nobodys, Moment]
        |asked| asked.terminal().emv_lists().await;
    /// Managers: a tar.gz for customer service, at most 2 MiB, without keys and card data.
    SupportBundle() -> archive: Vec<u8> [Managers, All, Moment]
        |asked| asked.terminal().support_bundle(asked.caller).await;
}
