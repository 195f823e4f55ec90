//! Typed views: each kind of op with its operands and attributes by name.

use std::ops::Deref;

use samp_abi::{Format, Layout};

use crate::{OpKind, OpRef, ValueId, attribute};

/// A view of one kind of op. It dereferences to [`OpRef`] for what all ops have.
pub trait View<'m>: Copy + Deref<Target = OpRef<'m>> {
    /// The kind that is viewed.
    const KIND: OpKind;

    /// Views `op`, if it is of this kind.
    fn of(op: OpRef<'m>) -> Option<Self>;
}

macro_rules! views {
    ($($(#[$doc:meta])* $view:ident { $($(#[$operand_doc:meta])* $operand:ident = $index:literal),* })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $view<'m>(OpRef<'m>);

        impl<'m> $view<'m> {
            $(
                $(#[$operand_doc])*
                pub fn $operand(self) -> ValueId {
                    self.0.operand($index).expect("the dialect demands this operand")
                }
            )*
        }

        impl<'m> Deref for $view<'m> {
            type Target = OpRef<'m>;

            fn deref(&self) -> &OpRef<'m> {
                &self.0
            }
        }
    )* };
}

macro_rules! kinds {
    ($($view:ident = $kind:ident),* $(,)?) => { $(
        impl<'m> View<'m> for $view<'m> {
            const KIND: OpKind = OpKind::$kind;

            fn of(op: OpRef<'m>) -> Option<Self> {
                (op.kind() == Self::KIND).then_some($view(op))
            }
        }
    )* };
}

kinds! {
    WeightOp = Weight, EmbedOp = Embed, RmsNormOp = RmsNorm, AddRmsNormOp = AddRmsNorm, LinearOp = Linear,
    RopeOp = Rope, AttentionOp = Attention, RopeAppendOp = RopeAppend, PagedAttentionOp = PagedAttention,
    SiluMulOp = SiluMul, ConcatOp = Concat, AddOp = Add, GatherOp = Gather,
}

views! {
    /// `samp.weight`: a tensor of the model, by name.
    WeightOp {}

    /// `samp.embed`: `y[t] = weight[tokens[t]]`.
    EmbedOp {
        /// Token ids.
        tokens = 0
    }

    /// `samp.rms_norm`: `y[t] = x[t] / sqrt(mean(x[t]²) + eps) · weight`.
    RmsNormOp {
        /// Input.
        x = 0
    }

    /// `samp.add_rms_norm`: `sum = x + residual`, `y = rms_norm(sum)`.
    AddRmsNormOp {
        /// First summand.
        x = 0,
        /// Second summand.
        residual = 1
    }

    /// `samp.linear`: `y[t] = weight · x[t] + bias`.
    LinearOp {
        /// Input.
        x = 0
    }

    /// `samp.rope`: turns each head's channel pairs by their position.
    RopeOp {
        /// Input, `heads · head_dim` wide.
        x = 0,
        /// Position of each token.
        positions = 1
    }

    /// `samp.attention`: appends keys and values to the layer's cache, then attends to it.
    AttentionOp {
        /// Turned queries, `heads · head_dim` wide.
        q = 0,
        /// Turned keys, `kv_heads · head_dim` wide.
        k = 1,
        /// Values, `kv_heads · head_dim` wide.
        v = 2,
        /// The cache.
        kv = 3
    }

    /// `samp.rope_append`: splits `qkv`, turns queries and keys, appends keys and values to the layer's cache.
    RopeAppendOp {
        /// Queries, keys and values side by side, `(heads + 2 · kv_heads) · head_dim` wide.
        qkv = 0,
        /// Position of each token.
        positions = 1,
        /// The cache.
        kv = 2
    }

    /// `samp.paged_attention`: attends to a cache that already holds the step's keys and values.
    PagedAttentionOp {
        /// Turned queries, `heads · head_dim` wide.
        q = 0,
        /// The cache after the append.
        kv = 1
    }

    /// `samp.silu_mul`: `y = silu(gate) · up`. Before fusion gate and up are two operands; after it, one.
    SiluMulOp {
        /// The gate; after fusion gate and up side by side.
        gate = 0
    }

    /// `samp.concat`: `y[t] = first[t] ‖ second[t] ‖ …`, two or three parts.
    ConcatOp {}

    /// `samp.add`: `y = a + b`.
    AddOp {
        /// First summand.
        a = 0,
        /// Second summand.
        b = 1
    }

    /// `samp.gather`: `y[o] = x[rows[o]]`; from here on rows are the step's outputs, no longer its tokens.
    GatherOp {
        /// Input.
        x = 0,
        /// Row numbers.
        rows = 1
    }
}

/// Attributes of attention: which cache, which heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionSpec {
    /// The layer whose cache is used.
    pub layer: u64,
    /// Query heads.
    pub heads: u64,
    /// Key/value heads; divides `heads`.
    pub kv_heads: u64,
    /// Width of a head.
    pub head_dim: u64,
    /// How many of the last positions are seen, the current one counted; 0 for all.
    pub window: u64,
}

impl AttentionSpec {
    /// Width of the queries and of the result.
    pub const fn q_width(self) -> u64 {
        self.heads.saturating_mul(self.head_dim)
    }

