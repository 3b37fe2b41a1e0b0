//! Chip cards at the counter, and the settlement that tells their certificates.
use super::{Counter, PIN, SOON, expect, sale};
use payterm_schema::{Outcome, Status, card::Interface, host::EntryMode, request::RequestWire};
use payterm_tests::real::{
    demo_cards::ChipReaders,
    stack::{Result, Stack, until},
};
use serde_json::Value;
use std::time::Duration;

impl Counter {
    /// A sale with a test card, which is inserted or tapped when it is asked for, and taken away in the end.
    async fn by_chip(
        &mut self,
        readers: &mut ChipReaders,
        (id, amount): (&str, &str),
        (persona, way): (&str, Interface),
        pin: bool,
    ) -> Result<Outcome> {
        self.act = Some(
            match way {
                Interface::Contact => self.asks("插卡:", "inserts the card "),
                Interface::Contactless => self.asks("挥卡:", "taps the card "),
            } + persona,
        );
        let mut held = None;
        let o = self
            .pay(sale(id, amount), |h| {
                h.wait_screen(amount, Duration::from_secs(10))?;
                held = Some(readers.present(persona, way)?);
                if pin {
                    h.pin(PIN, SOON)?;
                }
                Ok(())
            })
            .await?;
        readers.take(persona, held.ok_or("no card")?)?;
        let entry = match way {
            Interface::Contact => EntryMode::Chip,
            Interface::Contactless => EntryMode::Contactless,
        };
        if (o.entry, o.pin) != (Some(entry), pin) {
            return Err(format!("{persona}: {:?}, PIN {}", o.entry, o.pin).into());
        }
        // The card was authenticated by its CA key: no bit of the first byte says otherwise.
        let chip = o.chip.as_deref().ok_or("no chip data")?;
        if way == Interface::Contact && !chip.tvr.as_deref().is_some_and(|tvr| tvr.starts_with("00")) {
            return Err(format!("{persona}: TVR {:?}", chip.tvr).into());
        }
        Ok(o)
    }

    /// Chip cards: inserted, tapped without and with a PIN, and one that refuses what the bank has approved.
    pub async fn chip_cards(&mut self, stack: &Stack, readers: &mut ChipReaders) -> Result<()> {
        self.title("插卡消费,输入密码", "an inserted chip card, with PIN");
        let o = self.by_chip(readers, ("chip-1", "30.00"), ("debit", Interface::Contact), true).await?;
        expect("inserted", &o, Status::Approved, None)?;
        self.take_papers(2)?;

        self.title("小额挥卡,免密免签", "a small tap, without a PIN");
        let tapped = ("qpboc-online", Interface::Contactless);
        let o = self.by_chip(readers, ("chip-2", "25.00"), tapped, false).await?;
        expect("tapped", &o, Status::Approved, None)?;
        self.take_papers(2)?;

        self.title("大额挥卡,输入密码", "a tap above that limit, with PIN");
        let o = self.by_chip(readers, ("chip-3", "1200.00"), tapped, true).await?;
        expect("tapped with PIN", &o, Status::Approved, None)?;
        self.take_papers(2)?;

        self.title(
            "银行批准后卡片拒绝,自动冲正",
            "the card refuses what the bank has approved: it is taken back",
        );
        let refuses = ("refuses-after-approval", Interface::Contact);
        let o = self.by_chip(readers, ("chip-4", "15.00"), refuses, false).await?;
        expect("refused by the card", &o, Status::Declined, Some("card-refused-approval"))?;
        let mut seen = None;
        until("the reversal", || {
            seen = reversal(stack, &o).ok().flatten();
            seen.is_some()
        })?;
        println!("acquirer   {}", seen.unwrap_or_default().trim().replace('\n', "\n           "));
        Ok(())
    }

    /// The batch is settled, and the bank is told the certificate of the chip card that was inserted.
    pub async fn settlement(&mut self, stack: &Stack) -> Result<()> {
        self.title("结算", "settlement");
        let wire = RequestWire { id: "settle-1".into(), kind: "settlement".into(), ..RequestWire::default() };
        let o = self.pay(wire, |_| Ok(())).await?;
        expect("settlement", &o, Status::Approved, None)?;
        self.take_papers(1)?;
        println!("acquirer   {}", stack.acquirer(&["settlements"])?.trim_end());
        let there: Value = serde_json::from_str(&stack.acquirer(&["settlements", "--json"])?)?;
        if there[0]["certificates"] != 1 || there[0]["difference"] != "" {
            return Err(format!("the settlement there: {there}").into());
        }
        Ok(())
    }
}

/// The acquirer's posting of a payment and the one that undoes it; none: it was not undone.
fn reversal(stack: &Stack, o: &Outcome) -> Result<Option<String>> {
    let all: Vec<Value> = serde_json::from_str(&stack.acquirer(&["ledger", "--json"])?)?;
    let stan = o.stan.map(|stan| stan.get().into());
    let sale = all.iter().find(|p| p["kind"] == "sale" && p["stan"].as_u64() == stan).ok_or("no posting")?;
    let undone = all.iter().find(|p| p["kind"] == "reversal" && p["undoes"] == sale["id"]);
    let Some(undone) = undone else { return Ok(None) };
    let (mut both, mut of_them) = (String::new(), false);
    for line in stack.acquirer(&["ledger"])?.lines() {
        if let Some(id) = line.split_whitespace().next().and_then(|id| id.parse::<i64>().ok()) {
            of_them = [&sale["id"], &undone["id"]].iter().any(|one| **one == id);
        }
        if of_them {
            both = both + line + "\n";
        }
    }
    Ok(Some(both))
}
