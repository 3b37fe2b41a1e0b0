//! Papers that an app composes: a page of lines, or an invoice slip. Written as JSON, e.g.
//! `{"page":{"lines":[{"type":"text","text":"Table 4","size":"double"},{"type":"rule"},{"type":"cut"}]}}`.
use crate::{
    fault::Fault,
    money::{Currency, Money, MoneyError},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Greatest number of lines of a page.
pub const LINES_MAX: usize = 200;
/// Greatest size of the JSON of a page or invoice, in bytes.
pub const JSON_MAX: usize = 192 * 1024;
/// Greatest number of characters of a text.
const TEXT_MAX: usize = 200;
/// Greatest size of an image's PNG, in bytes.
pub const IMAGE_MAX: usize = 64 * 1024;
/// Greatest number of images of a page.
const IMAGES_MAX: usize = 2;
/// Greatest number of lines of an invoice.
const ITEMS_MAX: usize = 50;

/// Paper that an app may have printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Printable {
    Page(Page),
    Invoice(Invoice),
    Drawer(Drawer),
}

/// Order to open the cash drawer at the receipt printer's port: it is opened at once or not at all, and never
/// twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drawer {}

/// Page of lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Lines, 1 to 200.
    pub lines: Vec<PageLine>,
}

/// Alignment of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PageAlign {
    #[default]
    Left,
    Center,
    Right,
}
/// Size of the characters of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PageSize {
    #[default]
    Normal,
    /// Twice as wide and high as normal.
    Double,
}
/// Kind of barcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Symbology {
    /// Printable ASCII; 14 characters (28 digits) at 58 mm, 23 (46 digits) at 80 mm.
    Code128,
    /// 13 digits, the last one being the check digit.
    Ean13,
}

/// Line of a page; texts are one line each, up to 200 printable characters, and are wrapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "type", deny_unknown_fields)]
pub enum PageLine {
    Text {
        text: String,
        #[serde(default)]
        align: PageAlign,
        #[serde(default)]
        size: PageSize,
        #[serde(default)]
        bold: bool,
    },
    /// Cells side by side, 2 to 6, one space between them.
    Columns {
        cells: Vec<Cell>,
        #[serde(default)]
        bold: bool,
    },
    /// Rule across the paper.
    Rule,
    /// Barcode of the content.
    Barcode { symbology: Symbology, content: String },
    /// QR code of printable ASCII, up to 256 bytes.
    Qr { content: String },
    /// Image: a PNG in base64 (grey, colours or palette, also with transparency), up to 64 KiB, up to 384
    /// dots wide at 58 mm and 576 at 80 mm, up to 800 high; it is printed in black dots. Two a page.
    Image { png: String },
    /// Empty lines, 1 to 20.
    Feed { lines: u8 },
    /// Cut of the paper.
    Cut,
}

/// Cell of a line of columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    pub text: String,
    #[serde(default)]
    pub align: PageAlign,
    /// Share of the paper's width, 1 to 12. Default 1.
    #[serde(default = "one")]
    pub width: u8,
}
fn one() -> u8 {
    1
}

/// Invoice slip 开票单: what the customer needs to ask for the tax invoice. Amounts are decimal texts of
/// `currency`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Invoice {
    /// Name to which the invoice is made out 发票抬头, up to 100 characters.
    pub title: String,
    /// Tax number 纳税人识别号, 15 to 20 capital letters or digits; absent for a private person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_number: Option<String>,
    pub currency: Currency,
    /// Lines, 1 to 50, discounts and roundings among them.
    pub lines: Vec<InvoiceLine>,
    /// Tax that `total` includes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax: Option<String>,
    /// Sum of the lines, tax included.
    pub total: String,
    /// Id that the app gave the payment, up to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<String>,
    /// Note, up to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
