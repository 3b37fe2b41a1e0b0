//! Amounts in words, as they are written on cheques: 大写金额 and English.
use crate::Texts;
use payterm_schema::{Currency, Money, config::Language};

impl Texts {
    /// `壹仟贰佰叁拾肆元伍角陆分`, `one thousand two hundred thirty-four point five six CNY`.
    pub fn amount_in_words(self, amount: Money) -> String {
        let value = amount.value();
        let (whole, part) = value.split_once('.').unwrap_or((&value, ""));
        let whole: u64 = whole.parse().unwrap_or(0);
        match self.language() {
            Language::ZhCn => self.chinese(whole, part, amount.currency),
            Language::En => self.english(whole, part, amount.currency),
        }
    }

    fn chinese(self, whole: u64, part: &str, currency: Currency) -> String {
        let t = |id: &str| self.get(id, &[]);
        let digits: Vec<char> = t("numeral-digits").chars().collect();
        let digit = |d: u64| digits.get(d as usize).copied().unwrap_or('?').to_string();
        let small = [String::new(), t("numeral-ten"), t("numeral-hundred"), t("numeral-thousand")];
        let large = [
            String::new(),
            t("numeral-myriad"),
            t("numeral-myriad-2"),
            t("numeral-myriad") + &t("numeral-myriad-2"),
        ];
        let zero = digit(0);
        let mut text = String::new();
        let mut gap = false;
        for group in (0..large.len() as u32).rev() {
            let four = whole / 10_000u64.pow(group) % 10_000;
            for place in (0..small.len() as u32).rev() {
                let d = four / 10u64.pow(place) % 10;
                if d == 0 {
                    gap |= !text.is_empty();
                    continue;
                }
                if std::mem::take(&mut gap) {
                    text.push_str(&zero);
                }
                text.push_str(&digit(d));
                text.push_str(&small[place as usize]);
            }
            if four > 0 {
                text.push_str(&large[group as usize]);
            }
        }
        let minor: Vec<u64> = part.bytes().map(|b| u64::from(b.wrapping_sub(b'0'))).collect();
        if currency == Currency::CNY {
            return self.yuan(text, &minor, &digit);
        }
        let text = if text.is_empty() { zero } else { text };
        let tail: String = minor.iter().map(|d| digit(*d)).collect();
        let point = if minor.iter().any(|d| *d > 0) { t("numeral-point") + &tail } else { String::new() };
        format!("{} {text}{point}", currency.code())
    }

    /// 元角分: 整 after yuan or jiao, 零 where jiao is nought.
    fn yuan(self, yuan: String, minor: &[u64], digit: &dyn Fn(u64) -> String) -> String {
        let t = |id: &str| self.get(id, &[]);
        let (jiao, fen) = (minor.first().copied().unwrap_or(0), minor.get(1).copied().unwrap_or(0));
        let mut text = match (yuan.is_empty(), jiao + fen) {
            (true, 0) => digit(0) + &t("numeral-unit"),
            (true, _) => String::new(),
            (false, _) => yuan + &t("numeral-unit"),
        };
        if jiao > 0 {
            text += &(digit(jiao) + &t("numeral-jiao"));
        } else if fen > 0 && !text.is_empty() {
            text += &digit(0);
        }
        text + &if fen > 0 { digit(fen) + &t("numeral-fen") } else { t("numeral-whole") }
    }

    fn english(self, whole: u64, part: &str, currency: Currency) -> String {
        let t = |id: &str| self.get(id, &[]);
        let (small, tens) = (t("numeral-small"), t("numeral-tens"));
        let (small, tens): (Vec<&str>, Vec<&str>) = (small.split(' ').collect(), tens.split(' ').collect());
        let word = |list: &[&str], n: u64| list.get(n as usize).copied().unwrap_or("?").to_owned();
        let below_thousand = |n: u64| {
            let mut words = Vec::new();
            if n >= 100 {
                words.push(word(&small, n / 100));
                words.push(t("numeral-hundred"));
            }
            match (n % 100, n % 10) {
                (0, _) => {}
                (r, _) if r < 20 => words.push(word(&small, r)),
                (r, 0) => words.push(word(&tens, r / 10 - 2)),
                (r, d) => words.push(format!("{}-{}", word(&tens, r / 10 - 2), word(&small, d))),
            }
            words
        };
        let mut words = Vec::new();
        for (unit, name) in [
            (1_000_000_000, Some("numeral-billion")),
            (1_000_000, Some("numeral-million")),
            (1_000, Some("numeral-thousand")),
            (1, None),
        ] {
            let n = whole / unit % 1_000;
            if n > 0 {
                words.extend(below_thousand(n));
                words.extend(name.map(t));
            }
        }
        if words.is_empty() {
            words.push(word(&small, 0));
        }
        if part.bytes().any(|b| b != b'0') {
            words.push(t("numeral-point"));
            words.extend(part.bytes().map(|b| word(&small, u64::from(b.wrapping_sub(b'0')))));
        }
        words.push(currency.code().into());
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(language: Language, amount: &str, currency: &str) -> String {
        Texts::new(language).amount_in_words(Money::parse(amount, currency.parse().unwrap()).unwrap())
    }

    #[test]
    fn amounts_in_words() {
        for (amount, chinese) in [
            ("0", "零元整"),
            ("0.05", "伍分"),
            ("0.50", "伍角整"),
            ("1", "壹元整"),
            ("1234.56", "壹仟贰佰叁拾肆元伍角陆分"),
            ("1000.05", "壹仟元零伍分"),
            ("1000", "壹仟元整"),
            ("10010", "壹万零壹拾元整"),
            ("100000.10", "壹拾万元壹角整"),
            ("120003400", "壹亿贰仟万零叁仟肆佰元整"),
            ("100000001", "壹亿零壹元整"),
        ] {
            assert_eq!(words(Language::ZhCn, amount, "CNY"), chinese, "{amount}");
        }
        assert_eq!(words(Language::ZhCn, "12345", "JPY"), "JPY 壹万贰仟叁佰肆拾伍");
        assert_eq!(
            words(Language::En, "1234.56", "CNY"),
            "one thousand two hundred thirty-four point five six CNY"
        );
        assert_eq!(words(Language::En, "20000000", "CNY"), "twenty million CNY");
        assert_eq!(words(Language::En, "0", "CNY"), "zero CNY");
    }
}
