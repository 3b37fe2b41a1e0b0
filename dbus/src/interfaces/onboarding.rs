//! Applying for a terminal: for managers.
use crate::{
    row::{Interface, methods},
    types::{Json, Text},
};
use payterm_schema::onboarding::{Draft, OfferShown, OnboardingShown, Step};

pub(crate) const NAME: &str = "org.payterm.Terminal1.Onboarding";

pub(crate) const INTERFACE: Interface =
    Interface { name: NAME, methods: METHODS, properties: &[], signals: &[] };

methods! { NAME;
    /// What the acquirer offers to who applies for a terminal, with the hash that Accept takes. Managers
    /// only, as all of this interface.
    Offer() -> json: Json<OfferShown> [Managers, Nobodys, Moment]
        |asked| asked.terminal().offer(asked.caller).await;
    /// Fills the onboarding in, anew each time.
    SetDraft(json: Text<Box<Draft>>) [Managers, Nobodys, Moment]
        |asked| asked.terminal().apply(asked.caller, Step::Draft(json)).await;
    /// Accepts the offer with this hash.
    Accept(hash: String) [Managers, Nobodys, Moment] |asked| {
        let hash = hash.chars().take(64).collect();
        asked.terminal().apply(asked.caller, Step::Accept { hash }).await
    };
    /// Sends the onboarding; answers when that is durable. It is repeated until the acquirer has it.
    Submit() [Managers, Nobodys, Moment]
        |asked| asked.terminal().apply(asked.caller, Step::Submit).await;
    /// How far the onboarding is.
    State() -> json: Json<OnboardingShown> [Managers, Nobodys, Moment]
        |asked| asked.terminal().onboarding(asked.caller).await;
    /// Asks the acquirer now.
    Refresh() [Managers, Nobodys, Moment]
        |asked| asked.terminal().apply(asked.caller, Step::Refresh).await;
    /// Fetches parameters and master key of an approved onboarding and starts the terminal anew with them.
    Activate() [Managers, Nobodys, Moment]
        |asked| asked.terminal().apply(asked.caller, Step::Activate).await;
}
