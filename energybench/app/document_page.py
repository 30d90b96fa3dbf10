"""The page that puts the document on trial: item → code → experiment → verdict, from the results of a checkout."""

from __future__ import annotations

import tomllib
from pathlib import Path

from energybench.app.experiment_result import ExperimentResult, Verdict
from energybench.app.experiments import list_experiments
from energybench.errors import UsageError

_HEAD = """# The document on trial

Every item of the source document, where it works in the code, the experiment that tests it and the verdict with the
number that decided it. `make experiments` runs the experiments and writes this page.

A claim about energy is decided by measured joules alone. Counts, times, modelled and simulated joules leave it *not
decidable here*; the same script decides it on a machine with a meter.

| item | says | code | experiment | about | verdict | decided by |
|---|---|---|---|---|---|---|
"""


def document_page(directory: Path) -> str:
    """The page from ``document_items.toml`` and the results below `directory`. Raises UsageError, RecordError."""
    items = tomllib.loads((directory / "document_items.toml").read_text(encoding="utf-8"))
    verdicts: dict[str, list[tuple[str, Verdict]]] = {item: [] for item in items}
    for experiment in list_experiments(directory):
        if experiment.has_results:
            for verdict in ExperimentResult.load(directory / experiment.name / "results").verdicts:
                if verdict.item not in verdicts:
                    raise UsageError(
                        f"{experiment.name} has a verdict on {verdict.item!r}, which is not in document_items.toml; "
                        "add the item or mend the verdict"
                    )
                verdicts[verdict.item].append((experiment.name, verdict))
    lines: list[str] = []
    for item, row in items.items():
        code = ", ".join(f"`{path}`" for path in row["code"]) or "none yet"
        for name, verdict in verdicts[item]:
            link = f"[{name[:3]}](../experiments/{name}/README.md)"
            cells = (item, row["says"], code, link, verdict.about, f"*{verdict.answer}*", verdict.because)
            lines.append(f"| {' | '.join(cells)} |")
        if not verdicts[item]:
            lines.append(f"| {item} | {row['says']} | {code} | none yet | | | |")
    waiting = [i for i in items if any(v.answer == "not decidable here" for _, v in verdicts[i])]
    missing = [i for i in items if not verdicts[i]]
    tail = f"""
Waiting for a real meter: {", ".join(waiting) or "none"}.

Without an experiment: {", ".join(missing) or "none"}.
"""
    return _HEAD + "\n".join(lines) + "\n" + tail
