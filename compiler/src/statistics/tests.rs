//! Coverage of the bounds, by simulation: losses whose mean is known are drawn many times over.

mod candidates;

use samp_kernels::random::SplitMix64;

use super::*;

/// A distribution of what records lose, with its mean and how one is drawn.
struct Losses {
    name: &'static str,
    mean: f64,
    draw: fn(&mut SplitMix64) -> f64,
    /// The fewest records of which a sample shows how skewed it is.
    from: usize,
}

fn uniform(random: &mut SplitMix64) -> f64 {
    ((random.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

fn exponential(random: &mut SplitMix64) -> f64 {
    -uniform(random).ln()
}

fn normal(random: &mut SplitMix64) -> f64 {
    (2.0 * exponential(random)).sqrt() * (std::f64::consts::TAU * uniform(random)).cos()
}

/// Divergences are never negative; growths of the likelihood's logarithm, the last two, may be.
fn losses() -> [Losses; 7] {
    let losses = |name, mean, draw| Losses { name, mean, draw, from: LEAST_RECORDS };
    [
        losses("exponential", 1.0, exponential),
        losses("lognormal, σ = 1", 0.5f64.exp(), |random| normal(random).exp()),
        losses("gamma, shape ½", 0.5, |random| normal(random).powi(2) / 2.0),
        // Nine in ten lose about 1, one loses three times as much: 29 records or more hold one of those with 95 %.
        Losses {
            from: 30,
            ..losses("one in ten is large", 1.2, |random| {
                let small = 0.7 + 0.6 * uniform(random);
                if uniform(random) < 0.1 { 3.0 * small } else { small }
            })
        },
        losses("uniform", 0.5, uniform),
        losses("normal", 0.0, normal),
        losses("skewed about 0", 0.0, |random| exponential(random) - 1.0),
    ]
}

/// Records of 20 to 400 tokens, or all of the same length.
fn draw(losses: &Losses, count: usize, unequal: bool, random: &mut SplitMix64) -> Vec<RecordSum> {
    let mut record = || {
        let tokens = if unequal { (20.0 * 20f64.powf(uniform(random))).round() } else { 100.0 };
        RecordSum { sum: tokens * (losses.draw)(random), tokens }
    };
    (0..count).map(|_| record()).collect()
}

/// How many of some simulated bounds hold, of all.
fn coverage(
    losses: &Losses,
    count: usize,
    unequal: bool,
    bound: impl Fn(&[RecordSum]) -> Option<f64>,
) -> f64 {
    const DRAWS: usize = 10_000;
    let mut random = SplitMix64::new(count as u64);
    let holds = |_: &usize| {
        let records = draw(losses, count, unequal, &mut random);
        bound(&records).is_none_or(|bound| bound >= losses.mean)
    };
    (0..DRAWS).filter(holds).count() as f64 / DRAWS as f64
}

#[test]
fn bounds_hold_on_skewed_losses_from_two_records_on() {
    for losses in losses() {
        for count in [2, 3, 5, 10, 30, 100].into_iter().filter(|count| *count >= losses.from) {
            for unequal in [false, true] {
                let held = coverage(&losses, count, unequal, upper_bound);
                println!("{}, {count} records, unequal {unequal}: {:.1} %", losses.name, 100.0 * held);
                assert!(held >= 0.94, "{}, {count} records: {held}", losses.name);
            }
        }
    }
}

/// Strata that lose differently, with few records each: all together are bounded as if they were drawn from one.
#[test]
fn bounds_hold_over_strata() {
    let exponential = &losses()[0];
    for count in [1, 2, 3, 10] {
        let mut random = SplitMix64::new(count as u64);
        let holds = |_: &usize| {
            let strata = [1.0, 3.0, 10.0].map(|times| {
                let scaled = |r: RecordSum| RecordSum { sum: times * r.sum, ..r };
                draw(exponential, count, false, &mut random).into_iter().map(scaled).collect::<Vec<_>>()
            });
            upper_bound(&strata.concat()).unwrap() >= 14.0 / 3.0
        };
        let held = (0..5000).filter(holds).count() as f64 / 5000.0;
        println!("{count} records of each of three strata: {:.1} %", 100.0 * held);
        assert!(held >= 0.94, "{count} records: {held}");
    }
}

/// What the bounds replaced: the bootstrap's percentile. It does not hold, and of one record it is the mean.
#[test]
fn the_simulation_tells_a_bound_that_does_not_hold() {
    for (count, at_most) in [(2, 0.65), (5, 0.85), (10, 0.9)] {
        let held = coverage(&losses()[0], count, true, |records| Some(percentile(records)));
        assert!(held < at_most, "{count} records: {held}");
    }
    let one = [RecordSum { sum: 3.0, tokens: 2.0 }];
    assert_eq!((percentile(&one), upper_bound(&one)), (1.5, None));
}

fn percentile(records: &[RecordSum]) -> f64 {
    const RESAMPLES: usize = 100;
    let mut random = SplitMix64::new(1);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| mean(&records.iter().map(|_| records[random.below(records.len())]).collect::<Vec<_>>()))
        .collect();
    means.sort_by(f64::total_cmp);
    means[RESAMPLES * 95 / 100 - 1]
}

#[test]
fn of_many_records_the_factor_is_the_normal_distributions() {
    assert!((student(29.0) - 1.6991).abs() < 1e-4 && (student(27.0) - 1.7033).abs() < 1e-4);
    assert!((factor(1_000_000, 1.0) - Z).abs() < 0.002);
    let narrowing = (2..200).all(|count| factor(count + 1, 2.0) <= factor(count, 2.0));
    assert!(narrowing && factor(FACTORS.len() + 1, 0.0) > student(26.0));
}

#[test]
fn more_records_would_bring_the_bound_below_a_limit() {
    let needed = records_needed(10, 1.0, 3.0, 2.0).unwrap();
    assert!((20..40).contains(&needed), "{needed}");
    assert_eq!(records_needed(10, 1.0, 1.5, 2.0).map(|needed| needed <= 10), Some(true));
    assert_eq!(records_needed(10, 2.0, 3.0, 2.0), None, "the mean itself is at the limit");
}

#[test]
fn the_lower_bound_mirrors_the_upper() {
    let records = [1.0, 2.0, 6.0].map(|sum| RecordSum { sum, tokens: 1.0 });
    let mirrored = records.map(|r| RecordSum { sum: -r.sum, ..r });
    assert_eq!(lower_bound(&records), upper_bound(&mirrored).map(|bound| -bound));
    assert!(lower_bound(&records) < Some(3.0) && upper_bound(&records) > Some(3.0));
}
