//! What each operation is called with: one struct for each, whose sizes its `check` compares.

use bytemuck::{Pod, Zeroable};

use crate::{
    encoded::EncodedRef,
    kv_cache::{KvGeometry, SequenceSlice, check_cache},
};

/// `out[t] = scale · weight[token_ids[t]]`.
pub struct EmbedArgs<'a> {
    /// Token ids, each less than `weight.rows`.
    pub token_ids: &'a [u32],
    /// Table `[vocab, hidden]`, any format and layout.
    pub weight: EncodedRef<'a>,
    /// What rows are multiplied by.
    pub scale: f32,
    /// Result `[tokens, hidden]`.
    pub out: &'a mut [f32],
}

impl EmbedArgs<'_> {
    /// Panics unless the sizes fit each other.
    pub(crate) fn check(&self) {
        if let Err(error) = self.weight.check() {
            panic!("weight: {error}");
        }
        let (tokens, rows, cols) = (self.token_ids.len(), self.weight.rows, self.weight.cols);
        assert!(cols > 0 && self.out.len() == tokens * cols, "out: expected [{tokens}, {cols}]");
        assert!(
            self.token_ids.iter().all(|&id| (id as usize) < rows),
            "token_ids: an id is not below {rows}"
        );
    }
}

/// `out[t] = weight · x[t] + bias`.
pub struct LinearArgs<'a> {
    /// Input `[tokens, weight.cols]`.
    pub x: &'a [f32],
    /// Weight `[rows, cols]` in the kernel's layout.
    pub weight: EncodedRef<'a>,
    /// Added to each output channel `[rows]`.
    pub bias: Option<&'a [f32]>,
    /// Result `[tokens, weight.rows]`.
    pub out: &'a mut [f32],
}

impl LinearArgs<'_> {
    /// Panics unless the sizes fit each other.
    pub(crate) fn check(&self) {
        let (rows, cols) = (self.weight.rows, self.weight.cols);
        if let Err(error) = self.weight.check() {
            panic!("weight: {error}");
        }
        assert!(
            cols > 0 && self.x.len().is_multiple_of(cols),
            "x: {} values, not rows of {cols}",
            self.x.len()
        );
        let tokens = self.x.len() / cols;
        assert_eq!(self.out.len(), tokens * rows, "out: expected [{tokens}, {rows}]");
        assert!(self.bias.is_none_or(|b| b.len() == rows), "bias: expected {rows} values");
    }
}

/// `out[t] = x[t] / sqrt(mean(x[t]²) + eps) · weight`; rows are `weight.len()` wide, several for a token where heads are
/// normalised.
pub struct RmsNormArgs<'a> {
    /// Input `[tokens, width]`.
    pub x: &'a [f32],
    /// Norm weight `[width]`.
    pub weight: &'a [f32],
    /// Added to the mean square.
    pub eps: f64,
    /// Result `[tokens, width]`.
    pub out: &'a mut [f32],
}

impl RmsNormArgs<'_> {
    /// Panics unless the sizes fit each other; returns the width of a row.
    pub(crate) fn check(&self) -> usize {
        let (width, values) = (self.weight.len(), self.x.len());
        assert!(width > 0 && values.is_multiple_of(width), "x: {values} values, not rows of {width}");
        assert_eq!(self.out.len(), values, "out: expected as many values as x");
        width
    }
}

/// `sum = x + residual`, then `out = rms_norm(sum)`. `sum` holds the residual on entry.
pub struct AddRmsNormArgs<'a> {
    /// First summand `[tokens, width]`.
    pub x: &'a [f32],
    /// The residual on entry, the sum on return `[tokens, width]`.
    pub sum: &'a mut [f32],
    /// Norm weight `[width]`.
    pub weight: &'a [f32],
    /// Added to the mean square.
    pub eps: f64,
    /// The normalised sum `[tokens, width]`.
    pub out: &'a mut [f32],
}

impl AddRmsNormArgs<'_> {
    /// Panics unless the sizes fit each other; returns the width of a row.
    pub(crate) fn check(&self) -> usize {
        let (width, values) = (self.weight.len(), self.x.len());
        assert!(width > 0 && values.is_multiple_of(width), "x: {values} values, not rows of {width}");
        assert_eq!(self.out.len(), values, "out: expected as many values as x");
        assert_eq!(self.sum.len(), values, "sum: expected as many values as x");
        width
    }
}

