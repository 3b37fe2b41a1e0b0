//! The closed enums of the schema as words.
use crate::Texts;
use payterm_schema::{
    DeviceKind, DeviceState, InhibitReason, Kind, Phase, Status,
    config::PlainLine,
    device::Confirm,
    host::{EntryMode, Wallet},
    offline::{OfflineAuthority, OfflineRule},
    onboarding::{Problem, Product, Stage},
    operator::{Purpose, Role},
    outcome::{Authority, Class},
    paper::{PaperKind, PaperState},
    record::ObligationState,
    selftest::{Part, Verdict},
};

/// A value that has a text `<prefix>-<name>`.
pub trait Word: Copy + 'static {
    /// Every value, for tests and help pages.
    const ALL: &'static [Self];
    /// Id of its text, e.g. `status-approved`.
    fn id(self) -> &'static str;
}

macro_rules! words {
    ($($type:ident { $($variant:ident => $id:literal),+ $(,)? })+) => {$(
        impl Word for $type {
            const ALL: &'static [Self] = &[$($type::$variant),+];
            fn id(self) -> &'static str {
                match self { $($type::$variant => $id),+ }
            }
        }
    )+};
}

impl Word for Part {
    const ALL: &'static [Self] = Part::ALL;
    #[allow(clippy::wildcard_enum_match_arm, reason = "every other part is a device")]
    fn id(self) -> &'static str {
        match self {
            Part::Store => "part-store",
            Part::Clock => "part-clock",
            Part::Keys => "part-keys",
            Part::HostLink => "part-host_link",
            device => device.device().map_or("", Word::id),
        }
    }
}