/// Line of an invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InvoiceLine {
    /// Name of the goods, 1 to 60 characters.
    pub name: String,
    /// Quantity as it is to be printed: `2`, `0.5 kg`; up to 16 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<String>,
    /// Amount of the line, tax included; below zero for a discount or a rounding: `-1.50`.
    pub amount: String,
}
impl InvoiceLine {
    /// Amount in minor units, with its sign.
    pub fn minor(&self, currency: Currency) -> Result<i64, MoneyError> {
        let below = self.amount.strip_prefix('-');
        let minor = Money::parse(below.unwrap_or(&self.amount), currency)?.minor() as i64;
        match below {
            // Less than nothing is not nothing.
            Some(_) if minor == 0 => Err(MoneyError::Syntax(self.amount.chars().take(24).collect())),
            Some(_) => Ok(-minor),
            None => Ok(minor),
        }
    }
}

impl Printable {
    /// Parses an app's JSON and checks it, but for the images, which only a printer's width can tell. The
    /// error is `Invalid` with the path of the field: `page.lines[3].text`.
    pub fn parse(json: &str) -> Result<Self, Fault> {
        if json.len() > JSON_MAX {
            return Err(Fault::invalid("paper", &format!("up to {JSON_MAX} bytes")));
        }
        let wrong = |e: serde_json::Error| Fault::invalid("paper", &e.to_string());
        let made: Self = serde_json::from_str(json).map_err(wrong)?;
        match &made {
            Printable::Page(page) => page.check()?,
            Printable::Invoice(invoice) => invoice.check()?,
            Printable::Drawer(Drawer {}) => {}
        }
        Ok(made)
    }

    /// Hash of the content: SHA-256 over its canonical JSON, in hex. The same id with another hash is a
    /// fault.
    pub fn content_hash(&self) -> String {
        hex::encode(Sha256::digest(serde_json::to_vec(self).unwrap_or_default()))
    }
}

fn is_line(text: &str, max: usize) -> bool {
    text.chars().count() <= max && !text.chars().any(char::is_control)
}

impl Page {
    fn check(&self) -> Result<(), Fault> {
        if !(1..=LINES_MAX).contains(&self.lines.len()) {
            return Err(Fault::invalid("page.lines", &format!("1 to {LINES_MAX}")));
        }
        if self.lines.iter().filter(|l| matches!(l, PageLine::Image { .. })).count() > IMAGES_MAX {
            return Err(Fault::invalid("page.lines", &format!("up to {IMAGES_MAX} images")));
        }
        self.lines.iter().enumerate().try_for_each(|(i, line)| {
            line.check().map_err(|(key, rule)| Fault::invalid(&format!("page.lines[{i}].{key}"), &rule))
        })
    }
}

impl PageLine {
    fn check(&self) -> Result<(), (&'static str, String)> {
        let text = |key, text: &str| {
            if is_line(text, TEXT_MAX) {
                Ok(())
            } else {
                Err((key, format!("up to {TEXT_MAX} printable characters")))
            }
        };
        let ascii = |content: &str, max| {
            (1..=max).contains(&content.len()) && content.bytes().all(|b| matches!(b, b' '..=b'~'))
        };
        let must =
            |ok: bool, key: &'static str, rule: &str| if ok { Ok(()) } else { Err((key, rule.to_owned())) };
        match self {
            PageLine::Text { text: t, .. } => text("text", t),
            PageLine::Columns { cells, .. } => {
                must((2..=6).contains(&cells.len()), "cells", "2 to 6")?;
                must(cells.iter().all(|c| (1..=12).contains(&c.width)), "cells", "width: 1 to 12")?;
                cells.iter().try_for_each(|c| text("cells", &c.text))
            }
            PageLine::Barcode { symbology: Symbology::Code128, content } => {
                must(ascii(content, 46), "content", "printable ASCII, up to 23 characters or 46 digits")
            }
            PageLine::Barcode { symbology: Symbology::Ean13, content } => {
                must(is_ean13(content), "content", "13 digits with their check digit")
            }
            PageLine::Qr { content } => {
                must(ascii(content, 256), "content", "printable ASCII, 1 to 256 bytes")
            }
            PageLine::Image { png } => {
                must(png.len() <= IMAGE_MAX.div_ceil(3) * 4, "png", "base64 of up to 64 KiB")
            }
            PageLine::Feed { lines } => must((1..=20).contains(lines), "lines", "1 to 20"),
            PageLine::Rule | PageLine::Cut => Ok(()),
        }
    }
}

