//! What a machine costs an hour, as the command line gives it.

use std::str::FromStr;

/// What a machine costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// Name, if it was given one.
    pub name: Option<String>,
    /// In any currency.
    pub per_hour: f64,
}

impl FromStr for Price {
    type Err = String;

    /// Reads `2.50` or `NAME=2.50`.
    fn from_str(text: &str) -> Result<Price, String> {
        let (name, price) = match text.rsplit_once('=') {
            Some((name, price)) => (Some(name.trim().to_owned()), price),
            None => (None, text),
        };
        let per_hour = price.trim().parse::<f64>().ok().filter(|p| p.is_finite() && *p > 0.0);
        let named = name.as_ref().is_none_or(|name| !name.is_empty());
        match per_hour.filter(|_| named) {
            Some(per_hour) => Ok(Price { name, per_hour }),
            None => Err(format!("expected a price above 0 such as 2.50 or NAME=2.50, found `{text}`")),
        }
    }
}

impl Price {
    /// The head of its column.
    pub(super) fn heading(&self) -> String {
        let price = format!("at {} an hour", self.per_hour);
        let name = self.name.as_ref().map_or(String::new(), |name| format!("{name}: "));
        format!("{name}per million tokens {price}")
    }

    /// For a million tokens, at so many a second.
    pub(super) fn of_million(&self, tokens_per_second: f64) -> f64 {
        self.per_hour / 3600.0 / tokens_per_second * 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::Price;

    #[test]
    fn prices_read_as_written() {
        let price = |text: &str| text.parse::<Price>();
        assert_eq!(price("2.50"), Ok(Price { name: None, per_hour: 2.5 }));
        assert_eq!(price("spot=1"), Ok(Price { name: Some("spot".into()), per_hour: 1.0 }));
        for wrong in ["", "x", "-1", "0", "nan", "inf", "=2", "a="] {
            assert!(price(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_million_tokens_at_a_thousand_a_second_take_a_thousand_seconds() {
        let price = Price { name: None, per_hour: 3.6 };
        assert!((price.of_million(1000.0) - 1.0).abs() < 1e-12);
    }
}
