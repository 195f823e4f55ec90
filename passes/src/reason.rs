//! Why each matrix and the KV cache have their format: what the next dearer one would have cost and saved.

use std::fmt;

use samp_abi::Format;

use crate::{
    Decision,
    assignment::{Choice, Unit},
    formulation::{DEVICE, KV, LOSS},
};

/// A decision, and the nearest one that would have lost less.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// The weight's name in the graph, or the KV cache.
    pub key: String,
    /// What it has.
    pub format: Format,
    /// The cheapest of the larger formats that lose less; `None` where there is none.
    pub next: Option<Upgrade>,
}

/// A format that was not taken, against the one that was.
#[derive(Clone, Debug, PartialEq)]
pub struct Upgrade {
    /// Its name.
    pub format: String,
    /// Bytes more.
    pub bytes: f64,
    /// Nats per token less.
    pub nats: f64,
}

impl Decision {
    /// One for each matrix, or member of one that is apart, in the graph's order, then one for the KV cache.
    pub fn reasons(&self) -> Vec<Reason> {
        let at = |name: &str| self.problem.resources.iter().position(|r| r.name == name).unwrap_or(0);
        let (bytes, loss) = (at(DEVICE), at(LOSS));
        let reason = |(key, format): &(String, Format)| {
            let mut parts =
                self.problem.groups.iter().flat_map(|g| &g.alternatives).flat_map(|way| &way.parts);
            let choices = parts.find(|part| part.name == *key).map_or(&[][..], |part| &part.choices);
            let own = choices.iter().find(|choice| choice.name == format.to_string());
            let next = own.and_then(|own| next(choices, own, (bytes, loss)));
            Reason { key: key.clone(), format: *format, next }
        };
        self.formats.iter().chain([&(KV.to_owned(), self.kv)]).map(reason).collect()
    }
}

fn next(choices: &[Choice], own: &Choice, (bytes, loss): (usize, usize)) -> Option<Upgrade> {
    let dearer =
        |choice: &&Choice| choice.costs[bytes] > own.costs[bytes] && choice.costs[loss] < own.costs[loss];
    let next = choices.iter().filter(dearer).min_by(|a, b| a.costs[bytes].total_cmp(&b.costs[bytes]))?;
    Some(Upgrade {
        format: next.name.clone(),
        bytes: next.costs[bytes] - own.costs[bytes],
        nats: own.costs[loss] - next.costs[loss],
    })
}

impl fmt::Display for Reason {
    /// A row of a table: weight, format, and what the next dearer format would do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reason { key, format, next } = self;
        write!(f, "{key:<36} {format:<16} ")?;
        match next {
            Some(Upgrade { format, bytes, nats }) => {
                let (bytes, nats) = (Unit::Bytes.show(*bytes), Unit::Nats.show(*nats));
                write!(f, "{format}: {bytes} more, {nats} less")
            }
            None => f.write_str("no larger candidate loses less"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_dearer_format_is_the_cheapest_that_loses_less() {
        let choice = |name: &str, costs: [f64; 2]| Choice { name: name.into(), costs: costs.into() };
        let choices = [
            choice("nf4", [0.004, 100.0]),
            choice("fp4", [0.006, 110.0]),
            choice("f16", [0.0, 400.0]),
            choice("int6", [0.001, 150.0]),
        ];
        let dearer = next(&choices, &choices[0], (1, 0)).unwrap();
        assert_eq!((dearer.format.as_str(), dearer.bytes, dearer.nats), ("int6", 50.0, 0.003));
        assert_eq!(next(&choices, &choices[2], (1, 0)), None);
        let reason = Reason { key: "layers.0.mlp.down_proj".into(), format: Format::Nf4, next: Some(dearer) };
        assert!(reason.to_string().ends_with("int6: 50 B more, 0.003 nats less"), "{reason}");
    }
}
