fn main(){ samp_kernels::quantize::matmul_bench::go(); }
