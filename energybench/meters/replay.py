"""`ReplayMeter`: the readings of a recorded run, one after the other. Kind `replayed`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from energybench.errors import MeterUnavailable, RecordError
from energybench.meters.clock import Clock
from energybench.records.reading import Domain, Reading
from energybench.records.run_directory import RunDirectory
from energybench.records.vocabulary import Kind
from energybench.units import Nanosecond, Second


class ReplayClock:
    """The time of the reading that was replayed last. Sleeping changes nothing: the recording sets the pace."""

    def __init__(self, start_ns: Nanosecond) -> None:
        self.time_ns = start_ns

    def now_ns(self) -> Nanosecond:
        """The recorded time."""
        return self.time_ns

    def sleep(self, duration_s: Second) -> None:
        """Nothing to wait for."""


class ReplayMeter:
    """Yields recorded readings in their order, window by window: the begin of each, then its end.

    Raises:
        RecordError: there are no readings.
    """

    kind: Kind = "replayed"

    def __init__(
        self,
        readings: Sequence[Reading],
        domains: Sequence[Domain],
        *,
        name: str = "replay",
        update_period_s: Second | None = None,
    ) -> None:
        if not readings:
            raise RecordError("the recording holds no readings; replay a run that has some")
        self.name = name
        self.domains: tuple[Domain, ...] = tuple(domains)
        self.nominal_update_period_s: Second | None = update_period_s
        self._clock = ReplayClock(readings[0].time_ns)
        self.clock: Clock = self._clock
        self._readings = tuple(readings)
        self._next: int | None = 0

    @classmethod
    def load(cls, run: Path | str) -> ReplayMeter:
        """A meter over the ``readings.jsonl`` of a run's directory. Raises RecordError."""
        recorded = list(RunDirectory(run).read_readings().values())
        if not recorded:
            raise RecordError(f"run {run} holds no readings; replay a run that has some")
        first = recorded[0]
        if any(w.domains != first.domains for w in recorded):
            raise RecordError(f"run {run} mixes meters with different domains; replay its windows one meter at a time")
        return cls(
            [reading for w in recorded for reading in (w.begin, w.end)],
            first.domains,
            name=f"replay:{run}",
            update_period_s=first.update_period_s,
        )

    def read(self) -> Reading:
        """The next recorded reading. Raises MeterUnavailable at the end of the recording."""
        if self._next is None:
            raise MeterUnavailable("the replay meter was closed; open it again")
        if self._next == len(self._readings):
            raise MeterUnavailable(
                f"the recording {self.name} ended after {len(self._readings)} readings; replay asks for no more than "
                "was recorded"
            )
        reading = self._readings[self._next]
        self._next += 1
        self._clock.time_ns = reading.time_ns
        return reading

    def close(self) -> None:
        """Reading afterwards is refused."""
        self._next = None
