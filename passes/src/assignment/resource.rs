//! What a plan spends, by name of the thing and never by position.

use std::{fmt, ops::Index, sync::Arc};

use super::Unit;

/// Something that every choice costs an amount of and a plan spends the sum of. Its [`Display`](fmt::Display) is the
/// name that limits, shadow prices and refusals go by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// The divergence from the unquantized model over all tokens, in nats per token.
    Loss,
    /// The same divergence over the tokens of one stratum of the calibration data.
    StratumLoss(Stratum),
    /// The bytes of all weights, scales included.
    WeightBytes,
    /// All bytes on the device: weights, KV cache at the declared limits, activation arena.
    DeviceBytes,
    /// Bits per weight over the decoder's linears, scales included.
    BitsPerWeight,
    /// The nanoseconds that a step over so many tokens takes.
    StepTime {
        /// Tokens in the step, over all sequences.
        tokens: u64,
    },
}

/// A stratum of the calibration data, such as `code`; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stratum(Arc<str>);

impl Resource {
    /// The loss over one stratum.
    pub fn stratum_loss(name: &str) -> Resource {
        Resource::StratumLoss(Stratum(name.into()))
    }

    /// What its numbers count.
    pub fn unit(&self) -> Unit {
        match self {
            Resource::Loss | Resource::StratumLoss(_) => Unit::Nats,
            Resource::WeightBytes | Resource::DeviceBytes => Unit::Bytes,
            Resource::BitsPerWeight => Unit::Bits,
            Resource::StepTime { .. } => Unit::Nanos,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resource::Loss => f.write_str("loss"),
            Resource::StratumLoss(Stratum(name)) => write!(f, "loss of {name}"),
            Resource::WeightBytes => f.write_str("weight bytes"),
            Resource::DeviceBytes => f.write_str("device bytes"),
            Resource::BitsPerWeight => f.write_str("bits per weight"),
            Resource::StepTime { tokens } => write!(f, "time of {tokens} tokens"),
        }
    }
}

/// An amount of each of some resources, in the resource's own unit; indexed by the resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Costs(Vec<(Resource, f64)>);

impl Costs {
    /// Nothing of each resource.
    pub fn zero(resources: &[Resource]) -> Costs {
        resources.iter().map(|resource| (resource.clone(), 0.0)).collect()
    }

    /// The amount of a resource; `None` where it is not among these.
    pub fn get(&self, resource: &Resource) -> Option<f64> {
        self.0.iter().find(|(own, _)| own == resource).map(|(_, amount)| *amount)
    }

    /// Adds `other`'s amount to each of these resources.
    ///
    /// # Panics
    /// When `other` lacks one of them.
    pub fn add(&mut self, other: &Costs) {
        self.0.iter_mut().for_each(|(resource, amount)| *amount += other[resource]);
    }
}

impl Index<&Resource> for Costs {
    type Output = f64;

    /// # Panics
    /// When the resource is not among these.
    fn index(&self, resource: &Resource) -> &f64 {
        let found = self.0.iter().find(|(own, _)| own == resource);
        &found.unwrap_or_else(|| panic!("costs have an amount of {resource}")).1
    }
}

impl FromIterator<(Resource, f64)> for Costs {
    fn from_iter<I: IntoIterator<Item = (Resource, f64)>>(amounts: I) -> Costs {
        Costs(amounts.into_iter().collect())
    }
}

impl Extend<(Resource, f64)> for Costs {
    fn extend<I: IntoIterator<Item = (Resource, f64)>>(&mut self, amounts: I) {
        self.0.extend(amounts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Certificates, reports and refusals are written in these words.
    #[test]
    fn resources_are_named_as_certificates_name_them() {
        let all = [
            (Resource::Loss, "loss"),
            (Resource::stratum_loss("code"), "loss of code"),
            (Resource::WeightBytes, "weight bytes"),
            (Resource::DeviceBytes, "device bytes"),
            (Resource::BitsPerWeight, "bits per weight"),
            (Resource::StepTime { tokens: 16 }, "time of 16 tokens"),
        ];
        for (resource, name) in all {
            assert_eq!(resource.to_string(), name);
        }
    }

    #[test]
    fn amounts_are_found_by_their_resource_whatever_their_order() {
        let mut total = Costs::zero(&[Resource::Loss, Resource::WeightBytes]);
        total.add(&Costs::from_iter([(Resource::WeightBytes, 8.0), (Resource::Loss, 0.5)]));
        assert_eq!((total[&Resource::Loss], total[&Resource::WeightBytes]), (0.5, 8.0));
        assert_eq!(total.get(&Resource::stratum_loss("code")), None);
    }
}
