#!/usr/bin/env bash
# samp beside llama.cpp on this machine's CPU: a model of the same shape at the same bits, in turns.
#
#   kernels/bench/cpu_peers.sh SAMP [OUT]
#
# SAMP is the command (`cargo build --release --bin samp`). OUT (target/cpu-peers) gets the peer, the models (12 GB for the 1B
# shape) and results.json; what is there already is not made again. SHAPE names another of `samp synth`'s shapes
# (llama-3.2-1b), ROUNDS how often all are measured (3), PYTHON an interpreter (python3). Needs clang 16 or newer as CLANG (clang)
# with CLANGXX (clang++): llama.cpp's matrix-unit kernels (AMX) crash when gcc 12 builds them, which takes a tile's values
# for never read (`ggml-cpu/amx/mmq.cpp`).
#
# llama.cpp comes from the source package of llama-cpp-python, and is built for this machine with its matrix units and without.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
samp=$(realpath "$1") out=${2:-target/cpu-peers}
shape=${SHAPE:-llama-3.2-1b} version=0.3.36
mkdir -p "$out"
out=$(realpath "$out")
log=$out/setup.log

# What is made last is moved to its place last, so that nothing is taken for whole that is not.
if [ ! -x "$out/python/bin/cmake" ]; then
  "${PYTHON:-python3}" -m venv "$out/python"
  "$out/python/bin/pip" -q install ninja==1.13.2 gguf==0.19.0 numpy==2.4.6 scikit-build-core==1.1.2 cmake==4.4.5
fi
export PATH=$out/python/bin:$PATH
if [ ! -d "$out/source" ]; then
  pip -q download --no-deps --no-binary :all: --no-build-isolation -d "$out" "llama-cpp-python==$version"
  rm -rf "$out/unpacked" && mkdir "$out/unpacked"
  tar -xzf "$out/llama_cpp_python-$version.tar.gz" -C "$out/unpacked" --strip-components 1
  mv "$out/unpacked/vendor/llama.cpp" "$out/source"
fi

# build NAME OPTION…
build() {
  [ ! -x "$out/$1/bin/llama-bench" ] || return 0
  echo "building llama.cpp: $1" >&2
  cmake -G Ninja -S "$out/source" -B "$out/$1" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DLLAMA_CURL=OFF \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF \
    -DCMAKE_C_COMPILER="${CLANG:-clang}" -DCMAKE_CXX_COMPILER="${CLANGXX:-clang++}" "${@:2}" >"$log" 2>&1 &&
    ninja -C "$out/$1" llama-bench llama-quantize >>"$log" 2>&1 ||
    { tail -5 "$log" >&2; echo "llama.cpp did not build: see $log" >&2; exit 1; }
}
build native -DGGML_NATIVE=ON
if grep -q amx_int8 /proc/cpuinfo; then
  build avx512 -DGGML_NATIVE=OFF -DGGML_AVX512=ON -DGGML_AVX512_VBMI=ON -DGGML_AVX512_VNNI=ON -DGGML_AVX512_BF16=ON
fi
exec python "$here/cpu_peers.py" "$samp" "$out" "$shape" "${ROUNDS:-3}"
