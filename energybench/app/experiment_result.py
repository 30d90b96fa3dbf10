"""What an experiment writes: figures that say their kind, and verdicts on items of the document that name one.

Counted figures are reproduced to the last digit; simulated ones to `SIMULATED_REL`, since a fit behind them may round
differently on another processor; timed and modelled ones within the factor that each states, on the machine that made
them. `differences` says which were not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from energybench.errors import RecordError, UsageError
from energybench.records.atomic_file import write_text_atomic

FigureKind: TypeAlias = Literal["counted", "timed", "measured", "replayed", "modelled", "simulated"]
FIGURE_KINDS: Final[tuple[str, ...]] = get_args(FigureKind)
#: These come out the same on every machine.
_EXACT: Final = frozenset({"counted", "simulated"})
#: Only these say anything about joules: a count, a time or a made-up device cannot.
ENERGY_KINDS: Final = frozenset({"measured", "replayed"})

Answer: TypeAlias = Literal["holds", "holds in part", "does not hold", "not decidable here"]
ANSWERS: Final[tuple[str, ...]] = get_args(Answer)
Subject: TypeAlias = Literal["counts", "time", "energy"]
SUBJECTS: Final[tuple[str, ...]] = get_args(Subject)


#: How far a simulated figure may be from the one before.
SIMULATED_REL: Final = 0.01


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a result.

    `kind`    where it comes from
    `within`  factor above 1 within which a repeat on the same machine reproduces it; None where none is promised
    """

    name: str
    value: float
    unit: str
    kind: FigureKind = "counted"
    within: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping; a factor that is not promised is left out."""
        data = asdict(self)
        if self.within is None:
            del data["within"]
        return data

    def reproduces(self, earlier: Figure) -> bool:
        """Whether this figure of a repeat agrees with the earlier one, as its kind promises."""
        if self.kind == "counted":
            return self.value == earlier.value
        if self.kind == "simulated":
            return math.isclose(self.value, earlier.value, rel_tol=SIMULATED_REL)
        if self.within is None:
            return True
        low, high = sorted((abs(self.value), abs(earlier.value)))
        return high <= low * self.within


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one claim of one item.

    `item`     the document's item, ``D9``
    `about`    what the claim is about; one about energy needs a measured or replayed figure to be decided, one about
               time a timed figure that says how well it is reproduced
    `figures`  names of the figures that decided it
    `because`  one sentence with the number
    """

    item: str
    about: Subject
    answer: Answer
    figures: tuple[str, ...]
    because: str


@dataclass(frozen=True, slots=True)
class ExperimentResult:
    """Figures and verdicts of one experiment."""

    figures: tuple[Figure, ...]
    verdicts: tuple[Verdict, ...]

    def __post_init__(self) -> None:
        """Refuse a verdict that its figures cannot carry. Raises UsageError."""
        kinds = {f.name: f.kind for f in self.figures}
        if len(kinds) != len(self.figures):
            raise UsageError("two figures have one name; give each its own")
        for figure in self.figures:
            if figure.kind not in FIGURE_KINDS:
                raise UsageError(f"figure {figure.name!r}: kind {figure.kind!r} is none of {', '.join(FIGURE_KINDS)}")
            if figure.within is not None and (figure.kind in _EXACT or not figure.within > 1):
                raise UsageError(
                    f"figure {figure.name!r}: within={figure.within!r} is a factor above 1 of a figure that varies; "
                    "leave it out for counted and simulated ones"
                )
        bounded = {f.name for f in self.figures if f.kind == "timed" and f.within is not None}
        for verdict in self.verdicts:
            if verdict.answer not in ANSWERS or verdict.about not in SUBJECTS:
                raise UsageError(f"{verdict.item}: {verdict.answer!r} about {verdict.about!r} is no verdict")
            unknown = [name for name in verdict.figures if name not in kinds]
            if unknown or not verdict.figures:
                raise UsageError(
                    f"{verdict.item}: the deciding figures {unknown or 'are missing'}; name figures of this result"
                )
            decided = verdict.answer != "not decidable here"
            if verdict.about == "energy" and decided and not ENERGY_KINDS & {kinds[n] for n in verdict.figures}:
                raise UsageError(
                    f"{verdict.item}: {verdict.answer!r} about energy rests on no measured joule; "
                    "say 'not decidable here' until a meter has been read"
                )
            if verdict.about == "time" and decided and not bounded & set(verdict.figures):
                raise UsageError(
                    f"{verdict.item}: {verdict.answer!r} about time rests on no timed figure that says how well it is "
                    "reproduced; give one a factor `within`"
                )

    def exact(self) -> dict[str, float]:
        """The counted figures, which every run reproduces to the last digit."""
        return {f.name: f.value for f in self.figures if f.kind == "counted"}

    def differences(self, earlier: ExperimentResult) -> list[str]:
        """One line for each figure or verdict of a repeat that is not as before; what is new or gone included."""
        lines = []
        mine, theirs = {f.name: f for f in self.figures}, {f.name: f for f in earlier.figures}
        for name in dict.fromkeys((*theirs, *mine)):
            if name not in mine or name not in theirs:
                lines.append(f"{name}: {'new' if name in mine else 'gone'}")
            elif not mine[name].reproduces(theirs[name]):
                lines.append(f"{name}: {theirs[name].value:g} before, {mine[name].value:g} now ({mine[name].kind})")
        answers = [{(v.item, v.about): v.answer for v in result.verdicts} for result in (earlier, self)]
        for claim in dict.fromkeys((*answers[0], *answers[1])):
            before, now = (a.get(claim, "no verdict") for a in answers)
            if before != now:
                lines.append(f"{claim[0]} about {claim[1]}: {before!r} before, {now!r} now")
        return lines

    def save(self, folder: Path) -> None:
        """Write ``result.json`` into `folder`, one line for each figure and verdict."""
        folder.mkdir(parents=True, exist_ok=True)
        parts = [
            f' "{key}": [\n' + ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in rows) + "\n ]"
            for key, rows in (
                ("figures", [f.to_dict() for f in self.figures]),
                ("verdicts", [asdict(v) for v in self.verdicts]),
            )
        ]
        write_text_atomic(folder / "result.json", "{\n" + ",\n".join(parts) + "\n}\n")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ExperimentResult:
        """The inverse of ``dataclasses.asdict``. Raises RecordError, and UsageError on verdicts that cannot stand."""
        try:
            verdicts = tuple(Verdict(**{**v, "figures": tuple(v["figures"])}) for v in data["verdicts"])
            return cls(tuple(Figure(**f) for f in data["figures"]), verdicts)
        except (KeyError, TypeError) as error:
            raise RecordError(f"a result is malformed ({error}); run the experiment again") from error

    @classmethod
    def load(cls, folder: Path) -> ExperimentResult:
        """Read ``result.json`` of `folder`. Raises RecordError."""
        try:
            data = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RecordError(f"{folder / 'result.json'} cannot be read ({error}); run the experiment") from error
        return cls.from_dict(data)
