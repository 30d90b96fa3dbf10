"""Which meters this machine has, and how to open one by its name.

`auto` never picks a modelled, simulated or replayed meter: where nothing measures, that is an error with the remedy.
"""

from __future__ import annotations

import re
import sys
from typing import Final

from energybench.errors import EnergybenchError, MeterPermissionError, MeterUnavailable, UsageError
from energybench.meters.base import EnergyMeter, MeterInfo
from energybench.records.vocabulary import Kind
from energybench.units import Watt

#: The interfaces of RAPL may be asked for by name; `rapl` takes the best one.
_RAPL_INTERFACES: Final = ("rapl:perf", "rapl:powercap", "rapl:msr")
#: Meters of the CPU or of the whole board, and meters of one GPU; the Zeus daemon has both.
_CPU_METERS: Final = ("rapl", "pyrapl", "hwmon", "jetson", "modelled")
_GPU_METERS: Final = ("nvml", "amdsmi")
#: What most machines lack, and what is read only where the usual interfaces fail.
_OPTIONAL: Final = ("rapl:msr", "amdsmi", "zeusd", "hwmon", "jetson")
#: Meters whose name takes an argument after a colon.
_WITH_ARGUMENT: Final = ("simulated", "replay", "hwmon")
METER_SPECS: Final = (
    "auto",
    "rapl",
    *_RAPL_INTERFACES,
    "nvml",
    "amdsmi",
    "pyrapl",
    "zeusd",
    "jetson",
    "hwmon:CHIP/LABEL",
    "modelled",
    "simulated:FILE.toml",
    "replay:RUN",
)

_CUDA: Final = re.compile(r"cuda(?::(\d+))?")


def gpu_index(device: str) -> int | None:
    """0 for ``cuda``, N for ``cuda:N``, None for ``cpu``. Raises UsageError on anything else."""
    if device == "cpu":
        return None
    match = _CUDA.fullmatch(device)
    if match is None:
        raise UsageError(f"device {device!r} is unknown; use cpu, cuda or cuda:N")
    return int(match[1] or 0)


def open_meter(spec: str, *, device: str = "cpu", tdp_w: Watt | None = None) -> EnergyMeter:
    """Open a meter by its name.

    Args:
        spec: One of `METER_SPECS`; `auto` is `rapl` for the CPU and `nvml` for a CUDA device (`amdsmi` where torch is
            built for ROCm). ``rapl:perf``, ``rapl:powercap`` and ``rapl:msr`` insist on one interface;
            ``hwmon:CHIP/LABEL,CHIP/LABEL`` sums the sensors it names.
        device: ``cpu`` or ``cuda:N``.
        tdp_w: Datasheet power of the part; used by `modelled` only.

    Raises:
        MeterUnavailable: the meter is not there; the message names the remedy.
        MeterPermissionError: it is there but may not be read.
        UsageError: unknown name, or a file or option that cannot work.
    """
    index = gpu_index(device)
    name, colon, argument = spec.partition(":")
    if name in ("simulated", "replay") and not argument:
        what = "FILE.toml" if name == "simulated" else "RUN"
        raise UsageError(f"meter {spec!r} names no file; use {name}:{what}")
    if colon and name not in _WITH_ARGUMENT and spec not in _RAPL_INTERFACES:
        raise UsageError(f"meter {spec!r} is unknown; use one of {', '.join(METER_SPECS)}")
    if tdp_w is not None and name != "modelled":
        raise UsageError(f"a datasheet power is used by the modelled meter only, not by {name}; add --meter modelled")
    if name == "auto":
        name = "rapl" if index is None else _gpu_meter()
    if index is not None and name in _CPU_METERS:
        raise UsageError(f"meter {name} covers the CPU, not {device}; use --meter nvml or --meter amdsmi")
    if index is None and name in _GPU_METERS:
        raise UsageError(f"meter {name} covers GPUs, not the CPU; add --device cuda:0")
    match name:
        case "rapl":
            return _open_rapl(spec)
        case "nvml":
            from energybench.meters.nvml import NvmlMeter

            return NvmlMeter(index or 0)
        case "amdsmi":
            from energybench.meters.amdsmi import AmdSmiMeter

            return AmdSmiMeter(index or 0)
        case "zeusd":
            if index is not None:
                from energybench.meters.zeusd_gpu import ZeusdGpuMeter

                return ZeusdGpuMeter(index)
            from energybench.meters.zeusd import ZeusdMeter

            return ZeusdMeter()
        case "hwmon":
            from energybench.meters.hwmon import HwmonMeter

            return HwmonMeter([part for part in argument.split(",") if part])
        case "jetson":
            from energybench.meters.jetson import JetsonMeter

            return JetsonMeter()
        case "pyrapl":
            from energybench.meters.pyrapl import PyRaplMeter

            return PyRaplMeter()
        case "modelled":
            from energybench.meters.modelled import ModelledMeter

            return ModelledMeter(tdp_w=tdp_w)
        case "simulated":
            from energybench.meters.simulated import SimulatedMeter
            from energybench.meters.virtual_device import VirtualDevice

            return SimulatedMeter(VirtualDevice.load(argument))
        case "replay":
            from energybench.meters.replay import ReplayMeter

            return ReplayMeter.load(argument)
        case _:
            raise UsageError(f"meter {spec!r} is unknown; use one of {', '.join(METER_SPECS)}")


