//! What the embedding lookup computes, in plain loops.

use crate::{args::EmbedArgs, format::decode_rows};

/// Decodes the row of each token.
pub fn embed(args: EmbedArgs<'_>) {
    args.check();
    for (id, out) in args.token_ids.iter().zip(args.out.chunks_exact_mut(args.weight.cols)) {
        decode_rows(args.weight, *id as usize, out);
        out.iter_mut().for_each(|x| *x *= args.scale);
    }
}
