//! Bounds that were not chosen, side by side with the one that was: how many of them hold, and how far they lie from the mean.
//! Decision 027 has this table from more draws.

use super::*;

/// A way to bound a mean.
type Candidate = (&'static str, fn(&[RecordSum]) -> Option<f64>);

const CANDIDATES: [Candidate; 5] = [
    ("percentile bootstrap", |records| Some(percentile(records))),
    ("Student", |records| spread_bound(records, |freedom, _| student_quantile(freedom))),
    ("Johnson", |records| {
        // Johnson (1978): the statistic without its skewness, of the second order.
        spread_bound(records, |freedom, skewness| {
            let t = student_quantile(freedom);
            t + skewness * (1.0 + 2.0 * t * t) / (6.0 * (freedom + 1.0).sqrt())
        })
    }),
    ("bootstrap t", bootstrap_t),
    ("chosen", upper_bound),
];

/// Draws of each cell; the table of the decision has 4000.
const DRAWS: usize = 300;

#[test]
fn no_other_candidate_holds_at_few_records() {
    for losses in &losses()[..4] {
        for count in [2, 3, 5, 10, 30, 100] {
            let cells = CANDIDATES.map(|(name, bound)| {
                let (held, distance) = simulated(losses, count, bound);
                if name != "chosen" && count == 5 {
                    assert!(held < 0.93, "{name}: {held} of {} from {count} records", losses.name);
                }
                format!("{:.0} % × {distance:.2}", 100.0 * held)
            });
            println!("| {} | {count} | {} |", losses.name, cells.join(" | "));
        }
    }
}

/// The part of the bounds that hold, and their median distance from the estimate in parts of the true mean.
fn simulated(losses: &Losses, count: usize, bound: fn(&[RecordSum]) -> Option<f64>) -> (f64, f64) {
    let mut random = SplitMix64::new(count as u64);
    let bounds = (0..DRAWS).map(|_| {
        let records = draw(losses, count, true, &mut random);
        let bound = bound(&records).unwrap_or(f64::INFINITY);
        (bound >= losses.mean, (bound - mean(&records)) / losses.mean)
    });
    let (held, mut distances): (Vec<bool>, Vec<f64>) = bounds.unzip();
    distances.sort_by(f64::total_cmp);
    (held.iter().filter(|held| **held).count() as f64 / DRAWS as f64, distances[DRAWS / 2])
}

fn spread_bound(records: &[RecordSum], factor: impl Fn(f64, f64) -> f64) -> Option<f64> {
    let spread = linearized(records)?;
    let count = records.len() as f64;
    Some(mean(records) + factor(count - 1.0, spread.skewness) * spread.standard_error)
}

/// The ratio estimator's textbook spread (Cochran), without the care that few records of unequal lengths need.
fn linearized(records: &[RecordSum]) -> Option<Spread> {
    let (count, all, centre) = (records.len() as f64, tokens(records), mean(records));
    let off: Vec<f64> = records.iter().map(|r| (r.sum - centre * r.tokens) / all).collect();
    let moment = |power: i32| off.iter().map(|off| off.powi(power)).sum::<f64>();
    let variance = moment(2) * count / (count - 1.0);
    let skewness = moment(3) / count / (moment(2) / count).powf(1.5);
    (count > 1.0 && variance > 0.0).then(|| Spread { standard_error: variance.sqrt(), skewness })
}

/// The distance in standard errors that 95 % of resamples keep; those that draw one record again and again have none.
fn bootstrap_t(records: &[RecordSum]) -> Option<f64> {
    const RESAMPLES: usize = 100;
    let (own, centre) = (linearized(records)?, mean(records));
    let mut random = SplitMix64::new(1);
    let mut distances: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let drawn: Vec<RecordSum> =
                records.iter().map(|_| records[random.below(records.len())]).collect();
            Some((mean(&drawn) - centre) / linearized(&drawn)?.standard_error)
        })
        .collect();
    distances.sort_by(f64::total_cmp);
    let lowest = distances.get(distances.len() * 5 / 100)?;
    Some(centre - lowest * own.standard_error)
}

/// The 95 % quantile of Student's distribution, exact for few degrees of freedom.
fn student_quantile(freedom: f64) -> f64 {
    const FEW: [f64; 9] = [6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833];
    FEW.get(freedom as usize - 1).copied().unwrap_or_else(|| student(freedom))
}
