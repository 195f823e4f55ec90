//! Seeded sampling: an order of the records, a part held out, and a sample that follows a mix.
//!
//! The order hangs on the seed and on what the records say, not on where they stand: the same records in another order, or
//! in several files put together, give the same sample, and equal records come on the same side (but where the last of the
//! held-out part lies among them).

use std::collections::{BTreeMap, VecDeque};

use samp_ir::Diagnostic;

use super::{
    encode::{Strata, TokenRecord},
    mix::{Mix, tokens},
};
use crate::error_code;

/// One record in so many is held out.
const HELD_OUT: usize = 8;

/// Puts the records of each stratum into a random order in which those of more weight tend to come first: any first part
/// of it is a sample without replacement (Efraimidis and Spirakis, 2006).
pub(super) fn shuffled(records: Vec<TokenRecord>, seed: u64) -> Strata {
    let mut strata: BTreeMap<String, Vec<(f64, TokenRecord)>> = BTreeMap::new();
    for record in records {
        strata.entry(record.stratum.clone()).or_default().push((place(&record, seed), record));
    }
    let order = |(name, mut records): (String, Vec<(f64, TokenRecord)>)| {
        records.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.tokens.cmp(&b.1.tokens)));
        (name, records.into_iter().map(|(_, record)| record).collect())
    };
    strata.into_iter().map(order).collect()
}

/// Where a record comes: exponentially distributed, at a rate of its weight.
fn place(record: &TokenRecord, seed: u64) -> f64 {
    let uniform = (hashed(record, "order", seed) >> 11) as f64 + 0.5;
    -(uniform / (1u64 << 53) as f64).ln() / record.weight
}

