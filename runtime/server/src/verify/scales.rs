//! How much of what static scales can hold is used: keys and values of an fp8 cache.

use samp_abi::plan::{KvCache, Op, Step};
use samp_runtime::{BufferView, Observer};

/// The largest number of fp8 E4M3.
const FP8_MAX: f32 = 448.0;

/// The largest keys and values that were seen, over the largest that their scales hold: beyond 1 they are cut off.
pub struct ScaleUse {
    /// The largest key and value that each layer's scales hold.
    holds: Vec<[f32; 2]>,
    kv_heads: usize,
    most: f32,
}

impl ScaleUse {
    /// Of a cache of so many heads; `None` where it has no static scales.
    pub fn new(kv: &KvCache, kv_heads: u64) -> Option<ScaleUse> {
        let holds: Vec<[f32; 2]> =
            kv.scales.iter().map(|scales| scales.map(|scale| scale * FP8_MAX)).collect();
        (!holds.is_empty()).then_some(ScaleUse { holds, kv_heads: kv_heads as usize, most: 0.0 })
    }

    /// The most that was used.
    pub fn most(&self) -> f32 {
        self.most
    }

    /// Looks at rows of queries, keys and values of that width, as they are before keys are turned: a turned pair of channels
    /// has a channel no larger than the pair is long. Queries are `queries` wide.
    fn look(&mut self, layer: usize, qkv: &[f32], [width, queries]: [usize; 2]) {
        let Some([keys_hold, values_hold]) = self.holds.get(layer).copied() else { return };
        let head_dim = (width - queries) / (2 * self.kv_heads);
        for row in qkv.chunks_exact(width) {
            let (keys, values) = row[queries..].split_at(self.kv_heads * head_dim);
            for head in keys.chunks_exact(head_dim) {
                let (first, second) = head.split_at(head_dim / 2);
                let lengths = first.iter().zip(second).map(|(a, b)| a.hypot(*b) / keys_hold);
                self.most = lengths.fold(self.most, f32::max);
            }
            self.most = values.iter().fold(self.most, |most, value| most.max(value.abs() / values_hold));
        }
    }
}

impl Observer for ScaleUse {
    fn after_step(&mut self, _: usize, step: &Step, buffers: &BufferView<'_>) {
        if let Op::RopeAppend { qkv, layer, out } = &step.op {
            let widths = [buffers.width(*qkv), buffers.width(*out)];
            self.look(*layer as usize, buffers.get(*qkv), widths);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use samp_abi::Format;

    #[test]
    fn the_largest_key_or_value_over_what_its_scale_holds() {
        let kv = |scales: Vec<[f32; 2]>| KvCache { format: Format::F16, page_tokens: 16, scales };
        assert!(ScaleUse::new(&kv(vec![]), 2).is_none());
        let mut seen = ScaleUse::new(&kv(vec![[1.0, 0.5], [1.0, 1.0]]), 2).unwrap();
        // A query head, and two of keys and values, of two channels each.
        let row = [999.0, 999.0, 30.0, 40.0, 0.0, 0.0, 0.0, -112.0, 0.0, 0.0];
        seen.look(1, &row, [10, 2]);
        assert_eq!(seen.most(), 0.25);
        seen.look(0, &row, [10, 2]);
        assert_eq!(seen.most(), 0.5);
    }
}