def _gpu_meter() -> str:
    """The meter of the GPUs that torch, where it is loaded, was built for."""
    version = getattr(sys.modules.get("torch"), "version", None)
    return "amdsmi" if getattr(version, "hip", None) else "nvml"


def _open_rapl(spec: str) -> EnergyMeter:
    if spec == "rapl:perf":
        from energybench.meters.rapl_perf import RaplPerfMeter

        return RaplPerfMeter()
    if spec == "rapl:powercap":
        from energybench.meters.rapl_powercap import RaplMeter

        return RaplMeter()
    if spec == "rapl:msr":
        from energybench.meters.rapl_msr import RaplMsrMeter

        return RaplMsrMeter()
    from energybench.meters.rapl import open_rapl

    return open_rapl()


def discover_meters() -> list[MeterInfo]:
    """What each meter finds on this machine, working or not, with the command that would enable it. Never raises."""
    from energybench.meters import (
        amdsmi,
        hwmon,
        jetson,
        modelled,
        nvml,
        pyrapl,
        rapl_msr,
        rapl_perf,
        rapl_powercap,
        zeusd,
    )

    infos: list[MeterInfo] = []
    for name, module in (
        ("rapl:perf", rapl_perf),
        ("rapl:powercap", rapl_powercap),
        ("rapl:msr", rapl_msr),
        ("nvml", nvml),
        ("amdsmi", amdsmi),
        ("pyrapl", pyrapl),
        ("zeusd", zeusd),
        ("hwmon", hwmon),
        ("jetson", jetson),
        ("modelled", modelled),
    ):
        try:
            infos.extend(module.discover())
        except EnergybenchError as error:
            observed, remedy = split_message(error)
            kind: Kind = "modelled" if name == "modelled" else "measured"
            absent = name in _OPTIONAL and not isinstance(error, MeterPermissionError)
            infos.append(MeterInfo(name, False, kind, observed, remedy, optional=absent))
    return infos


def split_message(error: EnergybenchError) -> tuple[str, str]:
    """What happened and the fix: every message of ours is the two joined by a semicolon."""
    observed, _, remedy = str(error).partition("; ")
    return observed, remedy


def no_measuring_meter() -> MeterUnavailable | None:
    """The error to show where no meter measures, naming each remedy; None where one does."""
    measuring = [info for info in discover_meters() if info.kind == "measured"]
    if any(info.available for info in measuring):
        return None
    remedies = " | ".join(f"{info.name}: {info.remedy}" for info in measuring if info.remedy and not info.optional)
    return MeterUnavailable(f"nothing on this machine measures energy; {remedies}")
