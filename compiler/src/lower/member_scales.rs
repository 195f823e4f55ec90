//! The block maxima of members of fused linears, looked at where a recipe quantizes these too.

use samp_abi::{BLOCK, Format};
use samp_kernels::format::RowSource;
use samp_passes::{MemberScale, MemberScales, recipe::Recipe};

use crate::import::{Checkpoint, Import, SourceRows, parameters};

/// Projections that are fused with others.
const FUSED: [&str; 5] = ["q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"];
/// So many rows are looked at, spread evenly: enough to tell sizes apart, and little to read of a large model.
const ROWS: usize = 32;

/// What is known of the members of `import`, if any rule of `recipe` double-quantizes; else nothing.
pub(super) fn member_scales(import: &Import, recipe: &Recipe) -> MemberScales {
    if !recipe.rules.iter().any(|rule| matches!(rule.format, Format::Nf4 | Format::Fp4)) {
        return MemberScales::default();
    }
    let is_member = |key: &str| FUSED.iter().any(|name| key.ends_with(name));
    let members = parameters(&import.config).into_iter().filter(|p| p.shape.len() == 2 && is_member(&p.key));
    members.filter_map(|p| Some((p.source.clone(), scale(&import.checkpoint, &p.source)?))).collect()
}

fn scale(checkpoint: &Checkpoint, name: &str) -> Option<MemberScale> {
    if let Some((mean, blocks)) = checkpoint.kept_block_maxima(name) {
        return Some(MemberScale { mean: mean.into(), kept_blocks: Some(blocks) });
    }
    let rows = SourceRows::new(vec![checkpoint.weight(name)?]).ok()?;
    let mut row = vec![0.0; rows.cols()];
    let (mut sum, mut count) = (0.0, 0);
    for index in 0..ROWS.min(rows.rows()) {
        rows.read(index * rows.rows() / ROWS.min(rows.rows()), &mut row);
        for block in row.chunks(BLOCK as usize) {
            sum += f64::from(block.iter().fold(0.0f32, |largest, x| largest.max(x.abs())));
            count += 1;
        }
    }
    Some(MemberScale { mean: sum / f64::from(count.max(1)), kept_blocks: None })
}
