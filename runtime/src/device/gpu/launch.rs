//! The launch of each step: grid and arguments, in the order that the kernels' sources state.

use samp_abi::plan::{BufferId, Op, RowDim, TensorId};
use samp_kernels::{
    attention::cuda::Attention, cuda::Grid, embed, instantiate::LaunchOp, kernel::LinearKind, sample,
};

use super::{
    Arg, Driver, DriverError, GpuDevice, device::StepKernel, inputs::Array, scratch::WorkspaceSize,
    step_shape::StepShape,
};

/// A step about to be launched.
struct Launch<'a, D: Driver> {
    device: &'a GpuDevice<D>,
    shape: &'a StepShape,
    /// Rows of the step's operands: the tokens, or the outputs behind the gather.
    rows: u32,
}

/// Operands of an attention step.
#[derive(Clone, Copy)]
struct AttentionStep {
    q: BufferId,
    layer: u64,
    out: BufferId,
}

impl<D: Driver> GpuDevice<D> {
    /// Launches one step with the kernel of the tokens' bucket.
    pub(super) fn launch(&self, index: usize, shape: &StepShape) -> Result<(), DriverError> {
        let program = self.program();
        let step = &program.steps[index];
        let bucket = program.buckets.partition_point(|&bound| bound < u64::from(shape.tokens));
        let StepKernel { kernel, code } = &self.kernels[index][bucket];
        let rows = match program.buffers[step.op.writes()[0].0 as usize].rows {
            RowDim::Tokens => shape.tokens,
            RowDim::Outputs => shape.outputs,
        };
        if rows == 0 {
            return Ok(());
        }
        let launch = Launch { device: self, shape, rows };
        match (kernel, &step.op) {
            (LaunchOp::Attention(attention), &Op::PagedAttention { q, layer, out }) => {
                self.launch_attention(&launch, attention, code, AttentionStep { q, layer, out })
            }
            (kernel, op) => {
                let (grid, args) = launch.grid_and_args(kernel, op);
                self.driver.launch(&self.code[code[0]], grid, &args)
            }
        }
    }

    /// Each kernel for the sequences that it is for.
    fn launch_attention(
        &self,
        launch: &Launch<'_, D>,
        attention: &Attention,
        code: &[usize],
        step: AttentionStep,
    ) -> Result<(), DriverError> {
        let StepShape { sequences, decoding, .. } = *launch.shape;
        if decoding > 0 {
            let (grid, args) = launch.attention_decode(attention, step);
            self.driver.launch(&self.code[code[0]], grid, &args)?;
        }
        if decoding < sequences {
            let (grid, args) = launch.attention_prefill(attention, step);
            self.driver.launch(&self.code[code[1]], grid, &args)?;
        }
        Ok(())
    }

    /// Chooses a token for each output, by the logits of the steps before.
    pub(super) fn launch_sampler(&self, shape: &StepShape) -> Result<(), DriverError> {
        let outputs = shape.outputs;
        if outputs == 0 {
            return Ok(());
        }
        let [params, draws] =
            [Array::SamplingParams, Array::Draws].map(|array| self.inputs.arg(array, shape));
        let [tokens, logprobs] = self.sampled.args(outputs);
        let logits = self.rows(self.program().logits, outputs);
        let args = [logits, params, draws, tokens, logprobs, Arg::I32(outputs as i32)];
        self.driver.launch(&self.code[self.sampler], sample::cuda::grid(outputs), &args)
    }
}

impl<'a, D: Driver> Launch<'a, D> {
    /// What a step other than attention is launched with.
    fn grid_and_args(&self, kernel: &LaunchOp, op: &Op) -> (Grid, Vec<Arg<'a, D::Memory>>) {
        let (device, rows) = (self.device, self.rows);
        let count = Arg::I32(rows as i32);
        match (*kernel, op) {
            (LaunchOp::Embed { table, .. }, &Op::Embed { weight, out }) => {
                let table = device.weights.matrix(weight, table.format);
                let ids = [self.array(Array::TokenIds)];
                (
                    embed::cuda::grid(rows),
                    ids.into_iter().chain(table).chain([self.buffer(out), count]).collect(),
                )
            }
            (LaunchOp::RmsNorm(norm), &Op::RmsNorm { x, weight, eps, out }) => {
                let heads = (device.program().buffers[out.0 as usize].width / u64::from(norm.cols)) as u32;
                let (weight, eps) = (device.weights.vector(weight), Arg::F32(eps as f32));
                let args =
                    vec![self.buffer(x), weight, self.buffer(out), Arg::I32((rows * heads) as i32), eps];
                (norm.grid(rows * heads), args)
            }
            (LaunchOp::AddRmsNorm(norm), &Op::AddRmsNorm { x, residual, weight, eps, sum, out }) => {
                let [x, residual] = self.narrow_first(x, residual);
                let weight = device.weights.vector(weight);
                let (sum, out, eps) = (self.buffer(sum), self.buffer(out), Arg::F32(eps as f32));
                (norm.grid(rows), vec![x, residual, weight, sum, out, count, eps])
            }
            (LaunchOp::Add { rows: width, .. }, &Op::Add { a, b, out }) => {
                let [a, b] = self.narrow_first(a, b);
                (width.grid(rows), vec![a, b, self.buffer(out), count])
            }
            (LaunchOp::Linear(_), &Op::Linear { x, weight, bias, out }) => {
                self.linear(kernel, [x, out], weight, bias)
            }
            (LaunchOp::RopeAppend(attention), &Op::RopeAppend { qkv, layer, out }) => {
                let scale = Arg::F32(device.plan.model.rope.scale as f32);
                let mut args = vec![self.buffer(qkv), self.half_turns(), scale];
                args.extend([Array::Positions, Array::Sequences].map(|array| self.array(array)));
                args.extend(self.page_table());
                args.extend([self.buffer(out), device.cache.pool(layer)]);
                args.extend(device.cache.scales(layer));
                args.push(count);
                (attention.rope_append_grid(rows), args)
            }
            (LaunchOp::SiluMul(width), &Op::SiluMul { gate_up, out }) => {
                (width.grid(rows), vec![self.buffer(gate_up), self.buffer(out), count])
            }
            (LaunchOp::Concat(concat), Op::Concat { parts, out }) => {
                let mut args: Vec<Arg<'a, D::Memory>> = parts.iter().map(|&part| self.buffer(part)).collect();
                args.resize_with(3, || Arg::Null);
                args.extend([self.buffer(*out), count]);
                (concat.grid(rows), args)
            }
            (LaunchOp::Gather(width), &Op::Gather { x, out }) => {
                let x = device.rows(x, self.shape.tokens);
                (width.gather_grid(rows), vec![x, self.array(Array::OutputRows), self.buffer(out), count])
            }
            (kernel, op) => unreachable!("{kernel:?} was instantiated for {}", op.kind()),
        }
    }

