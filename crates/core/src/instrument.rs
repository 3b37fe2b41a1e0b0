//! Checks of what the customer presents, before the host hears of it, and the choice of the account.
use crate::{AccountSettings, Settings};
use payterm_schema::{
    CardToken, Instrument, Kind, Money, PaymentCode, Request,
    config::RouteConfig,
    host::{CardSecrets, EntryMode, Wallet},
    outcome::Chip,
};

/// An instrument that passed the checks.
#[derive(Clone, Debug)]
pub struct Presented {
    pub mode: EntryMode,
    pub wallet: Option<Wallet>,
    /// First six and last four digits, or a code's first two and last four.
    pub masked: String,
    /// F14, for typed numbers only: a swipe's expiry is sent within its track, not judged.
    pub expiry: Option<String>,
    /// The stripe says that the card has a chip (service code 2.. or 6.., ISO/IEC 7813).
    pub chip: bool,
    /// Its stripe is taken since its chip could not be read.
    pub fallback: bool,
    /// Its expiry as the stripe has it: an advice, which has no track, carries it.
    pub on_card: Option<String>,
    /// The card without its number.
    pub card: Option<CardToken>,
    /// A chip card as slips show it, with its last cryptogram so far.
    pub shown: Option<Box<Chip>>,
    pub secrets: CardSecrets,
}

/// Text id of why an instrument was not taken; the customer may present another.
pub type Problem = &'static str;

/// Which wallet a payment code belongs to (host-protocol §8): WeChat 18 digits 10-15, Alipay 16 to 24 digits
/// 25-30, UnionPay 19 or 20 digits 62.
pub fn wallet_of(code: &PaymentCode) -> Option<Wallet> {
    let digits = code.reveal();
    let prefix: u32 = digits.get(..2)?.parse().ok()?;
    match (prefix, digits.len()) {
        (10..=15, 18) => Some(Wallet::Wechat),
        (25..=30, 16..=24) => Some(Wallet::Alipay),
        (62, 19 | 20) => Some(Wallet::Unionpay),
        (_, _) => None,
    }
}

/// Judges what a reader gave for this kind.
pub fn check(instrument: Instrument, kind: Kind, settings: &Settings) -> Result<Presented, Problem> {
    match instrument {
        Instrument::Swiped(tracks) => {
            let (pan, on_card, service) = tracks.track2_parts().map_err(|_| "card-unreadable")?;
            let masked = pan.masked();
            let secrets = CardSecrets { pan: Some(pan), tracks: Some(tracks), ..CardSecrets::default() };
            let chip = service.is_some_and(|s| s.starts_with(['2', '6']));
            Ok(Presented {
                mode: EntryMode::Swipe,
                wallet: None,
                masked,
                expiry: None,
                chip,
                fallback: false,
                on_card,
                card: None,
                shown: None,
                secrets,
            })
        }
        Instrument::Inserted => Err("chip-not-supported"),
        Instrument::LeftIn => Err("take-card-out"),
        Instrument::Tapped => Err("tap-not-supported"),
        Instrument::Scanned(_) if !kind.row().code => Err("code-not-for-kind"),
        Instrument::Scanned(code) => {
            let wallet = wallet_of(&code).ok_or("code-unknown")?;
            let masked = code.masked();
            Ok(Presented {
                mode: EntryMode::Code,
                wallet: Some(wallet),
                masked,
                expiry: None,
                chip: false,
                fallback: false,
                on_card: None,
                card: None,
                shown: None,
                secrets: CardSecrets { code: Some(code), ..CardSecrets::default() },
            })
        }
        Instrument::Typed { .. } if !settings.flow.typed_pan => Err("typed-not-allowed"),
        Instrument::Typed { pan, expiry } => {
            if !pan.luhn() {
                return Err("luhn");
            }
            let masked = pan.masked();
            Ok(Presented {
                mode: EntryMode::Manual,
                wallet: None,
                masked,
                expiry: Some(expiry),
                chip: false,
                fallback: false,
                on_card: None,
                card: None,
                shown: None,
                secrets: CardSecrets { pan: Some(pan), ..CardSecrets::default() },
            })
        }
        Instrument::Unreadable { mode: EntryMode::Swipe, why } if why.contains("direction") => {
            Err("card-wrong-way")
        }
        Instrument::Unreadable { mode: EntryMode::Code, .. } => Err("code-unknown"),
        Instrument::Unreadable { .. } => Err("card-unreadable"),
    }
}

/// Accounts that could take this request: of its currency, or the one that it names.
pub fn candidates<'a>(settings: &'a Settings, request: &Request) -> Vec<&'a AccountSettings> {
    let fits = |a: &&AccountSettings| {
        request.amount.is_none_or(|m| m.currency == a.config.currency)
            && request.account.as_ref().is_none_or(|id| *id == a.config.id)
    };
    settings.accounts.iter().filter(fits).collect()
}

/// The account for this instrument: the first route that matches, else the first candidate that takes the
/// instrument.
pub fn route<'a>(
    settings: &'a Settings,
    request: &Request,
    presented: &Presented,
) -> Option<&'a AccountSettings> {
    let takes = |a: &&AccountSettings| presented.wallet.is_none_or(|w| a.rules.wallets.contains(&w));
    let fitting: Vec<_> = candidates(settings, request).into_iter().filter(takes).collect();
    let by_route = settings
        .routes
        .iter()
        .filter(|r| matches(r, request.amount, presented))
        .find_map(|r| fitting.iter().find(|a| a.config.id == r.account));
    by_route.or(fitting.first()).copied()
}

fn matches(route: &RouteConfig, amount: Option<Money>, presented: &Presented) -> bool {
    let mode = route.modes.is_empty() || route.modes.contains(&presented.mode);
    let wallet = route.wallet.is_none() || route.wallet == presented.wallet;
    let bin =
        route.bin.as_ref().is_none_or(|b| presented.secrets.pan.as_ref().is_some_and(|p| b.contains(p)));
    let currency = route.currency.is_none_or(|c| amount.is_none_or(|m| m.currency == c));
    mode && wallet && bin && currency
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wallets_by_prefix_and_length() {
        let wallet = |c: &str| PaymentCode::parse(c).ok().and_then(|c| wallet_of(&c));
        assert_eq!(wallet("101234567890123456"), Some(Wallet::Wechat));
        assert_eq!(wallet("151234567890123456"), Some(Wallet::Wechat));
        assert_eq!(wallet("161234567890123456"), None);
        assert_eq!(wallet("1012345678901234567"), None, "WeChat codes have 18 digits");
        assert_eq!(wallet("2812345678901234"), Some(Wallet::Alipay));
        assert_eq!(wallet("301234567890123456789012"), Some(Wallet::Alipay));
        assert_eq!(wallet("3112345678901234"), None);
        assert_eq!(wallet("6212345678901234567"), Some(Wallet::Unionpay));
        assert_eq!(wallet("62123456789012345678"), Some(Wallet::Unionpay));
        assert_eq!(wallet("621234567890123456"), None);
    }
}
