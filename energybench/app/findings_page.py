"""The summary of all experiments: a text whose every number is taken from a committed result."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Final

from energybench.app.experiment_result import ExperimentResult
from energybench.app.experiments import list_experiments
from energybench.errors import UsageError

#: Beside the experiments: the sentences, with a figure's experiment and name where a number stands.
TEMPLATE: Final = "findings.md.j2"


def findings_page(directory: Path) -> str:
    """The page from the template and the results below `directory`.

    In the template ``figure("009", "name")`` is the value of one figure and ``figures("009", "pattern")`` those of all
    whose names match; ``percent`` and ``number`` write it. Raises UsageError for a figure that is not there,
    RecordError for a result that cannot be read.
    """
    import jinja2

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    figures = _Figures(directory)
    environment.globals.update(figure=figures.one, figures=figures.matching)
    environment.filters.update(percent=_percent, number=_number)
    return environment.from_string((directory / TEMPLATE).read_text(encoding="utf-8")).render()


class _Figures:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._values: dict[str, dict[str, float]] = {}

    def matching(self, experiment: str, pattern: str) -> list[float]:
        if experiment not in self._values:
            found = [e for e in list_experiments(self._directory) if e.name.startswith(experiment)]
            if len(found) != 1:
                raise UsageError(f"{TEMPLATE} names experiment {experiment!r}, which is not there; mend the number")
            result = ExperimentResult.load(self._directory / found[0].name / "results")
            self._values[experiment] = {f.name: f.value for f in result.figures}
        values = [v for name, v in self._values[experiment].items() if fnmatch.fnmatchcase(name, pattern)]
        if not values:
            raise UsageError(
                f"experiment {experiment} has no figure {pattern!r}, which {TEMPLATE} names; mend the name"
            )
        return values

    def one(self, experiment: str, name: str) -> float:
        values = self.matching(experiment, name)
        if len(values) > 1:
            raise UsageError(f"experiment {experiment} has {len(values)} figures {name!r}; name one in {TEMPLATE}")
        return values[0]


def _percent(value: float, digits: int = 0) -> str:
    return f"{100 * value:,.{digits}f} %"


def _number(value: float, digits: int = 0) -> str:
    return f"{value:,.{digits}f}"
