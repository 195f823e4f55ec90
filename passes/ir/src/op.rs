//! The kinds of op: the one list of the dialect's ops. `samp.irdl.mlir` says what each looks like, `view` reads each.

use samp_abi::plan;

/// Defines [`OpKind`] by its list: a kind, its name in the graph's text, and the plan step that it becomes, if any.
macro_rules! op_kinds {
    ($($kind:ident = $name:literal $(becomes $step:ident)?,)*) => {
        /// The kinds of op, by their names in the graph's text.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "each variant is documented at its view")]
        pub enum OpKind { $($kind),* }

        samp_abi::named_enum! { OpKind { $((OpKind::$kind) => $name),* } }

        impl OpKind {
            /// The kind of plan step that this op becomes; `None` for weights and for ops that fusion replaces.
            pub const fn plan_kind(self) -> Option<plan::OpKind> {
                match self { $(OpKind::$kind => op_kinds!(@step $($step)?)),* }
            }
        }
    };
    (@step $step:ident) => { Some(plan::OpKind::$step) };
    (@step) => { None };
}

// Weights come first: everything after them computes.
op_kinds! {
    Weight = "samp.weight",
    Embed = "samp.embed" becomes Embed,
    RmsNorm = "samp.rms_norm" becomes RmsNorm,
    AddRmsNorm = "samp.add_rms_norm" becomes AddRmsNorm,
    Linear = "samp.linear" becomes Linear,
    Rope = "samp.rope",
    Attention = "samp.attention",
    RopeAppend = "samp.rope_append" becomes RopeAppend,
    PagedAttention = "samp.paged_attention" becomes PagedAttention,
    SiluMul = "samp.silu_mul" becomes SiluMul,
    Concat = "samp.concat" becomes Concat,
    Add = "samp.add" becomes Add,
    Gather = "samp.gather" becomes Gather,
}

impl OpKind {
    /// Every kind but weights.
    pub(crate) const COMPUTE: &'static [OpKind] = OpKind::ALL.split_first().expect("there are kinds").1;

    /// Whether this op computes, that is, whether it is anything but a weight.
    pub(crate) const fn is_compute(self) -> bool {
        !matches!(self, OpKind::Weight)
    }

    pub(crate) fn from_name(name: &str) -> Option<OpKind> {
        OpKind::ALL.into_iter().find(|k| k.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of the dialect defines exactly these ops, in this order, and plans name them as graphs do.
    #[test]
    fn the_dialect_and_the_plan_name_the_same_ops() {
        let text = include_str!("samp.irdl.mlir");
        let defined = text.lines().filter_map(|line| line.trim().strip_prefix("irdl.operation @"));
        let defined: Vec<String> =
            defined.map(|rest| format!("samp.{}", rest.trim_end_matches(" {"))).collect();
        assert_eq!(defined, OpKind::ALL.map(OpKind::name));
        for kind in OpKind::ALL {
            let plan_name = kind.plan_kind().map(|step| format!("samp.{}", step.name()));
            assert!(plan_name.is_none_or(|name| name == kind.name()), "{kind}");
            assert_eq!(kind.is_compute(), OpKind::COMPUTE.contains(&kind), "{kind}");
        }
    }
}
