"""What an experiment writes: figures that say their kind, and verdicts on items of the document that name one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from energybench.errors import RecordError, UsageError
from energybench.records.atomic_file import write_text_atomic

FigureKind: TypeAlias = Literal["counted", "timed", "measured", "replayed", "modelled", "simulated"]
FIGURE_KINDS: Final[tuple[str, ...]] = get_args(FigureKind)
#: Only these say anything about joules: a count, a time or a made-up device cannot.
ENERGY_KINDS: Final = frozenset({"measured", "replayed"})

Answer: TypeAlias = Literal["holds", "holds in part", "does not hold", "not decidable here"]
ANSWERS: Final[tuple[str, ...]] = get_args(Answer)
Subject: TypeAlias = Literal["counts", "time", "energy"]
SUBJECTS: Final[tuple[str, ...]] = get_args(Subject)


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a result. `kind` says where it comes from; counted ones are reproduced exactly."""

    name: str
    value: float
    unit: str
    kind: FigureKind = "counted"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one claim of one item.

    `item`     the document's item, ``D9``
    `about`    what the claim is about; one about energy needs a measured or replayed figure to be decided
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

    def exact(self) -> dict[str, float]:
        """The counted figures, which every run reproduces to the last digit."""
        return {f.name: f.value for f in self.figures if f.kind == "counted"}

    def save(self, folder: Path) -> None:
        """Write ``result.json`` into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        write_text_atomic(folder / "result.json", json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")

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
