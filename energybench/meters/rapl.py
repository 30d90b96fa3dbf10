"""`open_rapl`: RAPL through the best of its interfaces: perf_event first, else powercap, else the registers."""

from __future__ import annotations

from pathlib import Path

from energybench.errors import MeterPermissionError, MeterUnavailable
from energybench.meters import rapl_msr, rapl_perf, rapl_powercap
from energybench.meters.base import EnergyMeter
from energybench.meters.window import is_in_total


def open_rapl(root: Path | str = "/sys") -> EnergyMeter:
    """perf_event (64 bits, no wraps) where it works and covers what powercap covers; powercap otherwise.

    The two list different domains on some kernels (AMD before 5.17): where powercap shows one of the total's domains
    that perf_event lacks and may be read, powercap it is. Registers, which leave DRAM out, are for kernels that have
    neither. The meter's `name` says which one was taken.

    Raises:
        MeterUnavailable, MeterPermissionError: none works; the message names both remedies.
    """
    try:
        perf: EnergyMeter = rapl_perf.RaplPerfMeter(root)
    except MeterUnavailable as perf_error:
        try:
            return rapl_powercap.RaplMeter(root)
        except MeterUnavailable as powercap_error:
            try:
                return rapl_msr.RaplMsrMeter(Path(root).parent)
            except MeterUnavailable:
                # The nearest remedies are those of the two that show everything.
                raise _neither(perf_error, powercap_error) from None
    try:
        zones, _ = rapl_powercap.scan_zones(root)
    except MeterUnavailable:
        return perf
    shown = {domain.name for domain in perf.domains}
    # Counters of perf_event begin at 0, so only powercap can tell whether two dies are one counter shown twice.
    several_dies = any("-die-" in name for name in shown)
    if not several_dies and all(zone.domain.name in shown for zone in zones if is_in_total(zone.domain)):
        return perf
    try:
        powercap = rapl_powercap.RaplMeter(root)
    except MeterUnavailable:
        return perf
    perf.close()
    return powercap


def _neither(perf_error: MeterUnavailable, powercap_error: MeterUnavailable) -> MeterUnavailable:
    """One line with both findings, and the remedy of the one that is nearer to working."""
    perf_observed, _, perf_remedy = str(perf_error).partition("; ")
    powercap_observed, _, powercap_remedy = str(powercap_error).partition("; ")
    denied = [isinstance(error, MeterPermissionError) for error in (powercap_error, perf_error)]
    if denied == [True, True]:
        remedy = f"{powercap_remedy}, or else {perf_remedy}"
    else:
        remedy = perf_remedy if denied == [False, True] else powercap_remedy
    kind = MeterPermissionError if any(denied) else MeterUnavailable
    return kind(f"{powercap_observed}, and {perf_observed}; {remedy}")
