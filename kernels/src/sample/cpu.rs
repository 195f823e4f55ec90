//! Choosing tokens on CPUs: rows are shared out over the threads, and logits are gone through by vectors where nothing asks for
//! their order.

use super::{
    reference::{LogSum, by_logit, drawn, keep_likely, part_of, reach, sample_row},
    weights::Weights,
};
use crate::{
    args::{SampleArgs, SampleRequest, SampledToken, SamplingParams},
    parallel::for_each_of,
};

/// What a logit costs, in multiply–adds: it is compared, and two of its exponentials are summed.
const LOGIT_WORK: usize = 64;

/// Chooses the token of each row, as [`SampleArgs`] says: a row is one thread's, so that tokens do not depend on how many there are.
pub fn sample(args: SampleArgs<'_>) {
    let work = args.logits.len() * LOGIT_WORK;
    let mut rows: Vec<_> = args.into_rows().collect();
    for_each_of(&mut rows, work, |_, (logits, request, out)| **out = choose_row(logits, request));
}

/// The token of a row, the same as the reference's.
fn choose_row(logits: &[f32], request: &SampleRequest) -> Option<SampledToken> {
    let SampleRequest { params, draw } = request;
    if params.top_k != 0 {
        return sample_row(logits, request);
    }
    let likeliest = likeliest(logits)?;
    let token = if params.temperature == 0.0 {
        likeliest
    } else {
        let mut weights = vec![0; logits.len()];
        let sum = Weights::new(logits[likeliest], params.temperature).fill(logits, &mut weights);
        if params.top_p < 1.0 {
            match nucleus(logits, &weights, sum, logits[likeliest], request) {
                Some(token) => token,
                None => return sample_row(logits, request),
            }
        } else {
            let left = keep_likely(&mut weights, params.min_p, sum);
            drawn(&weights, *draw, left)?
        }
    };
    let logprob = LogSum::new(logits).logprob(logits[token]);
    Some(SampledToken { token: token as u32, logprob })
}

/// What top-p leaves is mostly among the tokens that are at least this part as likely as the likeliest.
const LIKELY: f32 = 1.0 / 1024.0;

/// The token that is drawn of those that top-p leaves, where all of these are likely: only likely tokens are put in order, which
/// are the first of all in it. `None` where others are needed.
fn nucleus(logits: &[f32], weights: &[u64], sum: u64, most: f32, request: &SampleRequest) -> Option<usize> {
    let SamplingParams { temperature, top_p, min_p, .. } = request.params;
    let least = most + temperature * LIKELY.ln();
    let mut tokens: Vec<u32> =
        (0u32..).zip(logits).filter(|(_, logit)| **logit >= least).map(|(id, _)| id).collect();
    let wanted = part_of(top_p, sum);
    let held: u64 = tokens.iter().map(|token| weights[*token as usize]).sum();
    if held < wanted.max(1) {
        return None;
    }
    tokens.sort_unstable_by(|a, b| by_logit(logits, *a, *b));
    let mut weights: Vec<u64> = tokens.iter().map(|token| weights[*token as usize]).collect();
    let left = reach(&weights, wanted);
    let left = keep_likely(&mut weights, min_p, left);
    drawn(&weights, request.draw, left).map(|at| tokens[at] as usize)
}

/// The first of the largest logits; `None` where one is NaN or positive infinity, or none is finite.
fn likeliest(logits: &[f32]) -> Option<usize> {
    // Integers in the order of IEEE 754's total order: negative numbers have all bits but the sign turned.
    let key = |logit: f32| {
        let bits = logit.to_bits() as i32;
        bits ^ (((bits >> 31) as u32) >> 1) as i32
    };
    let bounds = (i32::MAX, i32::MIN);
    let (least, most) = logits.iter().fold(bounds, |(least, most), logit| {
        let key = key(*logit);
        (least.min(key), most.max(key))
    });
    // NaN lies beyond the infinities on both sides.
    let numbers =
        least >= key(f32::NEG_INFINITY) && most < key(f32::INFINITY) && most > key(f32::NEG_INFINITY);
    numbers.then(|| logits.iter().position(|logit| key(*logit) == most)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        args::{SampleRequest, SamplingParams},
        parallel::Pool,
        random::mix64,
        sample::reference,
    };
    use std::num::NonZeroUsize;

    const VOCAB: usize = 2000;

    /// Logits from -8 to 8.
    fn logit(index: usize) -> f32 {
        (mix64(index as u64) >> 40) as f32 / (1 << 20) as f32 - 8.0
    }

    fn request(row: usize) -> SampleRequest {
        let temperature = [0.0, 0.7, 1.0][row % 3];
        let params = SamplingParams {
            temperature,
            top_k: [0, 40][row % 2],
            top_p: [1.0, 0.9][row / 2 % 2],
            min_p: [0.0, 0.05][row / 3 % 2],
        };
        SampleRequest { params, draw: mix64(!(row as u64)) }
    }

    #[test]
    fn tokens_do_not_depend_on_the_threads() {
        for rows in [0, 1, 2, 17, 64] {
            let mut logits: Vec<f32> = (0..rows * VOCAB).map(logit).collect();
            if let Some(broken) = logits.get_mut(VOCAB + 5) {
                *broken = f32::NAN;
            }
            let requests: Vec<SampleRequest> = (0..rows).map(request).collect();
            let mut expected = vec![None; rows];
            reference::sample(SampleArgs { logits: &logits, requests: &requests, out: &mut expected });
            for threads in [1, 2, 5] {
                let mut pool = Pool::new(NonZeroUsize::new(threads).unwrap(), |_| ()).unwrap();
                let mut found = vec![None; rows];
                let args = SampleArgs { logits: &logits, requests: &requests, out: &mut found };
                pool.install(|| sample(args));
                assert_eq!(found, expected, "{rows} rows on {threads} threads");
            }
        }
    }
}
