"""Capture the state of the machine, once per run."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from energybench.records.environment import Environment, Fact
from energybench.records.reading import MeterCharacteristics
from energybench.version import __version__

#: Packages whose version can change what a workload does or what a meter reads.
_PACKAGES: Final = ("energybench", "torch", "numpy", "nvidia-ml-py", "pyRAPL")
#: Variables that change how many threads run and how they wait.
_VARIABLES: Final = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES")


def capture_environment(
    *,
    device: str,
    device_name: str,
    meter: str,
    characteristics: MeterCharacteristics | None = None,
    gpu: Mapping[str, Any] | None = None,
    extra: Mapping[str, Fact] | None = None,
    sys_root: Path = Path("/sys"),
    proc_root: Path = Path("/"),
) -> Environment:
    """The environment of a run.

    Args:
        device: ``cpu`` or ``cuda:N``.
        device_name: The part's own name.
        meter: The meter's name.
        characteristics: What characterising the meter found.
        gpu: What NVML says of the GPU, as `energybench.meters.nvml` reads it.
        extra: Facts of the run itself.
        sys_root: Where the kernel's ``/sys`` lies; a test may move it.
        proc_root: Where its ``proc`` lies.
    """
    facts: dict[str, Fact] = {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "cpu_governor": _line(sys_root / "devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "cpu_turbo": _turbo(sys_root),
        "smt_active": _flag(sys_root / "devices/system/cpu/smt/active"),
        "load_average_1min": os.getloadavg()[0],
        **{f"env_{name.lower()}": os.environ.get(name) for name in _VARIABLES},
        **{f"gpu_{name}": value for name, value in (gpu or {}).items() if isinstance(value, str | int | float)},
        **(extra or {}),
    }
    from energybench.meters.cpu_info import cpu_info
    from energybench.meters.modelled import cpu_model_name

    facts["cpu_name"] = cpu_model_name()
    cpu = cpu_info(proc_root)
    facts["cpu_microcode"] = cpu.get("microcode")
    # With SGX on, the CPU blurs what RAPL shows, and a single value may be far off: it stands beside the records.
    facts["cpu_sgx"] = "sgx" in cpu["flags"].split() if "flags" in cpu else None
    uuid = (gpu or {}).get("uuid")
    return Environment(
        device=device,
        device_name=device_name,
        device_uuid=str(uuid) if uuid is not None else None,
        meter=meter,
        facts=facts,
        versions=_versions(),
        git_commit=git_commit(),
        characteristics=characteristics,
    )


def _line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _flag(path: Path) -> bool | None:
    text = _line(path)
    return None if text not in ("0", "1") else text == "1"


def _turbo(sys_root: Path) -> bool | None:
    no_turbo = _flag(sys_root / "devices/system/cpu/intel_pstate/no_turbo")
    return _flag(sys_root / "devices/system/cpu/cpufreq/boost") if no_turbo is None else not no_turbo


def _versions() -> dict[str, str]:
    versions = {"python": sys.version.split()[0]}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if "energybench" not in versions:
        versions["energybench"] = __version__
    return versions


def git_commit(package: Path | None = None) -> str | None:
    """The commit of the checkout that runs, with ``-dirty`` where tracked files were changed; None outside one."""
    root = (package or Path(__file__).resolve().parents[1]).parent
    if not (root / ".git").exists():
        return None
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return None
    return f"{commit}-dirty" if _git(root, "status", "--porcelain", "--untracked-files=no") else commit


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
