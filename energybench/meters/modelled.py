"""`ModelledMeter`: CPU time × datasheet power. No measurement: it lets the pipeline run where nothing measures.

    energy = CPU seconds of this process and of its finished children × tdp_w / hardware threads

A fit to it recovers time, not energy, so everything made from it is labelled `modelled`.
"""

from __future__ import annotations

import math
import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from energybench.errors import UsageError
from energybench.meters.base import MeterInfo
from energybench.meters.clock import Clock, MonotonicClock
from energybench.records.reading import Domain, Reading
from energybench.records.vocabulary import Kind
from energybench.units import NS_PER_S, Second, Watt, j_to_nj

#: Part of the model name in /proc/cpuinfo → (datasheet power in W, hardware threads), as the makers' product pages
#: name them (AMD "Default TDP", Intel "TDP" or "Processor Base Power", and their "threads"). The pages were not kept,
#: so take the table as an ASSUMPTION: --tdp-w replaces it, and energy from it is `modelled` and never measured.
DATASHEET: Final[Mapping[str, tuple[Watt, int]]] = MappingProxyType(
    {
        "EPYC 7742": (225.0, 128),
        "EPYC 7763": (280.0, 128),
        "EPYC 9654": (360.0, 192),
        "Ryzen 9 7950X": (170.0, 32),
        "Xeon(R) Gold 6148": (150.0, 40),
        "Xeon(R) Platinum 8380": (270.0, 80),
        "Xeon(R) Platinum 8480+": (350.0, 112),
    }
)
ANNOUNCEMENT: Final = "pipeline check, not energy: CPU time × datasheet power"
_REMEDY: Final = "give the part's datasheet power with --tdp-w WATTS"


class ModelledMeter:
    """CPU time of this process and its finished children, priced at the datasheet power per hardware thread.

    Args:
        tdp_w: Datasheet power of the whole part; looked up in `DATASHEET` when not given.

    Raises:
        UsageError: the part is not in the table and no power was given, or the power is impossible.
    """

    kind: Kind = "modelled"
    announcement = ANNOUNCEMENT

    def __init__(self, *, tdp_w: Watt | None = None) -> None:
        threads = os.cpu_count() or 1
        if tdp_w is None:
            tdp_w, threads = datasheet_power(cpu_model_name())
        elif not (math.isfinite(tdp_w) and tdp_w > 0):
            raise UsageError(f"--tdp-w {tdp_w!r} is no power; {_REMEDY}")
        self.tdp_w = tdp_w
        self.name = "modelled"
        self.clock: Clock = MonotonicClock()
        # No sensor, no update, so no uncertainty of an edge: that of a model is not a number we know.
        self.nominal_update_period_s: Second | None = None
        self.domains: tuple[Domain, ...] = (Domain(name="cpu"),)
        self._power_per_thread_w = tdp_w / threads

    def read(self) -> Reading:
        """CPU time so far, as energy."""
        time_ns = time.monotonic_ns()
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = time.process_time_ns() / NS_PER_S + children.ru_utime + children.ru_stime
        return Reading(time_ns, {"cpu": j_to_nj(cpu_s * self._power_per_thread_w)})

    def close(self) -> None:
        """Nothing is held."""


def datasheet_power(model_name: str | None) -> tuple[Watt, int]:
    """Datasheet power and hardware threads of a CPU by its model name. Raises UsageError naming ``--tdp-w``."""
    for part, row in DATASHEET.items():
        # Whole words: "EPYC 7763" must not answer for a "7763P".
        if model_name is not None and f" {part} " in f" {model_name} ":
            return row
    raise UsageError(f"no datasheet power is known for {model_name or 'this CPU'}; {_REMEDY}")


def cpu_model_name(cpuinfo: Path | str = "/proc/cpuinfo") -> str | None:
    """The CPU's model name, None where the system does not say."""
    try:
        lines = Path(cpuinfo).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def discover() -> list[MeterInfo]:
    """What `energybench doctor` says of this meter."""
    model_name = cpu_model_name()
    try:
        tdp_w, threads = datasheet_power(model_name)
    except UsageError as error:
        observed, _, _ = str(error).partition("; ")
        return [MeterInfo("modelled", False, "modelled", observed, "--meter modelled --tdp-w WATTS")]
    observed = f"{model_name}: {tdp_w:g} W over {threads} hardware threads; {ANNOUNCEMENT}"
    return [MeterInfo("modelled", True, "modelled", observed, domains=(Domain(name="cpu"),))]
