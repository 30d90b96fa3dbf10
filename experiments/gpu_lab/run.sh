#!/usr/bin/env bash
# Measured records from a GPU machine, in calls of at most ten minutes. See README.md beside this file.
set -euo pipefail

out=${1:?usage: run.sh OUT_DIRECTORY [SECONDS [STEP …]]}
limit=${2:-540}
shift $(($# > 2 ? 2 : $#))
steps=("$@")
device=${ENERGYBENCH_LAB_DEVICE:-cuda:0}
meter=${ENERGYBENCH_LAB_METER:-nvml}
smallest=${ENERGYBENCH_LAB_SMALLEST:-0}
python=${PYTHON:-python3}

cd "$(dirname "$0")/../.."
mkdir -p "$out"
exec > >(tee -a "$out/log.txt") 2>&1
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
energybench() { "$python" -m energybench "$@"; }
lab() { "$python" experiments/gpu_lab/lab.py "$1" "$out" --device "$device" --meter "$meter" --smallest "$smallest" "${@:2}"; }
left() { echo $((limit - SECONDS)); }
step() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }
dry() { [[ $device == cpu || $meter != nvml ]]; }
unit() { "$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["unit"])' "$out/latest.json"; }
has() { [[ -e $out/latest.json && -e $out/$(unit)/$1/complete ]]; }

# 0. The probe: build and checks once, then in every call which card this is and what its meter does.
probe() {
  step "0. build"
  if ! "$python" -c 'from energybench import _cpu' 2>/dev/null || { ! dry && [[ -z $(compgen -G 'energybench/_cuda*.so') ]]; }; then
    # One architecture keeps the build short; PTX for it comes along. Without it the vendor's rows are still measured.
    ENERGYBENCH_CUDA_ARCH=${ENERGYBENCH_CUDA_ARCH:-90a} "$python" setup.py --quiet build_ext --inplace ||
      echo "  the native kernels do not build here: their rows will be skipped"
  fi
  if [[ ! -e $out/checked ]]; then
    step "0. doctor"
    energybench doctor || dry  # exit 3 means that nothing measures: fatal unless this is a dry run
    if ! dry; then nvidia-smi -q -d CLOCK,POWER,TEMPERATURE,PERFORMANCE | sed 's/^/  /'; fi
    step "0. counts of the kernels"
    energybench kernels --verify || echo "  counts disagree: do not trust native rows of this build"
    if ! dry; then
      step "0. the CUDA kernels against torch"
      "$python" experiments/gpu_lab/check_kernels.py --device "$device" ||
        echo "  native kernels disagree: do not trust their rows of this build"
    fi
    touch "$out/checked"
  fi
  step "0. the meter"
  lab probe
}

# A design that has every row once is complete; an unfinished one goes on in the next call.
run_design() {  # STEP LEAST_SECONDS PERCENT_OF_THE_TIME_LEFT
  if has "$1"; then return; fi
  if (($(left) < $2)); then echo "  $1: $(left) s left, at least $2 needed; call again"; return; fi
  step "$1 ($(left) s left)"
  lab "$1" --budget "$((($(left) - 15) * $3 / 100))"
}

if ((${#steps[@]} == 0)); then steps=(probe operators development sealed timings more table); fi
for name in "${steps[@]}"; do
  case $name in
    probe) probe ;;
    operators) run_design operators 60 100 ;;
    development) run_design development 60 40 ;;
    sealed) run_design sealed 60 100 ;;
    timings) if (($(left) > 45)); then step "timings without energy"; lab timings --budget "$(($(left) - 20))"; fi ;;
    more) run_design more 90 100 ;;
    table) step "table"; lab table ;;
    *) echo "unknown step $name" >&2; exit 2 ;;
  esac
done
step "done; all files: $(du -sh "$out" | cut -f1)"
