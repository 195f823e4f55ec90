//! Fuses the query, key and value projections into one linear, and RoPE with the append to the cache.
//!
//! Before:
//! ```mlir
//! %q = samp.linear(%x, %wq)   %k = samp.linear(%x, %wk)   %v = samp.linear(%x, %wv)
//! %qr = samp.rope(%q, %positions)   %kr = samp.rope(%k, %positions)
//! %y = samp.attention(%qr, %kr, %v, %kv)
//! ```
//! After:
//! ```mlir
//! %qkv = samp.linear(%x, %wqkv)
//! %q, %appended = samp.rope_append(%qkv, %positions, %kv)
//! %y = samp.paged_attention(%q, %appended)
//! ```
//! Requires: the model phase. Ensures: every attention whose three projections read the same value, and are used for
//! nothing else, is paged. Does not: split a projection that is already fused in the checkpoint.

use samp_ir::{AttentionOp, AttentionSpec, Diagnostic, LinearOp, Module, OpId, RopeOp, ValueId};

use crate::{Changed, fused_linear};

/// Fuses the projections of every attention.
pub fn fuse_qkv(module: &mut Module) -> Result<Changed, Diagnostic> {
    let matches: Vec<Match> = module.views::<AttentionOp>().filter_map(match_attention).collect();
    for found in &matches {
        rewrite_attention(module, found);
    }
    module.eliminate_dead_ops();
    Ok(Changed(matches.len()))
}

/// An attention over three projections of one value.
struct Match {
    attention: OpId,
    projections: [OpId; 3],
    positions: ValueId,
    kv: ValueId,
    label: String,
    spec: AttentionSpec,
}

fn match_attention(attention: AttentionOp<'_>) -> Option<Match> {
    let module = attention.module();
    let q_rope: RopeOp = module.defined_by(attention.q())?;
    let k_rope: RopeOp = module.defined_by(attention.k())?;
    let q: LinearOp = module.defined_by(q_rope.x())?;
    let k: LinearOp = module.defined_by(k_rope.x())?;
    let v: LinearOp = module.defined_by(attention.v())?;
    let same_positions = q_rope.positions() == k_rope.positions();
    let used_once = [q_rope.result(0), k_rope.result(0)].iter().all(|&r| module.use_count(r) == 1);
    (same_positions && used_once && fused_linear::can_fuse(&[q, k, v])).then(|| Match {
        attention: attention.id(),
        projections: [q.id(), k.id(), v.id()],
        positions: q_rope.positions(),
        kv: attention.kv(),
        label: attention.label().to_owned(),
        spec: attention.spec(),
    })
}

fn rewrite_attention(module: &mut Module, found: &Match) {
    let Match { attention, projections, positions, kv, label, spec } = found;
    let qkv = fused_linear::fuse(module, *attention, &format!("{label}.qkv_proj"), projections);
    let mut builder = module.before(*attention);
    let (q, appended) = builder.rope_append(&format!("{label}.rope"), qkv, *positions, *kv, *spec);
    let y = builder.paged_attention(label, q, appended, *spec);
    let old = module.op(*attention).result(0);
    module.replace_all_uses(old, y);
}
