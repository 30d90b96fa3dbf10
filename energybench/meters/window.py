"""`Window`: energy between two readings with its standard uncertainty. Nothing else turns counters into joules.

The uncertainty of one window, derived
--------------------------------------
A counter that is updated every ``T`` seconds and read at a random moment is ``u`` seconds old, ``u`` uniform on
(0, T). With power ``P`` inside the window and ``ρP`` before it, the difference of two readings errs by

    e = ρ·P·u_begin − P·u_end,      E[e²] = P²·T²·((1 + ρ²)/3 − ρ/2).

``ρ`` is not known: 1 inside a long steady load (which gives P²T²/6, the usual 0.41·T/W relative), near 0 when the
window starts from idle, where the error is mostly a loss. Taken uniform on (0, 1) the mean square is

    σ_edge² = (7/36)·P²·T²          (0.441·P·T)

whose 95 % interval covers at least 93 % for any steady ρ ≥ 0.15. Where both edges were aligned to updates (`aligned`),
the age at an edge is at most the time between two polls, so ``T`` is replaced by the poll interval, and the counter's
own averaging is assumed to have covered the window. Rounding to steps of ``r`` at both edges adds
``σ_quantisation² = 2·r²/12``.

Where one update carries the independent relative noise ``s`` (`update_noise_rel`), a window of W seconds averages
``W/T`` of them: ``σ_noise² = s²·E²·T/W``.

Not in this number, and stated apart: the gain of the sensor (`gain_uncertainty_j`, a systematic term common to all
windows), and the part-time sampling of a sensor, which only repeated windows at other phases can show.

A total sums the domains at the top that are `in_total`, never a parent and its child. Their edges share one moment,
so edge terms (and gains) add linearly; quantisation and noise add in quadrature.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from types import MappingProxyType
from typing import Final

from energybench.errors import RecordError, UsageError
from energybench.meters.wrap import counter_delta
from energybench.records.reading import Domain, Reading
from energybench.records.vocabulary import Kind
from energybench.records.window_readings import WindowReadings
from energybench.units import Joule, Nanosecond, Second, Watt, nj_to_j, ns_to_s

#: Mean of (1 + ρ²)/3 − ρ/2 for ρ uniform on (0, 1): the module's derivation.
EDGE_VARIANCE: Final = 7 / 36
#: Variance of the difference of two values rounded down to a step of 1.
QUANTISATION_VARIANCE: Final = 2 / 12


@dataclass(frozen=True, slots=True)
class DomainEnergy:
    """Energy of one domain over one window.

    `uncertainty_j`       one standard deviation of quantisation, edges and noise; None where it cannot be stated (the
                          update period is unknown, or no update fell into the window and no power bound exists)
    `gain_uncertainty_j`  the systematic part: gain_rel · energy_j
    `corrected`           a counter wrap was corrected
    """

    energy_j: Joule
    uncertainty_j: Joule | None
    gain_uncertainty_j: Joule
    corrected: bool
    in_total: bool


@dataclass(frozen=True, slots=True)
class Window:
    """One measured stretch of time. `energy_j` and the uncertainties are totals over the top-level domains."""

    begin: Reading
    end: Reading
    kind: Kind
    domains: Mapping[str, DomainEnergy]
    energy_j: Joule
    uncertainty_j: Joule | None
    gain_uncertainty_j: Joule
    update_period_s: Second | None
    aligned: bool

    @classmethod
    def from_readings(
        cls,
        begin: Reading,
        end: Reading,
        domains: Sequence[Domain],
        *,
        kind: Kind,
        update_period_s: Second | None,
        aligned: bool = False,
        poll_interval_s: Second | None = None,
        update_noise_rel: float = 0.0,
        between: Sequence[Reading] = (),
    ) -> Window:
        """The window between two readings of one meter.

        Args:
            begin: The first reading.
            end: The last reading.
            domains: The meter's domains; each must be in every reading.
            kind: The meter's kind, which the energy keeps.
            update_period_s: The counter's update period; 0 for one that moves continuously, None if unknown.
            aligned: Both edges were aligned to counter updates.
            poll_interval_s: Time between two polls while aligning; the age of an aligned edge. Unknown: the whole
                update period is charged, as if the edges were not aligned.
            update_noise_rel: Relative standard deviation of one counter update, as `characterise` sees it in idle.
            between: Readings taken on the way, which keep a wrapping counter unambiguous in a long window.

        Raises:
            CounterWrapAmbiguous: a counter may have wrapped more than once between two readings, or was reset.
            RecordError: a domain is missing from a reading, or the readings are not in order of time.
        """
        elapsed_ns = end.time_ns - begin.time_ns
        if elapsed_ns < 0:
            raise RecordError("a window ends before it begins; pass begin and end in the order they were taken")
        for name, value in (
            ("update_period_s", update_period_s),
            ("poll_interval_s", poll_interval_s),
            ("update_noise_rel", update_noise_rel),
        ):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{name}={value!r} is not possible; pass a finite number, 0 or more")
        time_s = ns_to_s(elapsed_ns)
        noise_rel = update_noise_rel * math.sqrt((update_period_s or 0.0) / time_s) if time_s > 0 else 0.0
        edge_age_s = poll_interval_s if aligned and poll_interval_s is not None else update_period_s
        readings = (begin, *between, end)
        by_name: dict[str, DomainEnergy] = {}
        total_j = gain_j = edge_j = random_var = 0.0
        known = True
        for domain in domains:
            energy_nj, corrected = _sum_of_deltas(domain, readings)
            energy_j, resolution_j = nj_to_j(energy_nj), nj_to_j(domain.resolution_nj)
            power_w = _edge_power_w(domain, energy_j, resolution_j, time_s, update_period_s)
            one_edge_j = None
            if edge_age_s is not None and power_w is not None:
                one_edge_j = math.sqrt(EDGE_VARIANCE) * power_w * edge_age_s
            one_random_var = QUANTISATION_VARIANCE * resolution_j**2 + (noise_rel * energy_j) ** 2
            one_gain_j = domain.gain_rel * energy_j
            by_name[domain.name] = DomainEnergy(
                energy_j=energy_j,
                uncertainty_j=None if one_edge_j is None else math.sqrt(one_edge_j**2 + one_random_var),
                gain_uncertainty_j=one_gain_j,
                corrected=corrected,
                in_total=is_in_total(domain),
            )
            if is_in_total(domain):
                total_j += energy_j
                gain_j += one_gain_j
                random_var += one_random_var
                known = known and one_edge_j is not None
                edge_j += one_edge_j or 0.0
        return cls(
            begin=begin,
            end=end,
            kind=kind,
            domains=MappingProxyType(by_name),
            energy_j=total_j,
            uncertainty_j=math.sqrt(edge_j**2 + random_var) if known else None,
            gain_uncertainty_j=gain_j,
            update_period_s=update_period_s,
            aligned=aligned,
        )

    @classmethod
    def from_window_readings(
        cls,
        recorded: WindowReadings,
        *,
        kind: Kind = "replayed",
        poll_interval_s: Second | None = None,
        update_noise_rel: float | None = None,
    ) -> Window:
        """The window of a recorded counter pair; what is not given is as recorded. Raises as `from_readings`."""
        return cls.from_readings(
            recorded.begin,
            recorded.end,
            recorded.domains,
            kind=kind,
            update_period_s=recorded.update_period_s,
            aligned=recorded.aligned,
            poll_interval_s=recorded.poll_interval_s if poll_interval_s is None else poll_interval_s,
            update_noise_rel=(recorded.update_noise_rel or 0.0) if update_noise_rel is None else update_noise_rel,
        )

    @property
    def begin_ns(self) -> Nanosecond:
        return self.begin.time_ns

    @property
    def end_ns(self) -> Nanosecond:
        return self.end.time_ns

    @property
    def time_s(self) -> Second:
        return ns_to_s(self.end.time_ns - self.begin.time_ns)

    @property
    def mean_power_w(self) -> Watt | None:
        """Energy over time; None for a window without duration."""
        return self.energy_j / self.time_s if self.time_s > 0 else None

    @property
    def corrected(self) -> bool:
        """True where any domain's counter wrapped inside the window and was corrected."""
        return any(d.corrected for d in self.domains.values())

    @property
    def update_periods(self) -> float | None:
        """How many counter updates the window spans; None where the period is unknown or zero."""
        return self.time_s / self.update_period_s if self.update_period_s else None

    def interval(self, level: float = 0.95) -> tuple[Joule, Joule] | None:
        """Normal interval of the total from `uncertainty_j` (the gain apart), not below 0; None where that is None."""
        if not 0 < level < 1:
            raise UsageError(f"level={level!r} is no coverage; give a fraction between 0 and 1, as 0.95")
        if self.uncertainty_j is None:
            return None
        half_j = NormalDist().inv_cdf(0.5 + level / 2) * self.uncertainty_j
        return max(0.0, self.energy_j - half_j), self.energy_j + half_j


