//! The formats of a measurement that a target supports, so that only those are chosen from.

use samp_abi::{ElementType, Format, TargetName, plan::OpKind};
use samp_kernels::{kernel::OpShape, target::Target, timing::cheapest};

use crate::{FormatCost, Sensitivities, matrix::Matrix};

impl Sensitivities {
    /// What activations of `target` are stored as, whichever formats are chosen: of the types that linears were measured
    /// in plainly, the one that the target prefers.
    pub fn activations(&self, matrices: &[Matrix], target: TargetName) -> ElementType {
        let linear = |key: &str| matrices.iter().any(|m| m.key == key && m.reader == OpKind::Linear);
        let linears = self.weights.iter().filter(|weight| linear(&weight.key));
        let formats: Vec<Format> = linears.flat_map(|w| &w.formats).map(|cost| cost.format).collect();
        Target::of(target).activations_beside(&formats)
    }

    /// Leaves out the formats that no kernel of `target` takes beside [such activations](Self::activations): where these
    /// are f16, a linear is not in bf16.
    pub fn supported_by(mut self, matrices: &[Matrix], target: TargetName) -> Sensitivities {
        let activations = self.activations(matrices, target);
        for weight in &mut self.weights {
            let Some(matrix) = matrices.iter().find(|matrix| matrix.key == weight.key) else { continue };
            let supported = |rows: u64, cost: &FormatCost| {
                let shape = OpShape::with_weight(rows, matrix.cols, cost.format, activations);
                cheapest(Target::of(target), matrix.reader, shape).is_some()
            };
            weight.formats.retain(|cost| supported(matrix.rows, cost));
            weight
                .members
                .iter_mut()
                .for_each(|member| member.formats.retain(|cost| supported(member.rows, cost)));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemberSensitivity, WeightSensitivity};

    /// The formats left of a table, of a linear and of its member.
    fn left(target: TargetName, formats: &[Format]) -> [Vec<Format>; 3] {
        let cost = |&format: &Format| FormatCost { format, nats: 0.0, strata: vec![] };
        let costs: Vec<FormatCost> = formats.iter().map(cost).collect();
        let member = MemberSensitivity { key: "layers.0.k".into(), rows: 64, formats: costs.clone() };
        let weight = |key: &str| WeightSensitivity {
            key: key.into(),
            outliers: vec![],
            formats: costs.clone(),
            members: vec![member.clone()],
        };
        let matrix = |key: &str, reader| Matrix { key: key.into(), rows: 256, cols: 128, reader };
        let matrices = [matrix("embed_tokens", OpKind::Embed), matrix("layers.0.qk", OpKind::Linear)];
        let weights = matrices.iter().map(|matrix| weight(&matrix.key)).collect();
        let known = Sensitivities { weights, strata: vec![] }.supported_by(&matrices, target);
        let of = |costs: &[FormatCost]| costs.iter().map(|cost| cost.format).collect();
        let [table, linear] = &known.weights[..] else { panic!("two weights") };
        [of(&table.formats), of(&linear.formats), of(&linear.members[0].formats)]
    }

    #[test]
    fn linears_on_gpus_have_one_plain_type_and_tables_any() {
        let all = [Format::Nf4, Format::Bf16, Format::F16];
        for target in [TargetName::A100, TargetName::H100] {
            let linear = vec![Format::Nf4, Format::F16];
            assert_eq!(left(target, &all), [all.to_vec(), linear.clone(), linear], "{target}");
            assert_eq!(left(target, &all[..2]), [(); 3].map(|()| all[..2].to_vec()), "{target}: bf16 alone");
        }
        assert_eq!(left(TargetName::Cpu, &all), [(); 3].map(|()| all.to_vec()));
    }

    #[test]
    fn formats_without_a_kernel_are_left_out() {
        let int6 = Format::Int6 { group: samp_abi::Group::G128 };
        let formats = [Format::Nf4, int6];
        assert_eq!(left(TargetName::H100, &formats)[1], [Format::Nf4]);
        assert_eq!(left(TargetName::Cpu, &formats)[1], formats);
    }
}