/// `out = a + b`.
pub struct AddArgs<'a> {
    /// The first summand `[tokens, width]`.
    pub a: &'a [f32],
    /// The second summand, as large.
    pub b: &'a [f32],
    /// Their sum, as large.
    pub out: &'a mut [f32],
}

impl AddArgs<'_> {
    /// Panics unless the sizes fit each other.
    pub(crate) fn check(&self) {
        assert!(
            self.a.len() == self.out.len() && self.b.len() == self.out.len(),
            "a, b and out differ in size"
        );
    }
}

/// `out = silu(gate) · up` for rows `[gate, up]`.
pub struct SiluMulArgs<'a> {
    /// Gates and ups side by side `[tokens, 2·width]`.
    pub gate_up: &'a [f32],
    /// Elements of a result row.
    pub width: usize,
    /// Result `[tokens, width]`.
    pub out: &'a mut [f32],
}

impl SiluMulArgs<'_> {
    /// Panics unless the sizes fit each other.
    pub(crate) fn check(&self) {
        let SiluMulArgs { gate_up, width, ref out } = *self;
        assert!(
            width > 0 && out.len().is_multiple_of(width),
            "out: {} values, not rows of {width}",
            out.len()
        );
        assert_eq!(gate_up.len(), 2 * out.len(), "gate_up: expected two values for each of out");
    }
}

/// `out[t] = parts[0][t] ‖ parts[1][t] ‖ …`.
pub struct ConcatArgs<'a> {
    /// Each `[tokens, width of the part]`.
    pub parts: &'a [&'a [f32]],
    /// Elements of a result row: the parts' widths together.
    pub width: usize,
    /// Result `[tokens, width]`.
    pub out: &'a mut [f32],
}

impl ConcatArgs<'_> {
    /// The width of each part. Panics unless the sizes fit each other.
    pub(crate) fn part_widths(&self) -> Vec<usize> {
        let ConcatArgs { parts, width, ref out } = *self;
        assert!(
            width > 0 && out.len().is_multiple_of(width),
            "out: {} values, not rows of {width}",
            out.len()
        );
        let tokens = out.len() / width;
        let widths: Vec<usize> = parts.iter().map(|part| part.len() / tokens.max(1)).collect();
        let whole = parts.iter().zip(&widths).all(|(part, width)| part.len() == tokens * width);
        let fits = whole && (tokens == 0 || widths.iter().sum::<usize>() == width);
        assert!(fits, "parts: {widths:?} wide, not {width} together");
        widths
    }
}

/// `out[o] = x[rows[o]]`.
pub struct GatherArgs<'a> {
    /// Input `[tokens, width]`.
    pub x: &'a [f32],
    /// Elements of a row.
    pub width: usize,
    /// The rows to take.
    pub rows: &'a [u32],
    /// Result `[rows.len(), width]`.
    pub out: &'a mut [f32],
}

impl GatherArgs<'_> {
    /// Panics unless the sizes fit each other.
    pub(crate) fn check(&self) {
        let GatherArgs { x, width, rows, ref out } = *self;
        assert!(width > 0 && x.len().is_multiple_of(width), "x: {} values, not rows of {width}", x.len());
        assert_eq!(out.len(), rows.len() * width, "out: expected [{}, {width}]", rows.len());
        let given = x.len() / width;
        assert!(rows.iter().all(|&r| (r as usize) < given), "rows: an index is not below {given}");
    }
}

/// Splits `qkv` into queries, keys and values, rotates queries and keys, appends keys and values to the cache.
pub struct RopeAppendArgs<'a> {
    /// `[tokens, (heads + 2·kv_heads)·head_dim]`: queries, keys, values.
    pub qkv: &'a [f32],
    /// How many query heads there are.
    pub heads: usize,
    /// Radians per position for each of `n` channel pairs `(i, i + n)` of a head; the channels behind them stay.
    pub inv_frequencies: &'a [f64],
    /// What rotated channels are multiplied by.
    pub rope_scale: f64,
    /// The step's sequences; their tokens lie one after another.
    pub sequences: &'a [SequenceSlice<'a>],
    /// Geometry of the cache.
    pub kv: KvGeometry,
    /// Bytes of this layer's pool.
    pub pool: &'a mut [u8],
    /// Rotated queries `[tokens, heads·head_dim]`.
    pub out: &'a mut [f32],
}