    fn linear(
        &self,
        kernel: &LaunchOp,
        [x, out]: [BufferId; 2],
        weight: TensorId,
        bias: Option<TensorId>,
    ) -> (Grid, Vec<Arg<'a, D::Memory>>) {
        let LaunchOp::Linear(linear) = kernel else { unreachable!("called for linears") };
        let device = self.device;
        let mut args = vec![self.buffer(x)];
        args.extend(device.weights.matrix(weight, linear.format));
        args.push(bias.map_or(Arg::Null, |bias| device.weights.vector(bias)));
        args.extend([self.buffer(out), Arg::I32(self.rows as i32)]);
        if linear.kind != LinearKind::Gemv {
            let size = WorkspaceSize::for_launch(kernel, self.rows, 0, device.target);
            args.extend(device.scratch.args(size));
        }
        (linear.grid(self.rows, device.target), args)
    }

    /// The sequences of one token, which stand first.
    fn attention_decode(
        &self,
        attention: &Attention,
        AttentionStep { q, layer, out }: AttentionStep,
    ) -> (Grid, Vec<Arg<'a, D::Memory>>) {
        let (device, tokens) = (self.device, self.shape.decoding);
        let mut args = vec![self.buffer(q), device.cache.pool(layer)];
        args.extend([Array::Positions, Array::Sequences].map(|array| self.array(array)));
        args.extend(self.page_table());
        args.push(self.buffer(out));
        args.extend(device.cache.scales(layer));
        let splits = attention.decode_splits(tokens, self.longest(), device.target);
        let (sums, counters) = attention.decode_workspace(tokens, splits);
        args.extend(device.scratch.args(WorkspaceSize { sums, counters }));
        args.push(Arg::I32(tokens as i32));
        (attention.decode_grid(tokens, splits), args)
    }

    /// The sequences behind them.
    fn attention_prefill(
        &self,
        attention: &Attention,
        AttentionStep { q, layer, out }: AttentionStep,
    ) -> (Grid, Vec<Arg<'a, D::Memory>>) {
        let (device, StepShape { tokens, sequences, decoding, max_pages, .. }) = (self.device, *self.shape);
        let [table, width] = self.page_table();
        let table = table.behind(4 * u64::from(decoding) * u64::from(max_pages));
        let starts = self.array(Array::Starts).behind(4 * u64::from(decoding));
        let mut args = vec![self.buffer(q), device.cache.pool(layer), self.array(Array::Positions), starts];
        args.extend([Arg::I32((sequences - decoding) as i32), table, width, self.buffer(out)]);
        args.extend(device.cache.scales(layer));
        (attention.prefill_grid(tokens - decoding, sequences - decoding), args)
    }

    /// Positions of the longest sequence, rounded up as the page table is; no more than the plan takes.
    fn longest(&self) -> u32 {
        let plan = &self.device.plan;
        let positions = u64::from(self.shape.max_pages) * plan.kv.page_tokens;
        positions.min(plan.limits.max_context) as u32
    }

    fn buffer(&self, id: BufferId) -> Arg<'a, D::Memory> {
        self.device.rows(id, self.rows)
    }

    fn array(&self, array: Array) -> Arg<'a, D::Memory> {
        self.device.inputs.arg(array, self.shape)
    }

    /// The table and the width of its rows.
    fn page_table(&self) -> [Arg<'a, D::Memory>; 2] {
        [self.array(Array::PageTable), Arg::I32(self.shape.max_pages as i32)]
    }

    fn half_turns(&self) -> Arg<'a, D::Memory> {
        let pairs = self.device.plan.model.rope.inv_frequencies.len();
        Arg::Memory { memory: &self.device.half_turns, offset: 0, bytes: 8 * pairs as u64 }
    }

    /// Two summands, the one that is stored in fewer bytes first.
    fn narrow_first(&self, a: BufferId, b: BufferId) -> [Arg<'a, D::Memory>; 2] {
        let bytes = |id: BufferId| self.device.program().buffers[id.0 as usize].dtype.bytes();
        let (first, second) = if bytes(b) < bytes(a) { (b, a) } else { (a, b) };
        [self.buffer(first), self.buffer(second)]
    }
}
