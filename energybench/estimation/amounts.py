"""`Amounts`: what one call works through, so that its energy can be given per sample, token and epoch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from energybench.errors import UsageError
from energybench.units import Joule, Second, Watt

#: Power of a person's brain [D25]: about a fifth of a resting body's 100 W (Clarke and Sokoloff 1999, Basic
#: Neurochemistry, chapter 31).
BRAIN_POWER_W: Final[Watt] = 20.0


def brain_time_s(energy_j: Joule) -> Second:
    """How long a person's brain runs on this energy."""
    return energy_j / BRAIN_POWER_W


@dataclass(frozen=True, slots=True)
class Amounts:
    """Numbers of one call; None is what it does not have.

    `samples`            the batch size
    `tokens`             tokens (or time steps) over the whole batch
    `samples_per_epoch`  of the data set; the last batch of an epoch may be short and costs its share

    Raises UsageError on a number that is not positive.
    """

    samples: int | None = None
    tokens: int | None = None
    samples_per_epoch: int | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and value < 1:
                raise UsageError(f"{name}={value!r} is no amount of one call; give a positive whole number")

    @property
    def calls_per_epoch(self) -> float | None:
        """Calls that one epoch takes; a short last batch is a part of one."""
        if self.samples is None or self.samples_per_epoch is None:
            return None
        return self.samples_per_epoch / self.samples

    def per(self, energy_j: Joule) -> dict[str, Joule]:
        """The energy of one call per ``batch``, ``sample``, ``token`` and ``epoch``, where the call has such."""
        result = {"batch": energy_j}
        if self.samples is not None:
            result["sample"] = energy_j / self.samples
        if self.tokens is not None:
            result["token"] = energy_j / self.tokens
        if (calls := self.calls_per_epoch) is not None:
            result["epoch"] = energy_j * calls
        return result

    def to_dict(self) -> dict[str, int | None]:
        """A JSON-ready mapping."""
        return asdict(self)
