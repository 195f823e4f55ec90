//! Why each matrix and the KV cache have their format: what the next upgrade would have cost and saved.

use std::fmt;

use samp_abi::Format;

use crate::{
    Decision,
    assignment::{Choice, Resource, Unit},
    formulation::KV,
};

/// A decision, and the nearest one that would have lost less.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// The weight's name in the graph, or the KV cache.
    pub key: String,
    /// What it has.
    pub format: Format,
    /// The cheapest of the larger formats that lose less; `None` where there is none.
    pub upgrade: Option<Upgrade>,
}

/// A format that was not taken, against the one that was.
#[derive(Clone, Debug, PartialEq)]
pub struct Upgrade {
    /// The larger format.
    pub format: Format,
    /// Bytes that it takes more.
    pub bytes: f64,
    /// Nats per token that it loses less.
    pub nats: f64,
}

impl Decision {
    /// One for each matrix, or member of one that is split, in the graph's order, then one for the KV cache.
    pub fn reasons(&self) -> Vec<Reason> {
        let reason = |(key, format): &(String, Format)| {
            let mut members = self
                .formulation
                .problem
                .groups
                .iter()
                .flat_map(|g| &g.alternatives)
                .flat_map(|alternative| &alternative.members);
            let choices =
                members.find(|member| member.name == *key).map_or(&[][..], |member| &member.choices);
            let own = choices.iter().find(|choice| choice.format == *format);
            let upgrade = own.and_then(|own| upgrade(choices, own));
            Reason { key: key.clone(), format: *format, upgrade }
        };
        self.formats.iter().chain([&(KV.to_owned(), self.kv)]).map(reason).collect()
    }
}

/// The cheapest choice of more bytes and less loss.
fn upgrade(choices: &[Choice], own: &Choice) -> Option<Upgrade> {
    let bytes = |choice: &Choice| choice.costs[&Resource::DeviceBytes];
    let loss = |choice: &Choice| choice.costs[&Resource::Loss];
    let better = |choice: &&Choice| bytes(choice) > bytes(own) && loss(choice) < loss(own);
    let next = choices.iter().filter(better).min_by(|a, b| bytes(a).total_cmp(&bytes(b)))?;
    Some(Upgrade { format: next.format, bytes: bytes(next) - bytes(own), nats: loss(own) - loss(next) })
}

impl fmt::Display for Reason {
    /// A row of a table: weight, format, and what the next upgrade would do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reason { key, format, upgrade } = self;
        write!(f, "{key:<36} {format:<16} ")?;
        match upgrade {
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
    use crate::assignment::Costs;

    #[test]
    fn the_next_upgrade_is_the_cheapest_that_loses_less() {
        let choice = |format, nats, bytes| Choice {
            format,
            costs: Costs::from_iter([(Resource::Loss, nats), (Resource::DeviceBytes, bytes)]),
        };
        let choices = [
            choice(Format::Nf4, 0.004, 100.0),
            choice(Format::Fp4, 0.006, 110.0),
            choice(Format::F16, 0.0, 400.0),
            choice(Format::INT8, 0.001, 150.0),
        ];
        let next = upgrade(&choices, &choices[0]).unwrap();
        assert_eq!((next.format, next.bytes, next.nats), (Format::INT8, 50.0, 0.003));
        assert_eq!(upgrade(&choices, &choices[2]), None);
        let reason =
            Reason { key: "layers.0.mlp.down_proj".into(), format: Format::Nf4, upgrade: Some(next) };
        assert!(reason.to_string().ends_with("int8: 50 B more, 0.003 nats less"), "{reason}");
    }
}
