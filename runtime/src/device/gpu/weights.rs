//! A plan's weights in the memory of a GPU.

use samp_abi::{
    Component, Format,
    plan::{Plan, TensorId},
};

use super::{Arg, Driver, DriverError, PlanSource, Range};

/// Every stored array, one after another.
pub(super) struct Weights<M> {
    memory: M,
    /// Of each tensor, the arrays in the order of the layout's components.
    parts: Vec<Vec<Range>>,
}

/// Arrays begin where bulk copies may begin, and on lines of the second cache.
const ALIGNMENT: u64 = 256;

impl<M> Weights<M> {
    /// Allocates memory for the weights of `plan`, and has `plan_source` write them.
    pub fn load<D: Driver<Memory = M>>(
        driver: &D,
        plan: &Plan,
        plan_source: &impl PlanSource<D>,
    ) -> Result<Weights<M>, DriverError> {
        let (parts, bytes) = places(plan);
        let memory = driver.allocate("weights", bytes)?;
        plan_source.write_weights(driver, &memory, &parts)?;
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

    fn arg(&self, &Range { offset, bytes }: &Range) -> Arg<'_, M> {
        Arg::Memory { memory: &self.memory, offset, bytes }
    }
}

fn places(plan: &Plan) -> (Vec<Vec<Range>>, u64) {
    let mut end = 0;
    let mut place = |bytes: u64| {
        let range = Range { offset: end, bytes };
        end += bytes.next_multiple_of(ALIGNMENT);
        range
    };
    let parts = |tensor: &samp_abi::plan::Tensor| {
        debug_assert_eq!(tensor.parts[0].component, Component::Values);
        tensor.parts.iter().map(|part| place(part.bytes)).collect()
    };
    (plan.tensors.iter().map(parts).collect(), end)
}