impl RopeAppendArgs<'_> {
    /// Panics unless the sizes fit each other; returns the number of tokens.
    pub(crate) fn check(&self) -> usize {
        let tokens = check_cache(&self.kv, self.sequences, self.pool);
        let (heads, kv_heads, head_dim) = (self.heads, self.kv.kv_heads, self.kv.head_dim);
        assert!(heads > 0, "heads: none");
        let turned = 2 * self.inv_frequencies.len();
        assert!(turned <= head_dim, "inv_frequencies: {turned} channels to turn, of {head_dim}");
        let width = (heads + 2 * kv_heads) * head_dim;
        assert_eq!(self.qkv.len(), tokens * width, "qkv: expected [{tokens}, {width}]");
        assert_eq!(
            self.out.len(),
            tokens * heads * head_dim,
            "out: expected [{tokens}, {}]",
            heads * head_dim
        );
        tokens
    }
}

/// `out = softmax(q·k / sqrt(head_dim)) · v` over the sequence's cached positions up to the query's own.
pub struct AttentionArgs<'a> {
    /// Rotated queries `[tokens, heads·head_dim]`.
    pub q: &'a [f32],
    /// How many query heads there are.
    pub heads: usize,
    /// Only the last so many positions count, the query's own among them.
    pub window: Option<usize>,
    /// The step's sequences; their tokens lie one after another.
    pub sequences: &'a [SequenceSlice<'a>],
    /// Geometry of the cache.
    pub kv: KvGeometry,
    /// Bytes of this layer's pool.
    pub pool: &'a [u8],
    /// Result `[tokens, heads·head_dim]`.
    pub out: &'a mut [f32],
}

impl AttentionArgs<'_> {
    /// Panics unless the sizes fit each other; returns the number of tokens.
    pub(crate) fn check(&self) -> usize {
        let tokens = check_cache(&self.kv, self.sequences, self.pool);
        assert!(
            self.heads > 0 && self.heads.is_multiple_of(self.kv.kv_heads),
            "heads: not a multiple of kv_heads"
        );
        let width = self.heads * self.kv.head_dim;
        assert_eq!(self.q.len(), tokens * width, "q: expected [{tokens}, {width}]");
        assert_eq!(self.out.len(), tokens * width, "out: expected [{tokens}, {width}]");
        assert!(self.window.is_none_or(|w| w > 0), "window: a query sees at least itself");
        tokens
    }
}

/// The first position that a query at `position` sees.
pub(crate) fn first_visible(position: usize, window: Option<usize>) -> usize {
    window.map_or(0, |w| (position + 1).saturating_sub(w))
}

/// How the token of a row is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct SamplingParams {
    /// Divides the logits; 0 takes the largest logit.
    pub temperature: f32,
    /// Only so many of the most likely tokens count; 0 for all.
    pub top_k: u32,
    /// Only the most likely tokens that together reach this probability count; 1 for all.
    pub top_p: f32,
    /// Only tokens at least this part as likely as the most likely one count; 0 for all.
    pub min_p: f32,
}

/// What decides a row's token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleRequest {
    /// How it is chosen.
    pub params: SamplingParams,
    /// 64 random bits, of which the upper 53 count.
    pub draw: u64,
}

impl SampleRequest {
    /// The likeliest token.
    pub const GREEDY: SampleRequest = SampleRequest {
        params: SamplingParams { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0 },
        draw: 0,
    };
}

/// A chosen token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampledToken {
    /// Its id in the vocabulary.
    pub token: u32,
    /// Its log-probability at temperature 1 among all tokens.
    pub logprob: f32,
}

/// `out[row]` = the token that `requests[row]` names among the logits of the row; `None` where a logit is NaN or positive
/// infinity, or none is finite.
pub struct SampleArgs<'a> {
    /// The logits of each row `[rows, vocab]`.
    pub logits: &'a [f32],
    /// One for each row.
    pub requests: &'a [SampleRequest],
    /// One for each row.
    pub out: &'a mut [Option<SampledToken>],
}

impl<'a> SampleArgs<'a> {
    /// The logits of each row, what is asked for there, and where the token goes.
    pub(crate) fn into_rows(
        self,
    ) -> impl Iterator<Item = (&'a [f32], &'a SampleRequest, &'a mut Option<SampledToken>)> {
        let SampleArgs { logits, requests, out } = self;
        let rows = requests.len().max(1);
        assert_eq!(out.len(), requests.len(), "out: expected one for each request");
        assert!(logits.len().is_multiple_of(rows), "logits: {} are no whole rows", logits.len());
        let rows = logits.chunks_exact((logits.len() / rows).max(1));
        rows.zip(requests).zip(out).map(|((row, request), out)| (row, request, out))
    }
}
