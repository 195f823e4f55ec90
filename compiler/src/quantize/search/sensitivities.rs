//! A profile as the passes take it.

use samp_passes::{FormatCost, MemberSensitivity, Sensitivities, WeightSensitivity};

use crate::certificate::{Divergence, MemberProfile, Profile, Sensitivity};

/// What the passes need of a profile.
pub fn sensitivities(profile: &Profile) -> Sensitivities {
    let mut strata: Vec<String> = vec![];
    for sensitivity in profile.weights.iter().flat_map(|w| &w.formats) {
        strata.extend(
            sensitivity.divergence.strata.keys().filter(|s| !strata.contains(s)).cloned().collect::<Vec<_>>(),
        );
    }
    strata.sort();
    let cost = |s: &Sensitivity| FormatCost {
        format: s.format,
        nats: s.divergence.nats,
        strata: strata_nats(&s.divergence, &strata),
    };
    let member = |member: &MemberProfile| MemberSensitivity {
        key: member.key.clone(),
        rows: member.rows,
        formats: member.formats.iter().map(cost).collect(),
    };
    let weights = profile.weights.iter().map(|weight| WeightSensitivity {
        key: weight.key.clone(),
        outliers: weight.outlier_columns(),
        formats: weight.formats.iter().map(cost).collect(),
        members: weight.parts.iter().map(member).collect(),
    });
    let weights = weights.collect();
    Sensitivities { weights, strata }
}

/// The loss of each of these strata; 0 where a stratum was not measured.
pub(super) fn strata_nats(divergence: &Divergence, strata: &[String]) -> Vec<f64> {
    strata.iter().map(|name| divergence.strata.get(name).copied().unwrap_or(0.0)).collect()
}
