#!/usr/bin/env bash
# Shows and measures everything on this machine's GPU, in less than ten minutes; prints a short table last.
#
#   kernels/bench/gpu.sh SAMP_GPU CODE [OUT]
#
# SAMP_GPU is the binary (`cargo build --release -p samp-gpu-bench`), CODE the folder that `samp-gpu prepare --target h200 -o CODE`
# filled on a machine with NVRTC; neither needs a toolkit here. Of CODE, `tiny-llama.plan` and `tiny-llama-samp.plan` beside
# their references (`.safetensors`) are run as well, and `bitsandbytes`, an unpacked wheel, is compared with. OUT (gpu-results) gets logs and JSON; what an earlier
# run left there under the same names is removed first. TARGET names the GPU (h200), PYTHON an interpreter (python3): without
# torch peers are left out, without the interpreter the table too.
#
# Exits with 0 if no step failed, 1 if one did (the others run all the same), 2 if nothing was run. What is left out is said,
# and is no failure.
set -uo pipefail
[ $# -ge 2 ] || { sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
gpu=$1 code=$2 out=${3:-gpu-results}
target=${TARGET:-h200} python=${PYTHON:-python3}
at=(--target "$target" --code "$code")
failed=0

# Steps, and the files of each.
steps=(conformance kernels plan plan-samp decode-llama-3-8b decode-llama-3-70b throughput decode-f16 prefill-llama-3-8b
  prefill-llama-3-70b bench table peers)
mkdir -p "$out/targets" || exit 2
rm -f "$out"/{machine,table}.txt "$out"/targets/*.measured.json
for name in "${steps[@]}"; do rm -f "$out/$name".{log,json,json.partial}; done

# Runs a step within so many seconds, with its output in a log. What does not end when it is told to is killed.
step() {
  local name=$1 limit=$2 start=$SECONDS
  shift 2
  if timeout -k 5 "$limit" "$@" >"$out/$name.log" 2>&1; then
    echo "ok        $name ($((SECONDS - start)) s): $(tail -n 1 "$out/$name.log" | cut -c1-140)"
  else
    echo "FAILED    $name (exit code $?, $((SECONDS - start)) s of $limit), see $out/$name.log:"
    failed=1
    grep -a WRONG "$out/$name.log" | head -n 5
    tail -n 3 "$out/$name.log"
  fi
}

left_out() { echo "left out  $1: $2"; }

# Shows a plan beside its reference, if both are there.
plan() {
  local name=$1 limit=$2 plan=$code/$3.plan reference=$code/$3.safetensors
  if [ -d "$plan" ] && [ -f "$reference" ]; then
    step "$name" "$limit" "$gpu" plan "$plan" --reference "$reference"
  else
    left_out "$name" "no $3.plan and $3.safetensors in $code"
  fi
}

# Runs `samp-gpu bench` into a file of the step's name.
bench() {
  local name=$1 limit=$2
  shift 2
  step "$name" "$limit" "$gpu" bench "$@" "${at[@]}" --json "$out/$name.json"
}

asked=name,driver_version,memory.total,clocks.sm,clocks.mem
{ date -u +%FT%TZ; timeout -k 5 20 nvidia-smi --query-gpu=$asked --format=csv; } 2>&1 | tee "$out/machine.txt"

# Cheap and telling ones first: whatever ends the run early, these are there. All limits together are 540 seconds.
step conformance 40 "$gpu" conformance "${at[@]}"
step kernels 75 "$gpu" kernels "${at[@]}"
plan plan 20 tiny-llama
plan plan-samp 20 tiny-llama-samp
bench decode-llama-3-8b 25 decode --shape llama-3-8b
bench decode-llama-3-70b 25 decode --shape llama-3-70b
bench throughput 40 throughput --shape llama-3-70b --kv fp8
bench decode-f16 20 decode --shape llama-3-8b --recipe uniform:f16
bench prefill-llama-3-8b 25 prefill --shape llama-3-8b
bench prefill-llama-3-70b 25 prefill --shape llama-3-70b
bench bench 130 kernels
if [ -f "$out/bench.json" ]; then
  step table 5 "$gpu" table "$out/bench.json" -o "$out/targets/$target.measured.json" \
    --source "$(sed -n 1p "$out/machine.txt"), $(tail -n 1 "$out/machine.txt"), kernels/bench/gpu.sh"
fi
if ! command -v "$python" >/dev/null; then
  left_out "peers and the printed table" "$python is not here; the JSON is in $out"
  exit $failed
elif "$python" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)'; then
  wheel=()
  [ -d "$code/bitsandbytes" ] && wheel=(--bitsandbytes "$code/bitsandbytes")
  step peers 90 "$python" "$here/peers.py" --json "$out/peers.json" ${wheel[@]+"${wheel[@]}"}
else
  left_out peers "$python has no torch"
fi
echo
files=()
for name in "${steps[@]}"; do [ -f "$out/$name.json" ] && files+=("$out/$name.json"); done
"$python" "$here/table.py" ${files[@]+"${files[@]}"} | tee "$out/table.txt" || failed=1
exit $failed
