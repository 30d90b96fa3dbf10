#!/usr/bin/env bash
# Measured records from a GPU machine in one call. See README.md beside this file.
set -euo pipefail

out=${1:?usage: run.sh OUT_DIRECTORY [BUDGET]}
budget=${2:-8m}
device=${ENERGYBENCH_LAB_DEVICE:-cuda:0}
meter=${ENERGYBENCH_LAB_METER:-nvml}
design=${ENERGYBENCH_LAB_DESIGN:-standard}
python=${PYTHON:-python3}

cd "$(dirname "$0")/../.."
mkdir -p "$out"
exec > >(tee -a "$out/log.txt") 2>&1
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
energybench() { "$python" -m energybench "$@"; }
step() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }

step "build"
if ! "$python" -c 'from energybench import _cpu' 2>/dev/null || [[ $meter == nvml && ! -e $(echo energybench/_cuda*.so) ]]; then
  # One architecture keeps the build short; PTX for it comes along.
  ENERGYBENCH_CUDA_ARCH=${ENERGYBENCH_CUDA_ARCH:-90a} "$python" setup.py --quiet build_ext --inplace
fi

step "doctor"
energybench doctor || [[ $meter != nvml ]]  # exit 3 means that nothing measures: fatal unless this is a dry run
if [[ $meter == nvml ]]; then nvidia-smi -q -d CLOCK,POWER,TEMPERATURE,PERFORMANCE | sed 's/^/  /'; fi

step "verify the counts of the kernels"
energybench kernels --verify

step "characterise the meter"
energybench doctor --meter "$meter" --device "$device"

step "calibrate"
resume=(); if [[ -e $out/run/records.jsonl ]]; then resume=(--resume); fi
energybench calibrate --device "$device" --meter "$meter" --design "$design" --budget "$budget" \
  --out "$out/run" "${resume[@]}"

step "fit and compare"
energybench fit "$out/run" --out "$out/run/profile.json"
energybench fit "$out/run" --json > "$out/run/fit.json"
energybench compare "$out/run" --profile "$out/run/profile.json"
energybench compare "$out/run" --profile "$out/run/profile.json" --json > "$out/run/comparison.json"
energybench replay "$out/run"

step "done: $(wc -l < "$out/run/records.jsonl") rows in $out/run"
