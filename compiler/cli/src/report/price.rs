//! What a machine costs an hour, as the command line gives it.

use std::ops::RangeInclusive;
use std::str::FromStr;

use samp_abi::TargetName;

use super::figures::amount;

/// What a machine costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// Name, if it was given one.
    pub name: Option<String>,
    /// The price of an hour as it was given, with its currency: `3.20 EUR`.
    pub written: String,
    /// The same as a number.
    pub per_hour: f64,
    /// What stands beside the number: none where a number alone was given.
    pub currency: Option<Currency>,
}

/// A currency's name or sign, with the space that was written between it and the number.
#[derive(Clone, Debug, PartialEq)]
pub enum Currency {
    /// As in `$3.20`.
    Before(String),
    /// As in `3.20 EUR`.
    After(String),
}

impl FromStr for Price {
    type Err = String;

    /// Reads `2.50`, `$2.50` or `2.50 EUR`, each perhaps after `NAME=`.
    fn from_str(text: &str) -> Result<Price, String> {
        let (name, price) = match text.rsplit_once('=') {
            Some((name, price)) => (Some(name.trim().to_owned()), price.trim()),
            None => (None, text.trim()),
        };
        let named = name.as_ref().is_none_or(|name| !name.is_empty());
        match number_and_currency(price).filter(|_| named) {
            Some((per_hour, currency)) => Ok(Price { name, written: price.to_owned(), per_hour, currency }),
            None => Err(format!(
                "expected a price above 0 such as 2.50, '$2.50' or NAME='2.50 EUR', of at most 1e15, found `{text}`"
            )),
        }
    }
}

/// What anything costs an hour; figures that follow from it can be written.
const PRICES: RangeInclusive<f64> = 1e-15..=1e15;

/// The number, and the currency before or after it; `None` where it is no price.
fn number_and_currency(price: &str) -> Option<(f64, Option<Currency>)> {
    let start = price.find(|c: char| c.is_ascii_digit() || c == '.')?;
    let (before, rest) = price.split_at(start);
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, after) = rest.split_at(end);
    let per_hour = number.parse::<f64>().ok().filter(|p| PRICES.contains(p))?;
    // A sign, a decimal comma or more digits are part of another number, not a currency.
    let name = |text: &str| !text.contains(|c: char| c.is_ascii_digit() || "+-,.".contains(c));
    match (before, after) {
        ("", "") => Some((per_hour, None)),
        ("", after) => name(after).then(|| (per_hour, Some(Currency::After(after.into())))),
        (before, "") => name(before).then(|| (per_hour, Some(Currency::Before(before.into())))),
        _ => None,
    }
}

impl Price {
    /// The target that the price is named after, where that is another than the plan's.
    pub fn other_target(&self, plan: TargetName) -> Option<TargetName> {
        let name = self.name.as_deref()?.to_lowercase();
        let words = name.split(|c: char| !c.is_alphanumeric());
        let named: Vec<TargetName> = words.filter_map(|word| word.parse().ok()).collect();
        if named.contains(&plan) { None } else { named.first().copied() }
    }

    /// The head of its column.
    pub(super) fn heading(&self) -> String {
        let unit = match &self.currency {
            Some(Currency::Before(unit) | Currency::After(unit)) => unit.trim(),
            None => "price",
        };
        let name = self.name.as_ref().map_or(String::new(), |name| format!("{name}: "));
        format!("{name}{unit} per million tokens, at {} an hour", self.written)
    }

    /// For a million tokens, at so many a second, in the currency of the price.
    pub(super) fn of_million(&self, tokens_per_second: f64) -> String {
        let price = amount(self.per_hour / 3600.0 / tokens_per_second * 1e6);
        match &self.currency {
            Some(Currency::Before(unit)) => format!("{unit}{price}"),
            Some(Currency::After(unit)) => format!("{price}{unit}"),
            None => price,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Currency, Price};

    fn price(text: &str) -> Result<Price, String> {
        text.parse()
    }

    #[test]
    fn prices_read_as_written() {
        let plain = |name: Option<&str>, written: &str, per_hour| {
            Ok(Price { name: name.map(str::to_owned), written: written.into(), per_hour, currency: None })
        };
        assert_eq!(price("2.50"), plain(None, "2.50", 2.5));
        assert_eq!(price("spot=1"), plain(Some("spot"), "1", 1.0));
        for wrong in
            ["", "x", "-1", "0", "nan", "inf", "=2", "a=", "$", "3,20 EUR", "1e3", "$2 USD", "2 3", "$-2"]
        {
            assert!(price(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_may_be_of_another_target() {
        let [cpu, h100] = ["cpu", "h100"].map(|name| name.parse().unwrap());
        for (name, on_cpu, on_h100) in [
            ("h100=1", Some(h100), None),
            ("H100 spot=1", Some(h100), None),
            ("cpu=1", None, Some(cpu)),
            ("h100 with its cpu=1", None, None),
            ("spot=1", None, None),
            ("gh1000=1", None, None),
            ("1", None, None),
        ] {
            let price = price(name).unwrap();
            assert_eq!([price.other_target(cpu), price.other_target(h100)], [on_cpu, on_h100], "{name}");
        }
    }

    #[test]
    fn a_currency_is_shown_as_given() {
        let euro = price("h100=3.60 EUR").unwrap();
        assert_eq!(euro.currency, Some(Currency::After(" EUR".into())));
        assert_eq!(euro.heading(), "h100: EUR per million tokens, at 3.60 EUR an hour");
        assert_eq!(euro.of_million(1000.0), "1.00 EUR");
        let dollar = price("$3.60").unwrap();
        assert_eq!(dollar.heading(), "$ per million tokens, at $3.60 an hour");
        assert_eq!(dollar.of_million(1000.0), "$1.00");
        let none = price("3.60").unwrap();
        assert_eq!(none.heading(), "price per million tokens, at 3.60 an hour");
        assert_eq!(
            none.of_million(1000.0),
            "1.00",
            "a million tokens at a thousand a second take a thousand seconds"
        );
    }
}
