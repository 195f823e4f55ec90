//! Stable codes of why there is no machine code. Each is declared once in the workspace and means one thing.

samp_abi::error_codes! {
    NO_NVRTC = "E0510", Environment, "NVRTC, which compiles kernels for GPU targets, was not found",
        "A plan for a GPU holds machine code, which NVIDIA's run-time compiler makes. The error lists where it was \
         looked for.",
        "Ask `samp doctor` what is found. `.ci/setup` fetches it; or install CUDA 13.0, or set SAMP_NVRTC to \
         libnvrtc.so.13 or its folder.";
    UNUSABLE_NVRTC = "E0511", Environment, "A library was found that cannot be used as NVRTC",
        "The library does not load, or is of another version: the bytes of a plan depend on it, so that one \
         version is asked for.",
        "Install CUDA 13.0, or set SAMP_NVRTC to its libnvrtc.so.13.";
    KERNEL_REFUSED = "E0512", Bug, "A kernel does not compile",
        "NVRTC refused a source that samp made; its log is part of the error.",
        "Please report it with the command line and the log.";
    CODE_CACHE = "E0513", Environment, "A compiled kernel could not be kept in the cache",
        "Machine code is kept by content, so that it is compiled once; the system refused to write it.",
        "See to the cache's folder, which the error names: its space, its permissions, or a file in its way. SAMP_CACHE names \
         another.";
}
