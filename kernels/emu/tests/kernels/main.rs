//! Every CUDA kernel in the emulator against its plain-loop reference, and edited kernels that must be caught.

mod bench;
mod norms;
