"""The one place where two values of an energy counter are subtracted, and where a counter's restart is corrected.

A counter that counts modulo `wrap_nj` leaves, for one pair of readings, the candidates ``d₀ + k·wrap_nj`` with
``d₀ = (after − before) mod wrap_nj`` and k = 0, 1, 2 …  The domain cannot have drawn more than ``max_power_w`` over
the elapsed time, which bounds the candidates; exactly one must be left, else the pair is refused. (That several wraps
look like one is noted by Alumet's ``CounterDiff``; the bound by power is what resolves it.)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from energybench.errors import CounterWrapAmbiguous, RecordError
from energybench.records.reading import Domain
from energybench.units import NJ_PER_J, Nanojoule, Nanosecond, Second, Watt, nj_to_j, ns_to_s, s_to_ns

#: How old a counter's value may be when it is read: the slowest update period known, 100 ms (Yang, Adamek, Armour
#: 2023, arXiv 2312.02741, GA100 and GH100). A difference may hold this much more than the elapsed time explains.
STALENESS_S: Final[Second] = 0.1
_STALENESS_NS: Final[Nanosecond] = s_to_ns(STALENESS_S)


def counter_delta(
    before_nj: Nanojoule,
    after_nj: Nanojoule,
    *,
    wrap_nj: Nanojoule | None,
    elapsed_ns: Nanosecond,
    max_power_w: Watt | None,
) -> tuple[Nanojoule, bool]:
    """Energy between two readings of one counter, and whether a wrap was corrected.

    Args:
        before_nj: The counter at the first reading.
        after_nj: The counter at the second.
        wrap_nj: The counter's modulus; None where it cannot wrap.
        elapsed_ns: Time between the readings.
        max_power_w: The most the domain can draw; needed where `wrap_nj` is given, else no wrap can be excluded.

    Returns:
        The energy in nanojoules, and True where the counter had restarted once.

    Raises:
        CounterWrapAmbiguous: more than one wrap could have happened, or the counter was reset.
        RecordError: the numbers cannot come from such a counter (negative, beyond its range, time running back).
    """
    if elapsed_ns < 0:
        raise RecordError("the second reading is older than the first; pass them in the order they were taken")
    if before_nj < 0 or after_nj < 0:
        raise RecordError("an energy counter is negative; check the meter, its values are not usable")
    limit_nj: int | None = None
    if max_power_w is not None:
        # Integer arithmetic: a float product would lose nanojoules beyond 2^53.
        limit_nj = (elapsed_ns + _STALENESS_NS) * round(max_power_w * NJ_PER_J) // NJ_PER_J
    if wrap_nj is None:
        if after_nj < before_nj:
            raise CounterWrapAmbiguous(
                "the energy counter went back though it cannot wrap, so it was reset (driver reload, suspend); "
                "measure again"
            )
        delta_nj, corrected = after_nj - before_nj, False
    else:
        if wrap_nj <= 0 or before_nj >= wrap_nj or after_nj >= wrap_nj:
            raise RecordError(
                f"an energy counter stands beyond its own range of {wrap_nj} nJ; read max_energy_range_uj again"
            )
        delta_nj, corrected = (after_nj - before_nj) % wrap_nj, after_nj < before_nj
        if limit_nj is None:
            raise CounterWrapAmbiguous(
                "a counter that wraps has no power bound, so the number of wraps is unknown; set Domain.max_power_w"
            )
        if delta_nj + wrap_nj <= limit_nj:
            raise CounterWrapAmbiguous(
                f"in {ns_to_s(elapsed_ns):.4g} s at up to {max_power_w:g} W the counter may have wrapped twice "
                f"(its range is {nj_to_j(wrap_nj):.4g} J); read it at least every "
                f"{0.5 * nj_to_j(wrap_nj) / (max_power_w or 1):.3g} s"
            )
    if limit_nj is not None and delta_nj > limit_nj:
        raise CounterWrapAmbiguous(
            f"the counter moved by {nj_to_j(delta_nj):.4g} J in {ns_to_s(elapsed_ns):.4g} s, more than "
            f"{max_power_w:g} W allow, so it was reset or its power bound is wrong; measure again"
        )
    return delta_nj, corrected


def keep_alive_period_s(domains: Iterable[Domain]) -> Second | None:
    """How often counters must be read so that no wrap is ambiguous: half the shortest time in which one could wrap.

    None where no counter wraps.
    """
    periods_s = [
        0.5 * nj_to_j(domain.wrap_nj) / domain.max_power_w
        for domain in domains
        if domain.wrap_nj is not None and domain.max_power_w
    ]
    return min(periods_s, default=None)
