//! The configuration with what the acquirer has granted.
use payterm_schema::{
    config::{BinRange, Config, FlowConfig, TerminalConfig},
    onboarding::{BinLists, Draft, Parameters},
};

/// The configuration with the accounts that an activated terminal was given, and with the shop as it
/// applied where the file names none. What the file says wins.
pub fn with_granted(config: &Config, draft: &Draft, granted: &Parameters) -> Config {
    let mut merged = config.clone();
    let place = &mut merged.terminal;
    if place.shop == TerminalConfig::default().shop {
        place.shop.clone_from(&draft.name);
    }
    if place.address.is_empty() && place.city.is_empty() {
        place.address.clone_from(&draft.address);
        place.city.clone_from(&draft.city);
    }
    for a in &granted.accounts {
        if config.accounts.iter().all(|own| own.id != a.id) {
            merged.accounts.push(a.config(config.tms.as_ref()));
        }
    }
    with_bins(&mut merged.flow, &granted.bins);
    merged
}

fn with_bins(flow: &mut FlowConfig, bins: &BinLists) {
    // `Parameters::check` has judged their form.
    let ranges = |list: &[String]| list.iter().filter_map(|b| BinRange::of(b)).collect::<Vec<_>>();
    flow.refused_bins.extend(ranges(&bins.blocked));
    // Whether small amounts go without a PIN, and up to which, is the shop's own rule; the acquirer says for
    // which cards.
    if let Some(rule) = flow.no_cvm.as_mut().filter(|r| r.bins.is_empty()) {
        rule.bins = ranges(&bins.no_pin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_acquirers_card_lists_are_taken_over() {
        let bins = BinLists { no_pin: vec!["6212".into()], blocked: vec!["40".into()] };
        let range = |text: &str| text.parse::<BinRange>().unwrap();
        let rule = |text: &str| {
            let mut flow = toml::from_str::<Config>(text).unwrap().flow;
            with_bins(&mut flow, &bins);
            flow
        };
        let flow = rule("[flow.no_cvm]\nlimit = \"10.00 CNY\"\n");
        assert_eq!(
            (flow.refused_bins, flow.no_cvm.map(|r| r.bins)),
            (vec![range("40-40")], Some(vec![range("6212-6212")]))
        );
        let flow = rule(
            "[flow]\nrefused_bins = [\"30-39\"]\n[flow.no_cvm]\nlimit = \"10.00 CNY\"\nbins = [\"62-62\"]\n",
        );
        assert_eq!(
            (flow.refused_bins.len(), flow.no_cvm.map(|r| r.bins)),
            (2, Some(vec![range("62-62")])),
            "what the file says wins"
        );
        assert_eq!(rule("").no_cvm, None, "the limit is the shop's");
    }
}