    /// Width of the keys, and of the values.
    pub const fn kv_width(self) -> u64 {
        self.kv_heads.saturating_mul(self.head_dim)
    }

    /// Width of queries, keys and values side by side.
    pub const fn qkv_width(self) -> u64 {
        self.q_width().saturating_add(self.kv_width().saturating_mul(2))
    }
}

impl<'m> OpRef<'m> {
    fn number(self, name: &str) -> u64 {
        attribute::integer(self.raw(), name).expect("the dialect demands this attribute")
    }

    fn epsilon(self) -> f64 {
        attribute::float(self.raw(), "eps").expect("the dialect demands this attribute")
    }

    fn weight_operand(self, index: usize) -> Option<WeightOp<'m>> {
        let value = self.operand(index)?;
        let weight = self.module.defined_by(value);
        Some(weight.unwrap_or_else(|| panic!("operand {index} of {} is a samp.weight", self.describe())))
    }

    fn attention_spec(self) -> AttentionSpec {
        AttentionSpec {
            layer: self.number("layer"),
            heads: self.number("heads"),
            kv_heads: self.number("kv_heads"),
            head_dim: self.number("head_dim"),
            window: attribute::integer(self.raw(), "window").unwrap_or(0),
        }
    }
}

impl<'m> WeightOp<'m> {
    /// The weight as an operand.
    pub fn value(self) -> ValueId {
        self.result(0)
    }

    /// Its name in the graph and in the plan, `layers.0.self_attn.q_proj`.
    pub fn key(self) -> &'m str {
        self.label()
    }

    /// The checkpoint's tensors that it is made from.
    pub fn sources(self) -> Vec<&'m str> {
        attribute::texts(self.raw(), "sources").unwrap_or_default()
    }

    /// What is done to the sources, in order.
    pub fn transforms(self) -> Vec<&'m str> {
        attribute::texts(self.raw(), "transforms").unwrap_or_default()
    }

    /// What each measured format would cost, in nats per token; `None` where nothing was measured.
    pub fn sensitivity(self) -> Option<Vec<(Format, f64)>> {
        attribute::sensitivity(self.raw())
    }

    /// Its number format; `None` before the typed phase.
    pub fn format(self) -> Option<Format> {
        attribute::text(self.raw(), "format")?.parse().ok()
    }

    /// Its packed layout; `None` before the selected phase.
    pub fn layout(self) -> Option<Layout> {
        attribute::text(self.raw(), "layout")?.parse().ok()
    }
}

impl<'m> EmbedOp<'m> {
    /// The table, `[vocabulary, width]`.
    pub fn weight(self) -> WeightOp<'m> {
        self.weight_operand(1).expect("the dialect demands this operand")
    }
}

impl<'m> RmsNormOp<'m> {
    /// The norm's weight, `[width]`.
    pub fn weight(self) -> WeightOp<'m> {
        self.weight_operand(1).expect("the dialect demands this operand")
    }

    /// What is added to the mean square.
    pub fn eps(self) -> f64 {
        self.epsilon()
    }
}

impl<'m> AddRmsNormOp<'m> {
    /// The norm's weight, `[width]`.
    pub fn weight(self) -> WeightOp<'m> {
        self.weight_operand(2).expect("the dialect demands this operand")
    }

    /// What is added to the mean square.
    pub fn eps(self) -> f64 {
        self.epsilon()
    }

    /// The sum (result 0).
    pub fn sum(self) -> ValueId {
        self.result(0)
    }

    /// The normalised sum (result 1).
    pub fn y(self) -> ValueId {
        self.result(1)
    }
}

impl<'m> LinearOp<'m> {
    /// The weight, `[output width, input width]`.
    pub fn weight(self) -> WeightOp<'m> {
        self.weight_operand(1).expect("the dialect demands this operand")
    }

    /// The bias, `[output width]`.
    pub fn bias(self) -> Option<WeightOp<'m>> {
        self.weight_operand(2)
    }
}

impl RopeOp<'_> {
    /// Number of heads.
    pub fn heads(self) -> u64 {
        self.number("heads")
    }

    /// Width of a head.
    pub fn head_dim(self) -> u64 {
        self.number("head_dim")
    }
}

impl AttentionOp<'_> {
    /// Its attributes.
    pub fn spec(self) -> AttentionSpec {
        self.attention_spec()
    }
}

impl RopeAppendOp<'_> {
    /// Its attributes; it has no window, so that one is 0.
    pub fn spec(self) -> AttentionSpec {
        self.attention_spec()
    }

    /// The turned queries (result 0).
    pub fn q(self) -> ValueId {
        self.result(0)
    }

    /// The cache after the append (result 1).
    pub fn appended(self) -> ValueId {
        self.result(1)
    }
}

impl PagedAttentionOp<'_> {
    /// Its attributes.
    pub fn spec(self) -> AttentionSpec {
        self.attention_spec()
    }
}

impl ConcatOp<'_> {
    /// What lies side by side, in order.
    pub fn parts(self) -> Vec<ValueId> {
        self.operands()
    }
}

impl SiluMulOp<'_> {
    /// The factor; `None` after fusion, when gate and up are one operand.
    pub fn up(self) -> Option<ValueId> {
        self.operand(1)
    }
}
