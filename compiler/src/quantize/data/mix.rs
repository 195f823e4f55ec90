//! The mix: which part of the calibration tokens each stratum gets.

use std::collections::BTreeMap;

use samp_ir::Diagnostic;

use super::encode::{Strata, TokenRecord};
use crate::error_code;

/// Parts of the strata, each at least 0 and together 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mix {
    parts: BTreeMap<String, f64>,
    declared: bool,
}

impl Mix {
    /// Reads `code=0.7,json=0.2,prose=0.1`: numbers above 0, in any unit, each stratum once.
    pub(super) fn parse(text: &str) -> Result<Mix, Diagnostic> {
        let refused = |message: String| {
            Diagnostic::bad_input(error_code::MIX, format!("--mix: {message}"))
                .hint("write strata and parts, such as --mix code=0.7,json=0.2,prose=0.1")
        };
        let mut parts = BTreeMap::new();
        for item in text.split(',') {
            let (name, part) = item
                .rsplit_once('=')
                .ok_or_else(|| refused(format!("expected STRATUM=PART, found `{item}`")))?;
            let number = part.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0);
            let number = number
                .ok_or_else(|| refused(format!("expected a part above 0 for `{name}`, found `{part}`")))?;
            if parts.insert(name.trim().to_owned(), number).is_some() {
                return Err(refused(format!("expected each stratum once, found `{name}` twice")));
            }
        }
        if parts.values().sum::<f64>().is_infinite() {
            return Err(refused("expected parts with a finite sum".into()));
        }
        Ok(Mix { parts: normalised(parts), declared: true })
    }

    /// The mix that the data has, by tokens.
    pub(super) fn of_data(strata: &Strata) -> Mix {
        let parts = strata.iter().map(|(name, records)| (name.clone(), tokens(records) as f64));
        Mix { parts: normalised(parts.collect()), declared: false }
    }

    /// Checks the mix against the strata of `file`: each named one must be there; those left out get 0 and a warning.
    pub(super) fn over(
        mut self,
        strata: &Strata,
        file: &str,
    ) -> Result<(Mix, Option<Diagnostic>), Diagnostic> {
        let known: Vec<&str> = strata.keys().map(String::as_str).collect();
        if let Some(unknown) = self.parts.keys().find(|name| !strata.contains_key(*name)) {
            let message = format!("--mix names the stratum `{unknown}`, which the data does not have");
            let hint = format!("the data has the strata {}", known.join(", "));
            return Err(Diagnostic::bad_input(error_code::MIX, message).in_file(file).hint(hint));
        }
        let left_out: Vec<&str> = known.into_iter().filter(|name| !self.parts.contains_key(*name)).collect();
        let warning = (!left_out.is_empty()).then(|| {
            let message = format!("--mix leaves out {}: nothing of it is calibrated on", left_out.join(", "));
            Diagnostic::bad_input(error_code::STRATA_LEFT_OUT, message)
                .warning()
                .in_file(file)
                .hint("the plan is judged on it all the same; name it in --mix if it is served")
        });
        self.parts.extend(left_out.into_iter().map(|name| (name.to_owned(), 0.0)));
        Ok((self, warning))
    }

    /// The part of each stratum.
    pub(super) fn parts(&self) -> &BTreeMap<String, f64> {
        &self.parts
    }

    /// Whether it was asked for, rather than being the data's own.
    pub(super) fn is_declared(&self) -> bool {
        self.declared
    }

    /// Shares out so many tokens by largest remainder (Hamilton's method); ties go to the first name.
    pub(super) fn share(&self, tokens: usize) -> BTreeMap<&str, usize> {
        // A part is a quotient of tokens: what rounding took off a whole number is given back.
        let exact = |part: f64| part * tokens as f64 + 1e-6;
        let mut shares: BTreeMap<&str, usize> =
            self.parts.iter().map(|(name, &part)| (name.as_str(), exact(part) as usize)).collect();
        let rest = tokens.saturating_sub(shares.values().sum());
        let mut remainders: Vec<(f64, &str)> =
            self.parts.iter().map(|(n, &p)| (exact(p).fract(), n.as_str())).collect();
        remainders.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        for (_, name) in remainders.iter().filter(|(_, name)| self.parts[*name] > 0.0).take(rest) {
            *shares.get_mut(name).expect("has a part") += 1;
        }
        shares
    }
}

fn normalised(mut parts: BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let sum: f64 = parts.values().sum();
    parts.values_mut().for_each(|part| *part /= sum);
    parts
}

/// Tokens of some records.
pub(super) fn tokens(records: &[TokenRecord]) -> usize {
    records.iter().map(|record| record.tokens.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_normalised_and_faults_refused() {
        let mix = Mix::parse("code=7, json=2,a=b=1").unwrap();
        let parts: Vec<(&str, f64)> = mix.parts().iter().map(|(n, p)| (n.as_str(), *p)).collect();
        assert_eq!(parts, [("a=b", 0.1), ("code", 0.7), ("json", 0.2)]);
        for text in [
            "",
            "code",
            "code=0",
            "code=-1",
            "code=nan",
            "code=inf",
            "code=x",
            "a=1,a=2",
            "a=1,",
            "a=1e308,b=1e308",
        ] {
            let error = Mix::parse(text).unwrap_err();
            assert!(error.code == error_code::MIX && error.hint.is_some(), "{text}: {error}");
        }
    }

    #[test]
    fn shares_sum_to_the_whole() {
        let mix = Mix::parse("a=1,b=1,c=1").unwrap();
        assert_eq!(mix.share(100).into_values().collect::<Vec<_>>(), [34, 33, 33]);
        assert_eq!(mix.share(2).into_values().collect::<Vec<_>>(), [1, 1, 0]);
        assert_eq!(mix.share(0).into_values().sum::<usize>(), 0);
    }
}
