//! The embedding lookup on the CPU: the rows of a step are few, so each is decoded by the format's own loop.

use crate::{args::EmbedArgs, format::decode_rows, parallel::for_each_row};

/// Decodes the row of each token, tokens in parallel.
pub fn embed(args: EmbedArgs<'_>) {
    args.check();
    let EmbedArgs { token_ids, weight, scale, out } = args;
    for_each_row(out, weight.cols, |token, out| {
        decode_rows(weight, token_ids[token] as usize, out);
        out.iter_mut().for_each(|x| *x *= scale);
    });
}