words! {
    Stage {
        Draft => "stage-draft", Submitted => "stage-submitted", InReview => "stage-in_review",
        Approved => "stage-approved", Rejected => "stage-rejected", Activated => "stage-activated",
    }
    Product { Card => "product-card", Scan => "product-scan" }
    Problem {
        Unreachable => "apply-problem-unreachable", Untrusted => "apply-problem-untrusted",
        Refused => "apply-problem-refused",
        TooLong => "apply-problem-too_long", Malformed => "apply-problem-malformed",
        Signature => "apply-problem-signature",
        NotForUs => "apply-problem-not_for_us", Keys => "apply-problem-keys",
    }
    Status {
        Running => "status-running", Approved => "status-approved", Declined => "status-declined",
        Cancelled => "status-cancelled", Failed => "status-failed", Unknown => "status-unknown",
    }
    Kind {
        Sale => "kind-sale", Void => "kind-void", Refund => "kind-refund", Balance => "kind-balance",
        PreAuth => "kind-pre_auth", PreAuthCancel => "kind-pre_auth_cancel", Completion => "kind-completion",
        CompletionAdvice => "kind-completion_advice", CompletionCancel => "kind-completion_cancel",
        TipAdjust => "kind-tip_adjust", VoiceSale => "kind-voice_sale", Parameters => "kind-parameters",
        StatusUpload => "kind-status_upload",
        Settlement => "kind-settlement",
        SignIn => "kind-sign_in", SignOff => "kind-sign_off", Echo => "kind-echo",
    }
    Phase {
        Started => "phase-started", Approving => "phase-approving", Confirming => "phase-confirming",
        Preparing => "phase-preparing", Presenting => "phase-presenting",
        PinEntry => "phase-pin_entry", Sending => "phase-sending", Ended => "phase-ended",
    }
    EntryMode {
        Manual => "entry-manual", Swipe => "entry-swipe", Code => "entry-code",
        Chip => "entry-chip", Contactless => "entry-contactless",
    }
    Role { Cashier => "role-cashier", Supervisor => "role-supervisor", Administrator => "role-administrator" }
    Purpose {
        LogOn => "purpose-log_on", Change => "purpose-change", Manage => "purpose-manage",
        Approve => "purpose-approve", WriteOff => "purpose-write_off",
        New => "purpose-new", NewAgain => "purpose-new_again",
    }
    Wallet { Wechat => "wallet-wechat", Alipay => "wallet-alipay", Unionpay => "wallet-unionpay" }
    Authority {
        Host => "authority-host", Card => "authority-card", Merchant => "authority-merchant", Voice =>
        "authority-voice",
    }
    OfflineAuthority {
        Card => "offline_authority-card", CardUnableOnline => "offline_authority-card_unable_online", Voice =>
        "offline_authority-voice", Merchant => "offline_authority-merchant",
    }
    PlainLine { Private => "plain_line-private" }
    OfflineRule {
        Off => "offline-off", Profile => "offline-profile", Settlement => "offline-settlement",
        Kind => "offline-kind", Instrument => "offline-instrument", Chip => "offline-chip",
        Pin => "offline-pin", Expired => "offline-expired", Listed => "offline-listed",
        Refused => "offline-refused", Reversal => "offline-reversal",
        Clock => "offline-clock", Contact => "offline-contact", Transaction => "offline-transaction",
        CardCount => "offline-card_count",
        CardSum => "offline-card_sum", TotalCount => "offline-total_count", TotalSum => "offline-total_sum",
    }
    Class { A => "class-a", B => "class-b", C => "class-c", D => "class-d", E => "class-e", P => "class-p" }
    DeviceKind {
        MagneticReader => "device-magnetic_reader", ChipReader => "device-chip_reader",
        ContactlessReader => "device-contactless_reader",
        Scanner => "device-scanner", Keypad => "device-keypad", PinPad => "device-pin_pad",
        Display => "device-display", Printer => "device-printer",
    }
    DeviceState {
        Opening => "device-state-opening", Idle => "device-state-idle", Busy => "device-state-busy",
        Degraded => "device-state-degraded", Failed => "device-state-failed",
    }
    ObligationState { Armed => "obligation-armed", Due => "obligation-due", Stuck => "obligation-stuck" }
    PaperKind {
        MerchantCopy => "paper-merchant_copy", CustomerCopy => "paper-customer_copy",
        UnknownSlip => "paper-unknown_slip",
        StuckSlip => "paper-stuck_slip", BalanceSlip => "paper-balance_slip",
        SelfTestSlip => "paper-self_test_slip",
        TotalsReport => "paper-totals_report", ShiftReport => "paper-shift_report",
        SettlementReport => "paper-settlement_report", Page => "paper-page",
        InvoiceSlip => "paper-invoice_slip",
        OnboardingSlip => "paper-onboarding_slip", Drawer => "paper-drawer",
    }
    Confirm { ProcessId => "confirms-process_id", Status => "confirms-status", None => "confirms-none" }
    Verdict { Passed => "verdict-passed", Degraded => "verdict-degraded", Failed => "verdict-failed" }
    InhibitReason {
        Payment => "inhibit-payment", Unknown => "inhibit-unknown", Obligation => "inhibit-obligation",
        Queue => "inhibit-queue",
        Settlement => "inhibit-settlement", Stuck => "inhibit-stuck", Restoring => "inhibit-restoring",
    }
    PaperState {
        Waiting => "paper-state-waiting", Printing => "paper-state-printing", Done => "paper-state-done", Held
        => "paper-state-held", GivenUp => "paper-state-given_up",
    }
}

impl Texts {
    /// The word of a status, kind, phase, entry mode, wallet, way, device kind or state, obligation state,
    /// paper ...
    pub fn word(self, value: impl Word) -> String {
        self.get(value.id(), &[])
    }
    /// Name of a card scheme or wallet, where there is one for the code of the host or the report.
    pub(crate) fn scheme_name(self, code: &str) -> String {
        let known = ["scheme", "wallet"].into_iter().find_map(|p| self.find(&format!("{p}-{code}"), &[]));
        known.unwrap_or_else(|| code.to_owned())
    }
    /// Name of an issuer by the first four digits of its number, where there is one.
    pub(crate) fn issuer_name(self, code: &str) -> String {
        let known = code.get(..4).and_then(|bank| self.find(&format!("issuer-{bank}"), &[]));
        known.unwrap_or_else(|| code.to_owned())
    }
}
