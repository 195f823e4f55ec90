//! Choosing tokens on CPUs: rows are shared out over the threads.

use super::reference::sample_row;
use crate::{args::SampleArgs, parallel::for_each_of};

/// What a logit costs, in multiply–adds: it is compared, and two of its exponentials are summed.
const LOGIT_WORK: usize = 64;

/// Chooses the token of each row, as [`SampleArgs`] says: a row is one thread's, so that tokens do not depend on how many there are.
pub fn sample(args: SampleArgs<'_>) {
    let work = args.logits.len() * LOGIT_WORK;
    let mut rows: Vec<_> = args.into_rows().collect();
    for_each_of(&mut rows, work, |_, (logits, request, out)| **out = sample_row(logits, request));
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
