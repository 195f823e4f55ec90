//! Seeded sampling: an order of the records, a part held out, and a sample that follows a mix.
//!
//! The order hangs on the seed and on what the records say, not on where they stand: the same records in another order, or
//! in several files put together, give the same sample, and equal records come on the same side (but where the last of the
//! held-out part lies among them).

use std::collections::BTreeMap;

use samp_ir::Diagnostic;

use super::{DataRecord, Mix, code, mix::tokens};

/// The records of each stratum.
pub type Strata = BTreeMap<String, Vec<DataRecord>>;

/// One record in so many is held out.
const HELD_OUT: usize = 8;

/// Puts the records of each stratum into a random order in which those of more weight tend to come first: any first part
/// of it is a sample without replacement (Efraimidis and Spirakis, 2006).
pub fn shuffled(records: Vec<DataRecord>, seed: u64) -> Strata {
    let mut strata: BTreeMap<String, Vec<(f64, DataRecord)>> = BTreeMap::new();
    for record in records {
        strata.entry(record.stratum.clone()).or_default().push((place(&record, seed), record));
    }
    let order = |(name, mut records): (String, Vec<(f64, DataRecord)>)| {
        records.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.tokens.cmp(&b.1.tokens)));
        (name, records.into_iter().map(|(_, record)| record).collect())
    };
    strata.into_iter().map(order).collect()
}

/// Where a record comes: exponentially distributed, at a rate of its weight.
fn place(record: &DataRecord, seed: u64) -> f64 {
    let uniform = (hashed(record, "order", seed) >> 11) as f64 + 0.5;
    -(uniform / (1u64 << 53) as f64).ln() / record.weight
}

