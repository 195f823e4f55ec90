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
//! Where queries or keys are normalised before they are turned, the projections stay, and what they give is put together:
//! ```mlir
//! %qkv = samp.concat(%q_normed, %k_normed, %v)
//! ```
//! Queries and keys that are not turned are appended with `rotary_dim = 0`.
//!
//! Requires: the model phase. Ensures: every attention whose three projections read the same value, and are used for
//! nothing else, is paged. Does not: split a projection that is already fused in the checkpoint.

use samp_ir::{AttentionOp, AttentionSpec, Diagnostic, LinearOp, Module, OpId, RmsNormOp, RopeOp, ValueId};

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
    /// Queries, keys and values before they are turned, where norms stand between them and the projections.
    normed: Option<[ValueId; 3]>,
    positions: ValueId,
    kv: ValueId,
    label: String,
    spec: AttentionSpec,
}

fn match_attention(attention: AttentionOp<'_>) -> Option<Match> {
    let module = attention.module();
    let (q_rope, k_rope) = (match_rope(module, attention.q())?, match_rope(module, attention.k())?);
    let given = [q_rope.x, k_rope.x, attention.v()];
    let [q, k, v] = given.map(|value| match_projection(module, value));
    let (q, k, v) = (q?, k?, v?);
    let alike = (q_rope.positions, q_rope.rotary_dim) == (k_rope.positions, k_rope.rotary_dim);
    (alike && fused_linear::can_fuse(&[q, k, v])).then(|| Match {
        attention: attention.id(),
        projections: [q.id(), k.id(), v.id()],
        normed: (given != [q, k, v].map(|linear| linear.result(0))).then_some(given),
        positions: q_rope.positions.unwrap_or(module.inputs().positions),
        kv: attention.kv(),
        label: attention.label().to_owned(),
        spec: AttentionSpec { rotary_dim: q_rope.rotary_dim, ..attention.spec() },
    })
}

/// How queries or keys are turned before attention reads them.
struct Turned {
    x: ValueId,
    positions: Option<ValueId>,
    rotary_dim: u64,
}

/// The rope that gives a value and is used for nothing else, or none where it is not turned.
fn match_rope(module: &Module, value: ValueId) -> Option<Turned> {
    match module.defined_by::<RopeOp<'_>>(value) {
        Some(rope) => (module.use_count(value) == 1).then(|| Turned {
            x: rope.x(),
            positions: Some(rope.positions()),
            rotary_dim: rope.rotary_dim(),
        }),
        None => Some(Turned { x: value, positions: None, rotary_dim: 0 }),
    }
}

/// The linear that gives a value, by itself or through a norm that is used for nothing else.
fn match_projection(module: &Module, value: ValueId) -> Option<LinearOp<'_>> {
    match module.defined_by::<RmsNormOp<'_>>(value) {
        Some(norm) if module.use_count(value) == 1 => module.defined_by(norm.x()),
        Some(_) => None,
        None => module.defined_by(value),
    }
}

fn rewrite_attention(module: &mut Module, found: &Match) {
    let Match { attention, projections, normed, positions, kv, label, spec } = found;
    let qkv_label = format!("{label}.qkv_proj");
    let qkv = match normed {
        None => fused_linear::fuse(module, *attention, &qkv_label, projections),
        Some(parts) => module.before(*attention).concat(&qkv_label, parts),
    };
    let mut builder = module.before(*attention);
    let (q, appended) = builder.rope_append(&format!("{label}.rope"), qkv, *positions, *kv, *spec);
    let y = builder.paged_attention(label, q, appended, *spec);
    let old = module.op(*attention).result(0);
    module.replace_all_uses(old, y);
}