fn hashed(record: &TokenRecord, purpose: &str, seed: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(purpose.as_bytes()).update(&seed.to_le_bytes());
    hasher.update(bytemuck::cast_slice(&record.tokens));
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Takes an eighth of each stratum's records, but at least one and never the only one. Weights make no difference here.
pub(super) fn hold_out(strata: &mut Strata, seed: u64) -> Vec<TokenRecord> {
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
/// The next record is always of the stratum that has come to the least part of its share (the first by name, where several
/// have), until it would exceed the budget; a stratum that has its share, or no more records, gives none. So any first part
/// of the sample follows the mix, each stratum exceeds its share by less than a record, and the whole stays within a
/// record of the budget unless records run out. Only a single record may exceed the budget: the first, rather than none.
pub(super) fn sample(strata: Strata, mix: &Mix, budget: usize) -> (Vec<TokenRecord>, Option<Diagnostic>) {
    let shares = mix.share(budget);
    let share = |name: &str| shares.get(name).copied().unwrap_or(0);
    let warning = short(&strata, mix, &share);
    let mut queues: Vec<Queue> = strata
        .into_iter()
        .map(|(name, records)| Queue { rest: records.into(), drawn: 0, share: share(&name) })
        .collect();
    let (mut all, mut left): (Vec<TokenRecord>, usize) = (vec![], budget);
    loop {
        let open = queues.iter_mut().filter(|queue| queue.drawn < queue.share);
        let next = open.filter(|queue| !queue.rest.is_empty()).min_by_key(|queue| queue.part());
        let Some((record, queue)) = next.and_then(|queue| Some((queue.rest.pop_front()?, queue))) else {
            return (all, warning);
        };
        let length = record.tokens.len();
        if length > left && !all.is_empty() {
            return (all, warning);
        }
        left = left.saturating_sub(length);
        queue.drawn += length;
        all.push(record);
    }
}

/// A stratum that is drawn from.
struct Queue {
    rest: VecDeque<TokenRecord>,
    drawn: usize,
    share: usize,
}

impl Queue {
    /// The part of its share that was drawn, as a fraction with 64 binary places.
    fn part(&self) -> u128 {
        ((self.drawn as u128) << 64) / self.share as u128
    }
}

/// Warns of strata with fewer tokens than a declared mix gives them.
fn short(strata: &Strata, mix: &Mix, share: &dyn Fn(&str) -> usize) -> Option<Diagnostic> {
    let few = strata.iter().map(|(name, records)| (name, tokens(records), share(name)));
    let few: Vec<_> = few.filter(|(_, own, share)| mix.is_declared() && own < share).collect();
    if few.is_empty() {
        return None;
    }
    let message = "strata with fewer tokens than --mix asks for: the sample does not have that mix";
    let finding = Diagnostic::bad_input(error_code::SHORT_STRATA, message).warning();
    let notes = few.into_iter().map(|(name, own, share)| format!("`{name}`: {own} of {share} tokens"));
    Some(notes.fold(finding, Diagnostic::note).hint("give more records of them, or lower --calib-tokens"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 4] = ["chat", "code", "json", "prose"];

    fn record(stratum: usize, length: usize, first: u32, weight: f64) -> TokenRecord {
        let tokens = (0..length as u32).map(|i| first.wrapping_add(i)).collect();
        TokenRecord { tokens, stratum: NAMES[stratum].into(), weight, chat: false }
    }

    fn records() -> impl Strategy<Value = Vec<TokenRecord>> {
        let one =
            (0..NAMES.len(), 2..60usize, any::<u32>(), prop::sample::select(vec![0.01, 1.0, 1.0, 50.0]));
        prop::collection::vec(one.prop_map(|(s, l, f, w)| record(s, l, f, w)), 1..120)
    }

    /// Some of the strata that there are, in some parts; or the data's own mix.
    fn mix(strata: &Strata, parts: &[u32]) -> Mix {
        let named = strata.keys().zip(parts).filter(|(_, part)| **part > 0);
        let text: Vec<String> = named.map(|(name, part)| format!("{name}={part}")).collect();
        if text.is_empty() {
            Mix::of_data(strata)
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
            let total = tokens(&drawn);
            prop_assert!(total <= budget || drawn.len() == 1);
            let (mut ran_out, mut enough) = (false, true);
            for (name, share) in mix.share(budget) {
                let own: usize = drawn.iter().filter(|r| r.stratum == name).map(|r| r.tokens.len()).sum();
                let most = tokens(&strata[name]);
                prop_assert!(own == 0 || own < share + longest, "{name}: {own} of {share}");
                ran_out |= most < share;
                enough &= own >= share.min(most);
                if most >= share && total + longest <= budget {
                    prop_assert!(own >= share, "{name}: {own} of {share}");
                }
                // With so many strata, each of which may be a record ahead.
                let behind = (mix.parts()[name] * (NAMES.len() * longest) as f64).ceil() as usize + 1;
                prop_assert!(own + behind >= share.min(most), "{name}: {own} of {share}");
            }
            prop_assert!(enough || total + longest > budget);
            prop_assert_eq!(warning.is_some(), mix.is_declared() && ran_out);
        }

        #[test]
        fn any_first_part_follows_the_mix(records in records(), cut in 0..120usize) {
            let longest = records.iter().map(|r| r.tokens.len()).max().unwrap_or(0) as f64;
            let strata = shuffled(records, 1);
            let mix = Mix::of_data(&strata);
            let budget = strata.values().map(|records| tokens(records)).sum();
            let (all, _) = sample(strata, &mix, budget);
            let first = &all[..cut.min(all.len())];
            for (name, part) in mix.parts() {
                let own: usize = first.iter().filter(|r| r.stratum == *name).map(|r| r.tokens.len()).sum();
                let expected = part * tokens(first) as f64;
                prop_assert!((own as f64 - expected).abs() <= longest * NAMES.len() as f64);
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
            let mix = Mix::of_data(&a);
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
            let mix = Mix::of_data(&strata);
            let budget = strata.values().map(|r| tokens(r)).sum();
            let (all, warning) = sample(strata, &mix, budget);
            prop_assert_eq!((all.len() + held_out.len(), warning), (count, None));
        }
    }

    #[test]
    fn records_of_more_weight_come_first_more_often() {
        let strata: Vec<TokenRecord> =
            (0..2000).map(|i| record(0, 8, 1000 * i, if i % 2 == 0 { 3.0 } else { 1.0 })).collect();
        let ordered = shuffled(strata, 7).remove("chat").unwrap();
        let heavy = ordered[..200].iter().filter(|r| r.weight > 1.0).count();
        // Three in four at the very first; a little fewer as the heavy ones run out.
        assert!((135..=165).contains(&heavy), "{heavy}");
        let seeds: Vec<Strata> = (0..2).map(|seed| shuffled(ordered.clone(), seed)).collect();
        assert_ne!(seeds[0], seeds[1]);
    }
}
