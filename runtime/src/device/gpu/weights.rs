//! A plan's weights in the memory of a GPU.

use samp_abi::{
    Component, Format,
    plan::{Plan, TensorId},
};

use super::{Arg, Driver, DriverError};
use crate::{device::Taken, plan::OpenPlan};

/// Every stored array, one after another.
pub(super) struct Weights<M> {
    memory: M,
    /// Of each tensor, the arrays in the order of the layout's components: first byte and size.
    parts: Vec<Vec<(u64, u64)>>,
}

/// Arrays begin where bulk copies may begin, and on lines of the second cache.
const ALIGNMENT: u64 = 256;

impl<M> Weights<M> {
    /// Copies them, array by array.
    pub fn upload(
        driver: &impl Driver<Memory = M>,
        plan: &OpenPlan,
        taken: Taken<'_>,
    ) -> Result<Weights<M>, DriverError> {
        let (parts, bytes) = places(plan.manifest());
        let memory = driver.allocate("weights", bytes)?;
        let (mut done, all) = (0, plan.manifest().memory.weights_bytes);
        for (index, (tensor, places)) in plan.manifest().tensors.iter().zip(&parts).enumerate() {
            let view = plan.tensor(TensorId(index as u32));
            for (part, (offset, _)) in tensor.parts.iter().zip(places) {
                driver.upload(&memory, *offset, view.part(part.component))?;
                done += part.bytes;
                taken(done, all);
            }
        }
        Ok(Weights { memory, parts })
    }

    /// The arrays of a matrix as its kernels take them.
    pub fn matrix(&self, id: TensorId, format: Format) -> impl Iterator<Item = Arg<'_, M>> {
        let zero_points = matches!(format, Format::Int4 { zero_point: false, .. }).then_some(Arg::Null);
        self.parts[id.0 as usize].iter().map(|part| self.arg(part)).chain(zero_points)
    }

    /// The only array of a norm weight or bias.
    pub fn vector(&self, id: TensorId) -> Arg<'_, M> {
        self.arg(&self.parts[id.0 as usize][0])
    }

    fn arg(&self, &(offset, bytes): &(u64, u64)) -> Arg<'_, M> {
        Arg::Memory { memory: &self.memory, offset, bytes }
    }
}

fn places(plan: &Plan) -> (Vec<Vec<(u64, u64)>>, u64) {
    let mut end = 0;
    let mut place = |bytes: u64| {
        let start = end;
        end += bytes.next_multiple_of(ALIGNMENT);
        (start, bytes)
    };
    let parts = |tensor: &samp_abi::plan::Tensor| {
        debug_assert_eq!(tensor.parts[0].component, Component::Values);
        tensor.parts.iter().map(|part| place(part.bytes)).collect()
    };
    (plan.tensors.iter().map(parts).collect(), end)
}
