"""A language model as its users think of it: prefill, decode, joules per token, key–value cache traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from energybench.errors import UsageError
from energybench.estimation.estimate import EnergyEstimate
from energybench.notebook import html_lines, html_table
from energybench.profiles.profile import DeviceProfile
from energybench.records.model_counts import ModelCounts
from energybench.units import Byte, Joule, Second, format_si


@dataclass(frozen=True)
class DecodeStep:
    """One new token for every sequence of the batch, `context` tokens being cached before it.

    `cache_read_bytes`    keys and values of the context, read once by attention
    `cache_write_bytes`   those of the new token
    `cache_share`         of the step's traffic, counted as the model runs it (a cache that is concatenated anew at
                          every step moves more than it must); None without traffic
    `cache_energy_j`      the cache's compulsory bytes at the profile's price of a byte; None where it has no such price
    """

    context: int
    estimate: EnergyEstimate
    cache_read_bytes: Byte
    cache_write_bytes: Byte

    @property
    def cache_bytes(self) -> Byte:
        return self.cache_read_bytes + self.cache_write_bytes

    @property
    def cache_share(self) -> float | None:
        assert isinstance(self.estimate.counts, ModelCounts)
        moved = self.estimate.counts.total.bytes
        return self.cache_bytes / moved if moved else None

    @property
    def cache_energy_j(self) -> Joule | None:
        return cache_energy_j(self.estimate.profile, self.cache_bytes)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "context": self.context,
            "energy_j": self.estimate.energy_j,
            "time_s": self.estimate.time_s,
            "cache_read_bytes": self.cache_read_bytes,
            "cache_write_bytes": self.cache_write_bytes,
            "cache_share": self.cache_share,
            "cache_energy_j": self.cache_energy_j,
        }


@dataclass(frozen=True)
class Generation:
    """`batch` sequences: a prompt of `prompt_tokens` each, then `new_tokens` more, one step at a time.

    `steps`   decode steps at the first, middle and last context: the mean over all steps is theirs by Simpson's rule,
              exact for counts that are linear in the context, as attention's are
    """

    model: str
    batch: int
    prompt_tokens: int
    new_tokens: int
    cache_bytes_per_token: Byte
    prefill: EnergyEstimate
    steps: tuple[DecodeStep, DecodeStep, DecodeStep]

    @property
    def kind(self) -> str:
        return self.prefill.kind

    @property
    def prefill_energy_j(self) -> Joule:
        """Of the whole batch."""
        return self.prefill.energy_j

    @property
    def decode_energy_j(self) -> Joule:
        """All steps, of the whole batch."""
        return self.new_tokens * simpson([step.estimate.energy_j for step in self.steps])

    @property
    def energy_j(self) -> Joule:
        """Prefill and decode, of the whole batch."""
        return self.prefill_energy_j + self.decode_energy_j

    @property
    def prefill_energy_per_token_j(self) -> Joule:
        """Of a token of the prompt."""
        return self.prefill_energy_j / (self.batch * self.prompt_tokens)

    @property
    def decode_energy_per_token_j(self) -> Joule:
        """Of a new token of one sequence."""
        return self.decode_energy_j / (self.batch * self.new_tokens)

    @property
    def decode_time_s(self) -> Second | None:
        """All steps; None where no time is predicted."""
        times = [step.estimate.time_s for step in self.steps]
        known = [t for t in times if t is not None]
        return self.new_tokens * simpson(known) if len(known) == len(times) else None

    @property
    def time_per_token_s(self) -> Second | None:
        """Between two new tokens of one sequence."""
        return None if self.decode_time_s is None else self.decode_time_s / self.new_tokens

    @property
    def cache_bytes(self) -> Byte:
        """Size of the cache after the last token."""
        return self.cache_bytes_per_token * self.batch * (self.prompt_tokens + self.new_tokens)

    @property
    def decode_cache_bytes(self) -> float:
        """Cache traffic of all decode steps, compulsory."""
        return self.new_tokens * simpson([float(step.cache_bytes) for step in self.steps])

    @property
    def extrapolated(self) -> bool:
        return self.prefill.extrapolated or any(step.estimate.extrapolated for step in self.steps)

    @property
    def notes(self) -> tuple[str, ...]:
        """Of the prefill and of the middle step, each once; the other steps differ from it by their context only."""
        return tuple(dict.fromkeys([*self.prefill.notes, *self.steps[1].estimate.notes]))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "model": self.model,
            "kind": self.kind,
            "batch": self.batch,
            "prompt_tokens": self.prompt_tokens,
            "new_tokens": self.new_tokens,
            "energy_j": self.energy_j,
            "prefill": {
                "energy_j": self.prefill_energy_j,
                "energy_per_token_j": self.prefill_energy_per_token_j,
                "time_s": self.prefill.time_s,
            },
            "decode": {
                "energy_j": self.decode_energy_j,
                "energy_per_token_j": self.decode_energy_per_token_j,
                "time_s": self.decode_time_s,
                "time_per_token_s": self.time_per_token_s,
                "cache_traffic_bytes": self.decode_cache_bytes,
                "steps": [step.to_dict() for step in self.steps],
            },
            "cache_bytes_per_token": self.cache_bytes_per_token,
            "cache_bytes": self.cache_bytes,
            "extrapolated": self.extrapolated,
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        rows = [
            (
                f"prefill, {self.prompt_tokens} tokens",
                format_si(self.prefill_energy_j, "J"),
                format_si(self.prefill_energy_per_token_j, "J"),
            ),
            (
                f"decode, {self.new_tokens} tokens",
                format_si(self.decode_energy_j, "J"),
                format_si(self.decode_energy_per_token_j, "J"),
            ),
        ]
        columns = (f"{self.model}, batch {self.batch} ({self.kind} energy)", "energy", "per token")
        return html_table(columns, rows) + html_lines(self.notes)


def simpson(values: Sequence[float]) -> float:
    """Mean of a function over an interval from its first, middle and last value; exact up to third order."""
    first, middle, last = values
    return (first + 4 * middle + last) / 6


def cache_energy_j(profile: DeviceProfile, cache_bytes: float) -> Joule | None:
    """What these bytes cost at the profile's `byte_j`, static power apart; None where it has no such coefficient."""
    price = profile.params.get("byte_j")
    return None if price is None else price * cache_bytes


def step_contexts(prompt_tokens: int, new_tokens: int) -> tuple[int, int, int]:
    """Cached tokens before the first, the middle and the last new token. Raises UsageError."""
    if prompt_tokens < 1 or new_tokens < 1:
        raise UsageError("a generation needs at least one token of prompt and one new token")
    # the prefill's last position already yields the first new token's logits; each step then caches one more
    first, last = prompt_tokens, prompt_tokens + new_tokens - 1
    return first, (first + last) // 2, last
