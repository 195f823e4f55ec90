//! What views read beside the operands that all ops of a kind have: attributes, weights, optional operands.

use samp_abi::{Format, Layout};

use super::{
    AddRmsNormOp, AttentionOp, AttentionSpec, ConcatOp, EmbedOp, LinearOp, PagedAttentionOp, RmsNormOp,
    RopeAppendOp, RopeOp, SiluMulOp, WeightOp,
};
use crate::{OpRef, ValueId, attribute};

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

    /// The whole head, unless an attribute says how much of it.
    fn rotary_dim(self) -> u64 {
        attribute::integer(self.raw(), "rotary_dim").unwrap_or_else(|| self.number("head_dim"))
    }

    fn attention_spec(self) -> AttentionSpec {
        AttentionSpec {
            layer: self.number("layer"),
            heads: self.number("heads"),
            kv_heads: self.number("kv_heads"),
            head_dim: self.number("head_dim"),
            rotary_dim: self.rotary_dim(),
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

    /// What rows are multiplied by.
    pub fn scale(self) -> f64 {
        attribute::float(self.raw(), "scale").unwrap_or(1.0)
    }
}

impl<'m> RmsNormOp<'m> {
    /// The norm's weight, as wide as a head.
    pub fn weight(self) -> WeightOp<'m> {
        self.weight_operand(1).expect("the dialect demands this operand")
    }

    /// How many heads of a row are normalised each by itself; 1 where the whole row is.
    pub fn heads(self) -> u64 {
        attribute::integer(self.raw(), "heads").unwrap_or(1)
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

    /// Channels of a head that are turned, the first ones.
    pub fn rotary_dim(self) -> u64 {
        self.0.rotary_dim()
    }
}

impl AttentionOp<'_> {
    /// Which cache, which heads, which window; it turns nothing, so that all of a head stands for what is turned.
    pub fn spec(self) -> AttentionSpec {
        self.attention_spec()
    }
}

impl RopeAppendOp<'_> {
    /// Which cache, which heads and how much of them is turned; it has no window, so that one is 0.
    pub fn spec(self) -> AttentionSpec {
        self.attention_spec()
    }

    /// The rotated queries (result 0).
    pub fn q(self) -> ValueId {
        self.result(0)
    }

    /// The cache after the append (result 1).
    pub fn appended(self) -> ValueId {
        self.result(1)
    }
}

impl PagedAttentionOp<'_> {
    /// Which cache, which heads, which window; it turns nothing, so that all of a head stands for what is turned.
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
