//! Typed views: each kind of op with its operands and attributes by name.

mod accessors;
mod attention_spec;

use std::ops::Deref;

pub use attention_spec::AttentionSpec;

use crate::{Module, OpId, OpKind, OpRef, ValueId};

/// A view of one kind of op. It dereferences to [`OpRef`] for what all ops have.
pub trait View<'m>: Copy + Deref<Target = OpRef<'m>> {
    /// The kind that is viewed.
    const KIND: OpKind;

    /// Views `op`, if it is of this kind.
    fn from_op(op: OpRef<'m>) -> Option<Self>;
}

macro_rules! views {
    ($($(#[$doc:meta])* $view:ident: $kind:ident { $($(#[$operand_doc:meta])* $operand:ident = $index:literal),* })*) => { $(
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

        impl<'m> View<'m> for $view<'m> {
            const KIND: OpKind = OpKind::$kind;

            fn from_op(op: OpRef<'m>) -> Option<Self> {
                (op.kind() == Self::KIND).then_some($view(op))
            }
        }

        impl<'m> Deref for $view<'m> {
            type Target = OpRef<'m>;

            fn deref(&self) -> &OpRef<'m> {
                &self.0
            }
        }
    )* };
}

views! {
    /// `samp.weight`: a tensor of the model, by name.
    WeightOp: Weight {}

    /// `samp.embed`: `y[t] = scale · weight[tokens[t]]`.
    EmbedOp: Embed {
        /// The id of each token.
        tokens = 0
    }

    /// `samp.rms_norm`: `y[t] = x[t] / sqrt(mean(x[t]²) + eps) · weight`, of each head by itself where there are several.
    RmsNormOp: RmsNorm {
        /// What is normalised, row by row.
        x = 0
    }

    /// `samp.add_rms_norm`: `sum = x + residual`, `y = rms_norm(sum)`.
    AddRmsNormOp: AddRmsNorm {
        /// The first summand.
        x = 0,
        /// The second summand.
        residual = 1
    }

    /// `samp.linear`: `y[t] = weight · x[t] + bias`.
    LinearOp: Linear {
        /// The input of the linear, as wide as its weight has columns.
        x = 0
    }

    /// `samp.rope`: rotates each head's channel pairs by their position.
    RopeOp: Rope {
        /// Input, `heads · head_dim` wide.
        x = 0,
        /// Position of each token.
        positions = 1
    }

    /// `samp.attention`: appends keys and values to the layer's cache, then attends to it.
    AttentionOp: Attention {
        /// Rotated queries, `heads · head_dim` wide.
        q = 0,
        /// Rotated keys, `kv_heads · head_dim` wide.
        k = 1,
        /// Values, `kv_heads · head_dim` wide.
        v = 2,
        /// The layer's cache before the append.
        kv = 3
    }

    /// `samp.rope_append`: splits `qkv`, rotates queries and keys, appends keys and values to the layer's cache.
    RopeAppendOp: RopeAppend {
        /// Queries, keys and values side by side, `(heads + 2 · kv_heads) · head_dim` wide.
        qkv = 0,
        /// Position of each token.
        positions = 1,
        /// The layer's cache before the append.
        kv = 2
    }

    /// `samp.paged_attention`: attends to a cache that already holds the step's keys and values.
    PagedAttentionOp: PagedAttention {
        /// Rotated queries, `heads · head_dim` wide.
        q = 0,
        /// The cache after the append.
        kv = 1
    }

    /// `samp.silu_mul`: `y = silu(gate) · up`. Before fusion gate and up are two operands; after it, one.
    SiluMulOp: SiluMul {
        /// The gate; after fusion gate and up side by side.
        gate = 0
    }

    /// `samp.concat`: `y[t] = first[t] ‖ second[t] ‖ …`, two or three operands.
    ConcatOp: Concat {}

    /// `samp.add`: `y = a + b`.
    AddOp: Add {
        /// The first summand.
        a = 0,
        /// The second summand.
        b = 1
    }

    /// `samp.gather`: `y[o] = x[rows[o]]`; from here on rows are the step's outputs, no longer its tokens.
    GatherOp: Gather {
        /// The rows to take from.
        x = 0,
        /// Which rows are taken, in order.
        rows = 1
    }
}

impl Module {
    /// Every op of one kind, in program order: `module.views::<LinearOp>()`.
    pub fn views<'m, V: View<'m>>(&'m self) -> impl Iterator<Item = V> {
        self.ops().filter_map(V::from_op)
    }

    /// The op of this name as a view, if it is of the view's kind.
    ///
    /// # Panics
    /// If it was erased.
    pub fn view<'m, V: View<'m>>(&'m self, id: OpId) -> Option<V> {
        V::from_op(self.op(id))
    }

    /// The op that defines `value` as a view, if it is of the view's kind.
    pub fn defined_by<'m, V: View<'m>>(&'m self, value: ValueId) -> Option<V> {
        V::from_op(self.defining_op(value)?)
    }
}
