"""Estimating a model from a sample of its layers [D24], with the error that a sample brings.

A layer is a module that calls operators itself. Three designs of a sample without replacement (Cochran 1977, Sampling
Techniques, chapters 2, 5 and 6):

`simple`      layers drawn alike; the sample's mean times their number
`weights`     the document's reading, a sample of the parameters: energy per weight byte of the sample times all weight
              bytes (a ratio estimator; layers without weights ride on those that have some)
`stratified`  layers drawn within each kernel class and size, at least two of each where there are two

The standard error is the design's own, estimated from the sample; the true error is known too, since all layers were
counted, and stands beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from energybench.errors import UsageError
from energybench.estimation.estimate import EnergyEstimate
from energybench.model.features import FloatArray
from energybench.records.model_counts import ModelCounts
from energybench.units import Joule

SampleMethod: TypeAlias = Literal["simple", "weights", "stratified"]
METHODS: Final[tuple[SampleMethod, ...]] = ("simple", "weights", "stratified")

#: Draws behind a sampling error that is found by drawing: its own error is then about 1/√(2·200) = 5 %.
DRAWS: Final = 200


@dataclass(frozen=True, slots=True)
class LayerSample:
    """One sample and what it says.

    `stderr_j`   the design's standard error; None where a stratum or the sample has one layer only
    `error_rel`  (sampled − full) / full
    """

    method: SampleMethod
    layers: int
    sampled: int
    energy_j: Joule
    stderr_j: Joule | None
    full_energy_j: Joule
    error_rel: float

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SamplingError:
    """Errors of many samples of one size: root mean square, mean (bias), and the 95th percentile of the absolute."""

    method: SampleMethod
    layers: int
    sampled: int
    draws: int
    rms_rel: float
    bias_rel: float
    p95_rel: float

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return asdict(self)


@dataclass(frozen=True)
class _Layers:
    """Energy (n,), weight bytes (n,) and stratum (n,) of each layer."""

    energy_j: FloatArray
    weight_bytes: FloatArray
    stratum: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.energy_j)


def sample_layers(
    estimate: EnergyEstimate, *, share: float = 0.1, method: SampleMethod = "stratified", seed: int = 0
) -> LayerSample:
    """Estimate the whole model from a `share` of its layers. Raises UsageError: a share outside (0, 1], bare counts."""
    layers = _layers(estimate)
    number = _number(layers, share)
    energy_j, variance, sampled = _draw(layers, number, method, np.random.default_rng(seed))
    return LayerSample(
        method,
        len(layers),
        sampled,
        energy_j,
        None if variance is None else math.sqrt(variance),
        estimate.energy_j,
        energy_j / estimate.energy_j - 1,
    )


def sampling_error(
    estimate: EnergyEstimate,
    *,
    share: float = 0.1,
    method: SampleMethod = "stratified",
    draws: int = DRAWS,
    seed: int = 0,
) -> SamplingError:
    """What samples of this size are off by, over `draws` of them. Raises UsageError as `sample_layers`."""
    layers = _layers(estimate)
    number = _number(layers, share)
    rng = np.random.default_rng(seed)
    outcomes = [_draw(layers, number, method, rng) for _ in range(draws)]
    errors = np.array([energy_j for energy_j, _, _ in outcomes]) / estimate.energy_j - 1
    return SamplingError(
        method,
        len(layers),
        outcomes[0][2],
        draws,
        float(np.sqrt(np.mean(errors**2))),
        float(np.mean(errors)),
        float(np.quantile(np.abs(errors), 0.95)),
    )


def _layers(estimate: EnergyEstimate) -> _Layers:
    if not isinstance(estimate.counts, ModelCounts):
        raise UsageError("bare counts have no layers to sample; estimate a model")
    if not estimate.energy_j > 0:
        raise UsageError("the model costs nothing here, so there is nothing to sample")
    energies = estimate.by_layer()
    weights = dict.fromkeys(energies, 0.0)
    largest: dict[str, tuple[float, str]] = {}
    for row in estimate.counts.rows:
        weights[row.module] += row.counts.weight_load_bytes
        largest[row.module] = max(largest.get(row.module, (-1.0, "")), (float(row.counts.flops), row.kernel_class))
    return _Layers(
        np.array(list(energies.values())),
        np.array(list(weights.values())),
        _strata(largest, list(energies)),
    )


def _strata(largest: Mapping[str, tuple[float, str]], names: list[str]) -> NDArray[np.intp]:
    """Layers of one kernel class whose work lies within one decade are alike; both are known before pricing."""
    keys = [
        (largest[name][1], math.floor(math.log10(largest[name][0])) if largest[name][0] > 0 else -1) for name in names
    ]
    numbers = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], dtype=np.intp)


def _number(layers: _Layers, share: float) -> int:
    if not 0 < share <= 1:
        raise UsageError(f"share {share!r} of the layers is not between 0 and 1; write it as 10% or 0.1")
    return max(1, round(share * len(layers)))


def _draw(
    layers: _Layers, number: int, method: SampleMethod, rng: np.random.Generator
) -> tuple[Joule, float | None, int]:
    """(estimate, variance of it, layers drawn)."""
    if method == "stratified":
        return _stratified(layers, number, rng)
    if method not in METHODS:
        raise UsageError(f"sampling method {method!r} is unknown; use one of {', '.join(METHODS)}")
    n, total = number, len(layers)
    chosen = rng.choice(total, size=n, replace=False)
    energies = layers.energy_j[chosen]
    correction = 1 - n / total  # of a finite population
    if method == "simple":
        variance = None if n < 2 else total**2 * correction * float(np.var(energies, ddof=1)) / n
        return total * float(energies.mean()), variance, n
    weights, all_weights = layers.weight_bytes[chosen], float(layers.weight_bytes.sum())
    if weights.sum() <= 0:
        # nothing with a weight was drawn: the ratio does not exist, the sample's mean still does
        return total * float(energies.mean()), None, n
    ratio = float(energies.sum() / weights.sum())
    variance = None
    if n > 1:
        residual = energies - ratio * weights
        variance = total**2 * correction * float(np.sum(residual**2)) / (n - 1) / n
    return ratio * all_weights, variance, n


def _stratified(layers: _Layers, number: int, rng: np.random.Generator) -> tuple[Joule, float | None, int]:
    share = number / len(layers)
    energy_j, variance, drawn = 0.0, 0.0, 0
    known = True
    for stratum in range(int(layers.stratum.max()) + 1):
        members = np.flatnonzero(layers.stratum == stratum)
        size = len(members)
        n = min(size, max(2, round(share * size)))
        energies = layers.energy_j[rng.choice(members, size=n, replace=False)]
        energy_j += size * float(energies.mean())
        drawn += n
        if n < size:
            if n < 2:
                known = False
            else:
                variance += size**2 * (1 - n / size) * float(np.var(energies, ddof=1)) / n
    return energy_j, variance if known else None, drawn
