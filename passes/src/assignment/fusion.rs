//! Fusion groups: one tensor with one format, or its members apart with a format each.

use super::{Candidate, Costs, Error, Group, dominance::undominated_where};

/// The most combinations of members that a group may have.
const MOST: usize = 1 << 14;

/// Lets a fused group also be stored apart: adds to the candidates of `fused` every combination of one candidate per
/// member, with the costs summed and `penalty` added (the latency of running several kernels instead of one).
///
/// The choice stays exact. A combination is left out only if another one costs no more in any respect and uses no
/// format that the first does not, so that no bar can forbid the better and leave the worse.
///
/// # Errors
/// [`Error::Combinations`] when too many are left.
pub fn fused_or_apart(mut fused: Group, members: &[Vec<Candidate>], penalty: &Costs) -> Result<Group, Error> {
    let mut apart = vec![Candidate { formats: vec![], costs: penalty.clone() }];
    for member in members {
        let all: Vec<Candidate> = apart.iter().flat_map(|a| member.iter().map(move |m| a.joined(m))).collect();
        apart = better(all);
        if apart.len() > MOST {
            return Err(Error::Combinations { group: fused.name, found: apart.len(), most: MOST });
        }
    }
    fused.candidates.extend(apart);
    fused.candidates = better(fused.candidates);
    Ok(fused)
}

impl Candidate {
    fn joined(&self, other: &Candidate) -> Candidate {
        let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x + y).collect();
        Candidate {
            formats: self.formats.iter().chain(&other.formats).cloned().collect(),
            costs: Costs {
                bytes: self.costs.bytes + other.costs.bytes,
                loss: sum(&self.costs.loss, &other.costs.loss),
                decode_nanos: sum(&self.costs.decode_nanos, &other.costs.decode_nanos),
                prefill_nanos: self.costs.prefill_nanos + other.costs.prefill_nanos,
            },
        }
    }
}

fn better(candidates: Vec<Candidate>) -> Vec<Candidate> {
    let points: Vec<Vec<f64>> = candidates
        .iter()
        .map(|c| {
            let ends = [c.costs.bytes, c.costs.prefill_nanos];
            ends.iter().chain(&c.costs.loss).chain(&c.costs.decode_nanos).copied().collect()
        })
        .collect();
    let no_other_format =
        |a: usize, b: usize| candidates[a].formats.iter().all(|f| candidates[b].formats.contains(f));
    undominated_where(&points, no_other_format).into_iter().map(|i| candidates[i].clone()).collect()
}