/// Tells whether it is an EAN-13 with a right check digit (GS1 General Specifications, section 7.9: weights 1
/// and 3 in turn, the sum is a multiple of ten).
fn is_ean13(content: &str) -> bool {
    let sum: u32 = content
        .bytes()
        .enumerate()
        .map(|(i, b)| u32::from(b.wrapping_sub(b'0')) * if i % 2 == 0 { 1 } else { 3 })
        .sum();
    content.len() == 13 && content.bytes().all(|b| b.is_ascii_digit()) && sum.is_multiple_of(10)
}

impl Invoice {
    fn check(&self) -> Result<(), Fault> {
        let refuse = |field: &str, rule: &str| Err(Fault::invalid(field, rule));
        if self.title.trim().is_empty() || !is_line(&self.title, 100) {
            return refuse("invoice.title", "1 to 100 printable characters");
        }
        let number = |n: &String| {
            (15..=20).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
        };
        if !self.tax_number.as_ref().is_none_or(number) {
            return refuse("invoice.tax_number", "15 to 20 capital letters or digits");
        }
        if !(1..=ITEMS_MAX).contains(&self.lines.len()) {
            return refuse("invoice.lines", "1 to 50");
        }
        for (key, text) in [("payment", &self.payment), ("note", &self.note)] {
            if text.as_ref().is_some_and(|t| !is_line(t, 64)) {
                return refuse(&format!("invoice.{key}"), "up to 64 printable characters");
            }
        }
        let money = |field: &str, text: &str| {
            Money::parse(text, self.currency)
                .map(Money::minor)
                .map_err(|e| Fault::invalid(field, &e.to_string()))
        };
        let mut sum = 0_i64;
        for (i, line) in self.lines.iter().enumerate() {
            if line.name.trim().is_empty()
                || !is_line(&line.name, 60)
                || line.quantity.as_ref().is_some_and(|q| !is_line(q, 16))
            {
                return refuse(
                    &format!("invoice.lines[{i}]"),
                    "name: 1 to 60 printable characters; quantity: up to 16",
                );
            }
            let wrong = |e: MoneyError| Fault::invalid(&format!("invoice.lines[{i}].amount"), &e.to_string());
            sum = sum.saturating_add(line.minor(self.currency).map_err(wrong)?);
        }
        let total = money("invoice.total", &self.total)?;
        if u64::try_from(sum) != Ok(total) {
            return refuse("invoice.total", "the sum of the lines");
        }
        match &self.tax {
            Some(tax) if money("invoice.tax", tax)? > total => refuse("invoice.tax", "not above the total"),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(json: &str) -> String {
        Printable::parse(json).map_or_else(|e| e.to_string(), |p| format!("accepted: {p:?}"))
    }
    fn page(line: &str) -> String {
        fault(&format!(r#"{{"page":{{"lines":[{{"type":"rule"}},{line}]}}}}"#))
    }

    #[test]
    fn each_broken_rule_is_named() {
        for (line, said) in [
            (r#"{"type":"text","text":"a\u001b@"}"#, "page.lines[1].text: up to 200 printable characters"),
            (r#"{"type":"text","text":"a\nb"}"#, "page.lines[1].text: "),
            (r#"{"type":"text","text":"a","colour":1}"#, "paper: unknown field `colour`"),
            (r#"{"type":"columns","cells":[{"text":"a"}]}"#, "page.lines[1].cells: 2 to 6"),
            (
                r#"{"type":"columns","cells":[{"text":"a","width":0},{"text":"b"}]}"#,
                "page.lines[1].cells: width",
            ),
            (
                r#"{"type":"barcode","symbology":"code128","content":""}"#,
                "page.lines[1].content: printable ASCII",
            ),
            (
                r#"{"type":"barcode","symbology":"ean13","content":"4006381333932"}"#,
                "page.lines[1].content: 13 digits",
            ),
            (r#"{"type":"barcode","symbology":"ean13","content":"400638133393\u0031"}"#, "accepted"),
            (r#"{"type":"qr","content":"中"}"#, "page.lines[1].content: printable ASCII"),
            (r#"{"type":"feed","lines":21}"#, "page.lines[1].lines: 1 to 20"),
            (r#"{"type":"raw","bytes":"1b40"}"#, "paper: unknown variant `raw`"),
        ] {
            let said_now = page(line);
            assert!(said_now.starts_with(said), "{line}: {said_now}");
        }
        assert!(fault(r#"{"page":{"lines":[]}}"#).starts_with("page.lines: 1 to 200"));
        assert!(fault(&"x".repeat(JSON_MAX + 1)).starts_with("paper: up to"));
        let many = vec![r#"{"type":"rule"}"#; LINES_MAX + 1].join(",");
        assert!(fault(&format!(r#"{{"page":{{"lines":[{many}]}}}}"#)).starts_with("page.lines: 1 to 200"));
    }

    #[test]
    fn an_invoice_adds_up() {
        let invoice = |total: &str, tax: &str, number: &str| {
            fault(&format!(
                r#"{{"invoice":{{"title":"某某公司","tax_number":"{number}","currency":"CNY",
                "total":"{total}","tax":"{tax}",
                "lines":[{{"name":"面","quantity":"2","amount":"30.00"}},{{"name":"茶","amount":"4.50"}}]}}}}"#
            ))
        };
        assert!(invoice("34.50", "1.95", "91310000MA1FL1ABCD").starts_with("accepted"));
        assert!(
            invoice("34.51", "1.95", "91310000MA1FL1ABCD").starts_with("invoice.total: the sum of the lines")
        );
        assert!(invoice("34.50", "34.51", "91310000MA1FL1ABCD").starts_with("invoice.tax: "));
        let lines = |total: &str, amounts: [&str; 3]| {
            let lines = amounts.map(|a| format!(r#"{{"name":"x","amount":"{a}"}}"#)).join(",");
            fault(&format!(
                r#"{{"invoice":{{"title":"t","currency":"CNY","total":"{total}","lines":[{lines}]}}}}"#
            ))
        };
        // A discount and a rounding.
        assert!(lines("31.00", ["34.56", "-3.50", "-0.06"]).starts_with("accepted"));
        assert!(lines("0.00", ["34.56", "-34.50", "-0.06"]).starts_with("accepted"));
        assert!(
            lines("31.00", ["34.56", "3.50", "-0.06"]).starts_with("invoice.total: the sum of the lines")
        );
        for (total, amounts, said) in [
            ("1.00", ["1.00", "-0.00", "0.00"], "invoice.lines[1].amount: "),
            ("1.00", ["1.00", "--1.00", "1.00"], "invoice.lines[1].amount: "),
            ("1.00", ["1.00", "+1.00", "-1.00"], "invoice.lines[1].amount: "),
            ("-1.00", ["1.00", "-1.00", "-1.00"], "invoice.total: "),
            ("1.00", ["1.00", "-1.00", "-1.00"], "invoice.total: the sum of the lines"),
        ] {
            assert!(lines(total, amounts).starts_with(said), "{total} {amounts:?}");
        }
        assert!(invoice("34.50", "x", "91310000MA1FL1ABCD").starts_with("invoice.tax: "));
        assert!(invoice("34.50", "1.95", "9131").starts_with("invoice.tax_number: "));
    }
}