def is_in_total(domain: Domain) -> bool:
    """Whether a domain enters a total: at the top, and not overlapping the others (as psys does)."""
    return domain.parent is None and domain.in_total


def _sum_of_deltas(domain: Domain, readings: Sequence[Reading]) -> tuple[int, bool]:
    energy_nj, corrected = 0, False
    for before, after in itertools.pairwise(readings):
        try:
            before_nj, after_nj = before.energy_nj[domain.name], after.energy_nj[domain.name]
        except KeyError:
            raise RecordError(f"a reading lacks the domain {domain.name}; read every domain of the meter") from None
        delta_nj, wrapped = counter_delta(
            before_nj,
            after_nj,
            wrap_nj=domain.wrap_nj,
            elapsed_ns=after.time_ns - before.time_ns,
            max_power_w=domain.max_power_w,
        )
        energy_nj += delta_nj
        corrected = corrected or wrapped
    return energy_nj, corrected


def _edge_power_w(
    domain: Domain, energy_j: Joule, resolution_j: Joule, time_s: Second, update_period_s: Second | None
) -> Watt | None:
    """The power that may be missing at an edge.

    A window that saw no update says nothing about its power: the domain's bound stands in, and where there is none
    the uncertainty does not exist. (0 ± 0 J would be a lie.)
    """
    if update_period_s == 0:
        return 0.0
    if time_s <= 0 or (energy_j == 0 and (update_period_s is None or time_s < 2 * update_period_s)):
        return domain.max_power_w
    return max(energy_j, resolution_j) / time_s
