//! What records say of a mean over all their tokens: one-sided bounds that hold for few records of skewed losses, too.
//!
//! Tokens of one record are not independent, so that records are what is counted. The estimate is the ratio of two sums, a
//! bound lies a number of standard errors above it: that of Student's distribution where there are many records, with the
//! skewness that they show taken into account, and more below 28 records, where the spread of those at hand says
//! little of the rare large one. `docs/decisions/027-bounds-from-few-records.md` says how it was chosen, and what no bound
//! covers.

/// Fewer records than this bound nothing: one alone does not say how records differ.
pub const LEAST_RECORDS: usize = 2;

/// What one record adds to a mean over tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordSum {
    /// Sum over its tokens.
    pub sum: f64,
    /// Its tokens, at least one.
    pub tokens: f64,
}

/// How many standard errors a bound lies from the mean of 2, 3, … 27 records that show no skewness: so many that
/// 95 % of the bounds hold on exponential losses, on gamma with shape ½ and on lognormal with σ = 1. The tests of this module
/// simulate them.
const FACTORS: [f64; 26] = [
    55.0, 15.6, 9.3, 6.9, 5.5, 4.65, 4.23, 3.93, 3.63, 3.4, 3.2, 3.0, 2.87, 2.74, 2.63, 2.5, 2.38, 2.3, 2.22,
    2.13, 2.04, 1.99, 1.93, 1.86, 1.81, 1.77,
];

/// The mean over all tokens; 0 without any.
pub(crate) fn mean(records: &[RecordSum]) -> f64 {
    let sum: f64 = records.iter().map(|r| r.sum).sum();
    sum / tokens(records).max(1.0)
}

/// What the mean lies below with 95 % confidence; `None` from fewer than [`LEAST_RECORDS`] records.
pub(crate) fn upper_bound(records: &[RecordSum]) -> Option<f64> {
    let spread = Spread::new(records)?;
    Some(mean(records) + factor(records.len(), spread.skewness) * spread.standard_error)
}

/// What the mean lies above with 95 % confidence; `None` from fewer than [`LEAST_RECORDS`] records.
pub(crate) fn lower_bound(records: &[RecordSum]) -> Option<f64> {
    let negative: Vec<RecordSum> = records.iter().map(|r| RecordSum { sum: -r.sum, ..*r }).collect();
    upper_bound(&negative).map(|bound| -bound)
}

/// About how many records like those of a mean would bring its upper bound down to a limit; `None` where the mean itself is
/// not below it, or where it would take more than a million. Losses are taken to be skewed as exponential ones are.
pub(crate) fn records_needed(records: usize, mean: f64, bound: f64, limit: f64) -> Option<usize> {
    const SKEWNESS: f64 = 2.0;
    const MOST: usize = 1_000_000;
    let distance = |count: usize| factor(count, SKEWNESS) / (count as f64).sqrt();
    let (records, room) = (records.max(LEAST_RECORDS), limit - mean);
    let enough = |count: usize| (bound - mean) * distance(count) / distance(records) <= room;
    if room <= 0.0 || !enough(MOST) {
        return None;
    }
    let (mut too_few, mut most) = (LEAST_RECORDS - 1, MOST);
    while most - too_few > 1 {
        let middle = (too_few + most) / 2;
        if enough(middle) { most = middle } else { too_few = middle }
    }
    Some(most)
}

/// How many standard errors a bound lies from the mean of so many records.
pub(crate) fn factor(records: usize, skewness: f64) -> f64 {
    let count = records as f64;
    // The first term is the Cornish–Fisher expansion's, (2z² + 1) / 6√n; the second makes up for the skewness that a sample
    // does not show.
    let slope = ((2.0 * Z * Z + 1.0) / (6.0 * count.sqrt()) + 22.0 / count).min(1.0);
    let at_rest = FACTORS.get(records.saturating_sub(2)).copied().unwrap_or_else(|| student(count - 1.0));
    at_rest + slope * skewness.max(0.0)
}

/// The normal distribution's 95 % quantile.
const Z: f64 = 1.644_853_626_951_472_7;

/// The 95 % quantile of Student's distribution, by its expansion in the degrees of freedom (Abramowitz and Stegun, 26.7.5): to
/// four digits from 20 of them on.
fn student(freedom: f64) -> f64 {
    let (z3, z5) = (Z.powi(3), Z.powi(5));
    Z + (z3 + Z) / (4.0 * freedom) + (5.0 * z5 + 16.0 * z3 + 3.0 * Z) / (96.0 * freedom * freedom)
}

/// How far records lie apart.
struct Spread {
    standard_error: f64,
    /// Of the records' own means; 0 where they are all the same.
    skewness: f64,
}

impl Spread {
    fn new(records: &[RecordSum]) -> Option<Spread> {
        if records.len() < LEAST_RECORDS {
            return None;
        }
        let (count, all, centre) = (records.len() as f64, tokens(records), mean(records));
        let share = |r: &RecordSum| r.tokens / all;
        let shares: f64 = records.iter().map(|r| share(r).powi(2)).sum();
        // Unbiased whether or not long records vary as short ones do, but where a long record stands for most tokens this
        // knows the spread from that record alone: then the spread of all records, each counted once, is the safer guess.
        let own = |r: &RecordSum| {
            let (share, off) = (share(r), r.sum / r.tokens - centre);
            (share * off).powi(2) / (1.0 - 2.0 * share + shares)
        };
        let linearized: f64 = records.iter().map(own).sum();
        let moment = |power: i32, about: f64| {
            records.iter().map(|r| (r.sum / r.tokens - about).powi(power)).sum::<f64>() / count
        };
        let average = moment(1, 0.0);
        let variance = moment(2, average);
        let pooled = variance * count / (count - 1.0) * shares;
        let skewness = if variance > 0.0 { moment(3, average) / variance.powf(1.5) } else { 0.0 };
        Some(Spread { standard_error: linearized.max(pooled).sqrt(), skewness })
    }
}

fn tokens(records: &[RecordSum]) -> f64 {
    records.iter().map(|r| r.tokens).sum()
}

#[cfg(test)]
mod tests;