fn hashed(record: &DataRecord, purpose: &str, seed: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(purpose.as_bytes()).update(&seed.to_le_bytes());
    hasher.update(bytemuck::cast_slice(&record.tokens));
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Takes an eighth of each stratum's records, but at least one and never the only one. Weights make no difference here.
pub fn hold_out(strata: &mut Strata, seed: u64) -> Vec<DataRecord> {
    let mut held_out = vec![];
    for records in strata.values_mut().filter(|records| records.len() > 1) {
        let count = ((records.len() + HELD_OUT / 2) / HELD_OUT).max(1);
        let mut order: Vec<usize> = (0..records.len()).collect();
        order.sort_by_cached_key(|&index| (hashed(&records[index], "hold out", seed), index));
        let mut out = vec![false; records.len()];
        order[..count].iter().for_each(|&index| out[index] = true);
        for (record, out) in std::mem::take(records).into_iter().zip(out) {
            if out { held_out.push(record) } else { records.push(record) }
        }
    }
    held_out
}

/// Draws whole records up to `budget` tokens, shared over the strata by the mix; says which strata have too few.
///
/// Each stratum gives its first records, until the next would exceed its share; so the sample never exceeds the budget, and
/// each stratum stays within a record of its share, unless it has no more. Only where no stratum's first record fits, that
/// of the largest is taken alone. Any first part of the sample has about the mix of the whole.
pub fn sample(strata: Strata, mix: &Mix, budget: usize) -> (Vec<DataRecord>, Option<Diagnostic>) {
    let shares = mix.share(budget);
    let mut notes = vec![];
    let mut drawn: Strata = BTreeMap::new();
    for (name, records) in &strata {
        let share = shares.get(name.as_str()).copied().unwrap_or(0);
        let mut sum = 0;
        let fits = |record: &&DataRecord| {
            sum += record.tokens.len();
            sum <= share
        };
        let count = records.iter().take_while(fits).count();
        let own = tokens(records);
        if mix.is_declared() && own < share {
            notes.push(format!("`{name}`: {share} tokens wanted, {own} found"));
        } else if share > 0 && count == 0 {
            notes
                .push(format!("`{name}`: nothing drawn, its first record is longer than its {share} tokens"));
        }
        drawn.insert(name.clone(), records[..count].to_vec());
    }
    if drawn.values().all(Vec::is_empty) {
        let part = |name: &String| mix.parts().get(name).copied().unwrap_or(0.0);
        let largest =
            strata.iter().filter(|s| part(s.0) > 0.0).max_by(|a, b| part(a.0).total_cmp(&part(b.0)));
        drawn.extend(largest.map(|(name, records)| (name.clone(), records[..1.min(records.len())].to_vec())));
    }
    let warning = (!notes.is_empty()).then(|| {
        let finding =
            Diagnostic::bad_input(code::SHORT, "the sample does not have the mix asked for").warning();
        let hint = "give more records of these strata, or change --calib-tokens or --mix";
        notes.into_iter().fold(finding, Diagnostic::note).hint(hint)
    });
    (interleaved(drawn), warning)
}

/// One after another from the stratum of which the least part has come; ties go to the first name.
fn interleaved(strata: Strata) -> Vec<DataRecord> {
    struct Queue {
        rest: std::vec::IntoIter<DataRecord>,
        come: u128,
        total: u128,
    }
    let queue = |records: Vec<DataRecord>| Queue {
        come: 0,
        total: tokens(&records) as u128,
        rest: records.into_iter(),
    };
    let mut queues: Vec<Queue> = strata.into_values().map(queue).collect();
    let mut all = vec![];
    loop {
        let waiting = queues.iter_mut().filter(|queue| !queue.rest.as_slice().is_empty());
        let next = waiting.min_by(|a, b| (a.come * b.total).cmp(&(b.come * a.total)));
        let Some(record) = next.and_then(|queue| {
            let record = queue.rest.next()?;
            queue.come += record.tokens.len() as u128;
            Some(record)
        }) else {
            return all;
        };
        all.push(record);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 4] = ["chat", "code", "json", "prose"];

    fn record(stratum: usize, length: usize, first: u32, weight: f64) -> DataRecord {
        let tokens = (0..length as u32).map(|i| first.wrapping_add(i)).collect();
        DataRecord { tokens, stratum: NAMES[stratum].into(), weight, chat: false }
    }

    fn records() -> impl Strategy<Value = Vec<DataRecord>> {
        let one =
            (0..NAMES.len(), 2..60usize, any::<u32>(), prop::sample::select(vec![0.01, 1.0, 1.0, 50.0]));
        prop::collection::vec(one.prop_map(|(s, l, f, w)| record(s, l, f, w)), 1..120)
    }

    /// Some of the strata that there are, in some parts; or the data's own mix.
    fn mix(strata: &Strata, parts: &[u32]) -> Mix {
        let named = strata.keys().zip(parts).filter(|(_, part)| **part > 0);
        let text: Vec<String> = named.map(|(name, part)| format!("{name}={part}")).collect();
        if text.is_empty() {
            Mix::of(strata)
        } else {
            Mix::parse(&text.join(",")).unwrap().over(strata, "a").unwrap().0
        }
    }

    proptest! {
        #[test]
        fn samples_stay_within_the_budget_and_a_record_of_the_mix(
            records in records(), budget in 0..4000usize, parts in prop::collection::vec(0..5u32, 4), seed: u64,
        ) {
            let longest = records.iter().map(|r| r.tokens.len()).max().unwrap_or(0);
            let strata = shuffled(records, seed);
            let mix = mix(&strata, &parts);
            let (drawn, warning) = sample(strata.clone(), &mix, budget);
            prop_assert!(tokens(&drawn) <= budget || drawn.len() == 1);
            prop_assert!(!drawn.is_empty());
            if drawn.len() == 1 {
                return Ok(());
            }
            let mut short = false;
            for (name, share) in mix.share(budget) {
                let own: usize = drawn.iter().filter(|r| r.stratum == name).map(|r| r.tokens.len()).sum();
                let most = tokens(&strata[name]);
                prop_assert!(own <= share && (own == most || own + longest > share), "{name}: {own} of {share}");
                short |= most < share;
            }
            if mix.is_declared() && short {
                prop_assert!(warning.is_some());
            }
        }

        #[test]
        fn any_first_part_has_about_the_mix_of_the_whole(records in records(), cut in 0..120usize) {
            let longest = records.iter().map(|r| r.tokens.len()).max().unwrap_or(0) as f64;
            let all = interleaved(shuffled(records, 1));
            let first = &all[..cut.min(all.len())];
            let of = |part: &[DataRecord], name: &str| {
                part.iter().filter(|r| r.stratum == name).map(|r| r.tokens.len()).sum::<usize>() as f64
            };
            for name in NAMES {
                let expected = of(&all, name) * tokens(first) as f64 / tokens(&all) as f64;
                prop_assert!((of(first, name) - expected).abs() <= longest * NAMES.len() as f64);
            }
        }

        #[test]
        fn the_seed_decides_and_the_order_of_the_file_does_not(records in records(), seed: u64) {
            let mut backwards = records.clone();
            backwards.reverse();
            // Equal tokens of unequal weight are told apart by their places; equal records are the same.
            let (mut a, mut b) = (shuffled(records.clone(), seed), shuffled(backwards, seed));
            prop_assert_eq!(&a, &b);
            prop_assert_eq!(hold_out(&mut a, seed), hold_out(&mut b, seed));
            let mix = Mix::of(&a);
            prop_assert_eq!(sample(a, &mix, 500), sample(b, &mix, 500));
        }

        #[test]
        fn an_eighth_of_each_stratum_is_held_out_and_the_rest_is_all_used(records in records(), seed: u64) {
            let count = records.len();
            let mut strata = shuffled(records, seed);
            let sizes: Vec<usize> = strata.values().map(Vec::len).collect();
            let held_out = hold_out(&mut strata, seed);
            for ((name, kept), size) in strata.iter().zip(sizes) {
                let held = held_out.iter().filter(|r| r.stratum == *name).count();
                prop_assert_eq!(kept.len() + held, size);
                prop_assert!(!kept.is_empty() && (held as f64 - size as f64 / 8.0).abs() <= 1.0);
            }
            let mix = Mix::of(&strata);
            let budget = strata.values().map(|r| tokens(r)).sum();
            let (all, warning) = sample(strata, &mix, budget);
            prop_assert_eq!((all.len() + held_out.len(), warning), (count, None));
        }
    }

    #[test]
    fn records_of_more_weight_come_first_more_often() {
        let strata: Vec<DataRecord> =
            (0..2000).map(|i| record(0, 8, 1000 * i, if i % 2 == 0 { 3.0 } else { 1.0 })).collect();
        let ordered = shuffled(strata, 7).remove("chat").unwrap();
        let heavy = ordered[..200].iter().filter(|r| r.weight > 1.0).count();
        // Three in four at the very first; a little fewer as the heavy ones run out.
        assert!((135..=165).contains(&heavy), "{heavy}");
        let seeds: Vec<Strata> = (0..2).map(|seed| shuffled(ordered.clone(), seed)).collect();
        assert_ne!(seeds[0], seeds[1]);
    }
}
