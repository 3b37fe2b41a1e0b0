//! The merchant's fee 手续费 by the account's table, for a host that names none.
use payterm_schema::{
    config::Sum,
    host::{EntryMode, Wallet},
    onboarding::{FeeRow, Product},
};

/// How the customer paid, as far as a fee depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Paid<'a> {
    pub mode: Option<EntryMode>,
    pub wallet: Option<Wallet>,
    /// F63: `CUP`.
    pub scheme: Option<&'a str>,
}

/// By the first row that fits, in minor units: the share rounded half up, not below the row's minimum, not
/// above its cap. None when no row fits.
pub fn fee(table: &[FeeRow], paid: Paid<'_>, amount: u64) -> Option<u64> {
    let product = if paid.mode == Some(EntryMode::Code) { Product::Scan } else { Product::Card };
    let fits = |r: &&FeeRow| {
        r.product == product
            && r.wallet.is_none_or(|w| paid.wallet == Some(w))
            && r.scheme.as_deref().is_none_or(|o| paid.scheme == Some(o))
    };
    let row = table.iter().find(fits)?;
    let share = (u128::from(amount) * u128::from(row.basis_points) + 5_000) / 10_000;
    let share = u64::try_from(share).unwrap_or(u64::MAX);
    let (min, max) = (row.min.map_or(0, Sum::minor), row.max.map_or(u64::MAX, Sum::minor));
    Some(share.max(min).min(max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(product: Product, basis_points: u32) -> FeeRow {
        FeeRow { product, wallet: None, scheme: None, basis_points, min: None, max: None }
    }
    const SWIPE: Paid<'_> = Paid { mode: Some(EntryMode::Swipe), wallet: None, scheme: Some("CUP") };

    #[test]
    fn shares_are_rounded_half_up_and_kept_between_minimum_and_cap() {
        let sum = |text: &str| text.parse().ok();
        let table = [FeeRow { min: sum("0.03 CNY"), max: sum("80.00 CNY"), ..row(Product::Card, 60) }];
        // 0.6 % of 12.34 is 7.404 fen, of 12.50 exactly 7.5.
        for (amount, expected) in
            [(1234, 7), (1250, 8), (1249, 7), (1, 3), (0, 3), (1_333_333, 8_000), (999_999_999_999, 8_000)]
        {
            assert_eq!(fee(&table, SWIPE, amount), Some(expected), "{amount}");
        }
        assert_eq!(fee(&[row(Product::Card, 10_000)], SWIPE, 999_999_999_999), Some(999_999_999_999));
        assert_eq!(fee(&[], SWIPE, 1234), None);
    }

    #[test]
    fn the_first_row_that_fits_is_taken() {
        let visa = FeeRow { scheme: Some("VIS".into()), ..row(Product::Card, 150) };
        let alipay = FeeRow { wallet: Some(Wallet::Alipay), ..row(Product::Scan, 25) };
        let table = [visa, row(Product::Card, 60), alipay, row(Product::Scan, 38)];
        let code = |wallet| Paid { mode: Some(EntryMode::Code), wallet: Some(wallet), scheme: None };
        assert_eq!(fee(&table, SWIPE, 10_000), Some(60));
        assert_eq!(fee(&table, Paid { scheme: Some("VIS"), ..SWIPE }, 10_000), Some(150));
        assert_eq!(fee(&table, Paid { scheme: None, ..SWIPE }, 10_000), Some(60));
        assert_eq!(fee(&table, code(Wallet::Alipay), 10_000), Some(25));
        assert_eq!(fee(&table, code(Wallet::Wechat), 10_000), Some(38));
        assert_eq!(fee(&table[..2], code(Wallet::Wechat), 10_000), None);
    }
}
