#!/usr/bin/env bash
# Shows and measures everything on this machine's GPU, in less than ten minutes; prints a short table last.
#
#   kernels/bench/gpu.sh SAMP_GPU CODE [OUT]
#
# SAMP_GPU is the binary (`cargo build --release -p samp-gpu`), CODE the folder that `samp-gpu prepare --target h200 -o CODE`
# filled on a machine with NVRTC; neither needs a toolkit here. A plan `tiny-llama.plan` in that folder is run as well. OUT gets logs and JSON. TARGET names the GPU (h200), PYTHON
# an interpreter with torch; without one, peers are left out.
set -uo pipefail
[ $# -ge 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
gpu=$1 code=$2 out=${3:-gpu-results}
target=${TARGET:-h200} python=${PYTHON:-python3}
mkdir -p "$out"
failed=0
at=(--target "$target" --code "$code")

# Runs a step within so many seconds, with its output in a log.
step() {
  local name=$1 limit=$2 start=$SECONDS
  shift 2
  if timeout "$limit" "$@" >"$out/$name.log" 2>&1; then
    echo "ok      $name ($((SECONDS - start)) s): $(tail -n 1 "$out/$name.log" | cut -c1-140)"
  else
    failed=1
    echo "FAILED  $name ($((SECONDS - start)) s), see $out/$name.log:"
    grep -a WRONG "$out/$name.log" | head -n 5
    tail -n 3 "$out/$name.log"
  fi
}

{ date -u +%FT%TZ; nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem --format=csv; } | tee "$out/machine.txt"
step conformance 30 "$gpu" conformance "${at[@]}"
step kernels 60 "$gpu" kernels "${at[@]}"
if [ -d "$code/tiny-llama.plan" ]; then
  step plan 60 "$gpu" plan "$code/tiny-llama.plan" --reference "$here/../../testdata/models/tiny-llama/reference.safetensors"
fi
step peers 120 "$python" "$here/peers.py" --json "$out/peers.json"
ceiling=$("$python" -c 'import json,sys; print(json.load(open(sys.argv[1]))["ceilings"]["matmul_tflops"])' "$out/peers.json" 2>/dev/null)
step bench 150 "$gpu" bench kernels "${at[@]}" ${ceiling:+--matmul-tflops "$ceiling"} --json "$out/bench.json"
mkdir -p "$out/targets"
step table 5 "$gpu" table "$out/bench.json" -o "$out/targets/$target.measured.json" \
  --source "$(sed -n 1p "$out/machine.txt"), $(tail -n 1 "$out/machine.txt"), kernels/bench/gpu.sh"
for shape in llama-3-8b llama-3-70b; do
  step "decode-$shape" 25 "$gpu" bench decode --shape "$shape" "${at[@]}" --json "$out/decode-$shape.json"
  step "prefill-$shape" 25 "$gpu" bench prefill --shape "$shape" "${at[@]}" --json "$out/prefill-$shape.json"
done
step decode-f16 25 "$gpu" bench decode --shape llama-3-8b --recipe uniform:f16 "${at[@]}" --json "$out/decode-f16.json"
step throughput 45 "$gpu" bench throughput --shape llama-3-70b --kv fp8 "${at[@]}" --json "$out/throughput.json"
echo
"$python" "$here/table.py" "$out"/*.json | tee "$out/table.txt"
exit $failed
