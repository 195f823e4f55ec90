//! What the steps of a segment computed.

use std::collections::BTreeMap;

use samp_abi::plan::{BufferId, Step};
use samp_runtime::{BufferView, Observer};

use crate::quantize::forward::State;

/// Every buffer that lived at the beginning or was written since.
pub(in crate::quantize) struct Tape {
    buffers: BTreeMap<BufferId, Vec<f32>>,
}

impl Tape {
    /// A tape that begins with what lives in `state`.
    pub(super) fn new(state: &State) -> Tape {
        Tape { buffers: state.buffers().map(|(id, values)| (id, values.to_vec())).collect() }
    }

    /// What a buffer held; empty if it was not written.
    pub(in crate::quantize) fn get(&self, id: BufferId) -> &[f32] {
        self.buffers.get(&id).map_or(&[], Vec::as_slice)
    }
}

impl Observer for Tape {
    fn after_step(&mut self, _: usize, step: &Step, buffers: &BufferView<'_>) {
        for id in step.op.writes() {
            self.buffers.insert(id, buffers.get(id).to_vec());
        }
    }
}
