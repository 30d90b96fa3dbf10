"""What a fit is worth on rows it has not seen, always beside the null models on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from energybench.fitting.least_squares import RelativeLeastSquares
from energybench.fitting.null_rows import NullRows
from energybench.model.features import BoolArray, FloatArray
from energybench.model.null_models import NULL_MODELS
from energybench.model.null_table import NullTable
from energybench.model.observations import LabelArray, Observations
from energybench.model.scores import Score, score

#: Leave-one-out refits once per group up to this many groups; beyond, groups are left out several at a time.
MAX_FOLDS: Final = 40
#: Folds where there are many rows, each refit being slow.
MAX_FOLDS_MANY_ROWS: Final = 10
MANY_ROWS: Final = 20_000
RANDOM_FOLDS: Final = 5

#: Operator rows that belong to a family's networks: leaving the family out drops them too.
FAMILY_KERNEL_CLASSES: Final[Mapping[str, frozenset[str]]] = {
    "cnn": frozenset({"conv", "depthwise", "pool"}),
    "rnn": frozenset({"rnn"}),
    "transformer": frozenset({"attention"}),
}


@dataclass(frozen=True)
class SplitScore:
    """One way of leaving rows out.

    `unit`            what a group is: ``network``, ``workload``, ``family`` or ``row``
    `median_ape`      median over groups of each group's median absolute percentage error, a fraction
    `by_group`        that median for each group
    `pooled`          the same errors with every row alike
    `null_models`     the two, for each null model, on the same rows
    `folds`           refits made; fewer than groups where groups were left out several at a time
    `rms_rel`         root mean square of (recorded − predicted) / predicted, every group alike: what an interval needs
    `not_predictable` rows with work that no training row had, such as an element type
    `rows`            which rows of the sample were scored, (m,); `error_rel` their signed errors, (m,)
    """

    name: str
    unit: str
    median_ape: float | None
    by_group: Mapping[str, float]
    pooled: Score
    null_models: Mapping[str, tuple[float | None, Score]]
    folds: int
    not_predictable: int
    rms_rel: float | None
    rows: NDArray[np.intp] = field(repr=False)
    error_rel: FloatArray = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median_ape": self.median_ape,
            "by_group": dict(self.by_group),
            "pooled": self.pooled.to_dict(),
            "null_models": {
                name: {"median_ape": median, "pooled": pooled.to_dict()}
                for name, (median, pooled) in self.null_models.items()
            },
            "folds": self.folds,
            "not_predictable": self.not_predictable,
            "rms_rel": self.rms_rel,
        }


@dataclass(frozen=True)
class Validation:
    """All splits of one fit. `headline` is None for kinds whose accuracy proves nothing.

    `leave_one_family_out`  one plain score per family, with its null models
    `heldout`               rows that the records keep apart from fitting; None where there are none
    """

    headline: Mapping[str, Any] | None
    leave_one_out: SplitScore | None
    leave_one_family_out: Mapping[str, SplitScore]
    random_split: SplitScore | None
    heldout: SplitScore | None
    in_sample: Score
    note: str

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "headline": None if self.headline is None else dict(self.headline),
            "leave_one_out": None if self.leave_one_out is None else self.leave_one_out.to_dict(),
            "leave_one_family_out": {k: v.to_dict() for k, v in self.leave_one_family_out.items()},
            "random_split": None if self.random_split is None else self.random_split.to_dict(),
            "heldout": None if self.heldout is None else self.heldout.to_dict(),
            "in_sample": self.in_sample.to_dict(),
            "note": self.note,
        }


@dataclass(frozen=True)
class Sample:
    """Rows that the equation describes: observations and their design matrix (n, k)."""

    rows: Observations
    X: FloatArray

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def null_table(self) -> NullTable:
        """The rows as the null models see them."""
        return NullTable.of(self.rows.table, self.rows.target)


@dataclass(frozen=True)
class _Errors:
    """Signed relative errors of the equation (n,) and of the null models (n, null models), NaN where not predicted."""

    equation: FloatArray
    nulls: FloatArray

    @classmethod
    def none_of(cls, n: int) -> _Errors:
        return cls(np.full(n, np.nan), np.full((n, len(NULL_MODELS)), np.nan))


@dataclass(frozen=True)
class _Refits:
    """What every split refits: the equation to `sample`, with the settings of `template`, and null models to `nulls`.

    Rows to leave out are told as a mask over `nulls.rows`, (n,), of which the sample's are some.
    """

    sample: Sample
    template: RelativeLeastSquares
    nulls: NullRows

    def can_train(self, left_out: BoolArray) -> bool:
        """Whether rows with work, and anything to price, are left."""
        train = ~left_out[self.nulls.fitted]
        return bool((train & ~self.sample.rows.idle).any()) and bool(self.sample.X[train].any())

    def errors(self, left_out: BoolArray, test: Sample, tested: BoolArray) -> _Errors:
        """Errors of the tested rows (m,) of `test`, all predictions made without the rows left out."""
        train = ~left_out[self.nulls.fitted]
        X = self.sample.X[train]
        recorded = test.rows.energy_j[tested]
        estimator = self.template.clone().fit(X, self.sample.rows.energy_j[train])
        predicted = estimator.predict(test.X[tested])
        unseen = ~self.template.carried(X)
        predicted[(test.X[tested][:, unseen] != 0).any(axis=1)] = np.nan
        nulls = test.null_table.take(tested).errors_rel(self.nulls.fit(left_out), recorded)
        return _Errors(predicted / recorded - 1, nulls)


def _summarise(
    name: str, unit: str, rows: Observations, tested: BoolArray, groups: LabelArray, errors: _Errors, folds: int
) -> SplitScore:
    """Scores of the tested rows; `errors` and `groups` have one entry for each of them."""
    index = np.flatnonzero(tested)
    label = rows.labels_at(index)
    members = _members(groups)
    by_group = _medians(errors.equation, members)
    nulls = {}
    for j, null_name in enumerate(NULL_MODELS):
        medians = _medians(errors.nulls[:, j], members)
        nulls[null_name] = (
            float(np.median(list(medians.values()))) if medians else None,
            score(errors.nulls[:, j], label),
        )
    return SplitScore(
        name,
        unit,
        float(np.median(list(by_group.values()))) if by_group else None,
        by_group,
        score(errors.equation, label),
        nulls,
        folds,
        int(np.isnan(errors.equation).sum()),
        _root_mean_square(errors.equation, members),
        index,
        errors.equation,
    )


def _members(groups: LabelArray) -> dict[str, NDArray[np.intp]]:
    """Group -> indices of its rows."""
    names, codes = np.unique(groups.astype(str), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))
    return {str(name): part for name, part in zip(names, np.split(order, ends[:-1]), strict=True)}


def _root_mean_square(errors: FloatArray, members: Mapping[str, NDArray[np.intp]]) -> float | None:
    """Of recorded / predicted − 1 = −e / (1 + e) for errors e = predicted / recorded − 1, a mean per group first."""
    squares = []
    for rows in members.values():
        values = errors[rows]
        values = values[np.isfinite(values) & (values > -1)]
        if values.size:
            squares.append(float(np.mean((values / (1 + values)) ** 2)))
    return float(np.sqrt(np.mean(squares))) if len(squares) >= 2 else None


def _medians(errors: FloatArray, members: Mapping[str, NDArray[np.intp]]) -> dict[str, float]:
    result = {}
    for name, rows in members.items():
        values = np.abs(errors[rows])
        values = values[np.isfinite(values)]
        if values.size:
            result[name] = float(np.median(values))
    return result


def _leave_out(
    name: str, unit: str, refits: _Refits, groups: LabelArray, folds: Sequence[set[str]]
) -> SplitScore | None:
    """Refit without each fold's groups (n,) and score the sample's rows in them; rows of group None always train."""
    fold_of = {group: i for i, fold in enumerate(folds) for group in fold}
    part = np.array([-1 if g is None else fold_of.get(g, -1) for g in groups], dtype=np.intp)
    work = np.array([g is not None for g in groups], dtype=np.bool_) & ~refits.nulls.rows.idle
    sample, scored = refits.sample, work[refits.nulls.fitted]
    errors = _Errors.none_of(len(sample))
    done = 0
    for i in range(len(folds)):
        left_out = work & (part == i)
        inside = left_out[refits.nulls.fitted]
        if not inside.any() or not refits.can_train(left_out):
            continue
        found = refits.errors(left_out, sample, inside)
        errors.equation[inside], errors.nulls[inside] = found.equation, found.nulls
        done += 1
    if not done:
        return None
    kept = _Errors(errors.equation[scored], errors.nulls[scored])
    return _summarise(name, unit, sample.rows, scored, groups[refits.nulls.fitted][scored], kept, done)


def _folds(names: Sequence[str], most: int, rng: np.random.Generator) -> list[set[str]]:
    if len(names) <= most:
        return [{name} for name in names]
    shuffled = [names[i] for i in rng.permutation(len(names))]
    return [set(shuffled[i::most]) for i in range(most)]


def validate(
    sample: Sample,
    template: RelativeLeastSquares,
    fitted_j: FloatArray,
    *,
    nulls: NullRows,
    heldout: Sample | None,
    seed: int,
    note: str,
) -> Validation:
    """All splits of the fitted rows, and the held-out rows beside them.

    Args:
        sample: the rows of the fit.
        template: the estimator, whose settings every refit has.
        fitted_j: fitted energies (n,), for the in-sample score.
        nulls: the rows of the null models, those of the fit among them.
        heldout: rows that are never fitted.
        seed: of the random split and of grouping many groups into folds.
        note: not empty where accuracy proves nothing (modelled energy): then there is no headline.
    """
    rng = np.random.default_rng(seed)
    refits = _Refits(sample, template, nulls)
    work = ~sample.rows.idle
    networks = sample.rows.labels["network"]
    named = sorted({str(g) for g in networks[work] if g is not None})
    unit: Literal["network", "workload"] = "network" if len(named) >= 2 else "workload"
    names = named if unit == "network" else sorted({str(g) for g in sample.rows.labels["workload"][work]})
    most = MAX_FOLDS if len(sample) <= MANY_ROWS else MAX_FOLDS_MANY_ROWS
    leave_one: SplitScore | None = None
    if len(names) >= 2:
        groups = nulls.rows.labels[unit]
        leave_one = _leave_out(f"leave-one-{unit}-out", unit, refits, groups, _folds(names, most, rng))
    families = {f: s for f in FAMILY_KERNEL_CLASSES if (s := _leave_family_out(f, refits)) is not None}
    random_split: SplitScore | None = None
    if int(work.sum()) >= 2 * RANDOM_FOLDS:
        # a row that the equation does not have is in no fold: it always trains the null models
        part = np.full(len(nulls.rows), None, dtype=object)
        part[nulls.fitted] = [f"fold {i}" for i in rng.permutation(len(sample)) % RANDOM_FOLDS]
        folds = [{name} for name in sorted(set(part[nulls.fitted]))]
        random_split = _leave_out("random split", "row", refits, part, folds)
    held: SplitScore | None = None
    if heldout is not None and len(heldout):
        held = _score_heldout(refits, heldout)
    in_sample = score((fitted_j / sample.rows.energy_j - 1)[work], sample.rows.labels_at(np.flatnonzero(work)))
    return Validation(_headline(leave_one, note), leave_one, families, random_split, held, in_sample, note)


def left_out_classes_rms(sample: Sample, template: RelativeLeastSquares) -> float | None:
    """Root mean square of recorded / predicted − 1 with whole kernel classes left out, every class alike."""
    classes = sample.rows.labels["kernel_class"]
    names = sorted({str(c) for c in classes[~sample.rows.idle]})
    alone = _Refits(sample, template, NullRows(sample.rows, np.ones(len(sample), dtype=np.bool_)))
    split = _leave_out("leave-one-class-out", "kernel class", alone, classes, [{n} for n in names])
    return None if split is None else split.rms_rel


def _leave_family_out(family: str, refits: _Refits) -> SplitScore | None:
    rows = refits.nulls.rows
    of_family = (rows.labels["family"] == family) & ~rows.idle
    left_out = of_family | np.isin(rows.labels["kernel_class"], list(FAMILY_KERNEL_CLASSES[family]))
    tested = of_family[refits.nulls.fitted]
    if not tested.any() or not refits.can_train(left_out):
        return None
    errors = refits.errors(left_out, refits.sample, tested)
    groups = refits.sample.rows.labels["family"][tested]
    return _summarise(f"leave-{family}-out", "family", refits.sample.rows, tested, groups, errors, 1)


def _score_heldout(refits: _Refits, heldout: Sample) -> SplitScore:
    everything = np.ones(len(heldout), dtype=np.bool_)
    errors = refits.errors(np.zeros(len(refits.nulls.rows), dtype=np.bool_), heldout, everything)
    networks, workloads = heldout.rows.labels["network"], heldout.rows.labels["workload"]
    groups = np.array([w if n is None else n for n, w in zip(networks, workloads, strict=True)], dtype=object)
    unit = "network" if any(n is not None for n in networks) else "workload"
    return _summarise("held out", unit, heldout.rows, everything, groups, errors, 1)


def _headline(split: SplitScore | None, note: str) -> dict[str, Any] | None:
    if split is None or note:
        return None
    return {
        "name": split.name,
        "unit": split.unit,
        "median_ape": split.median_ape,
        "null_models": {name: median for name, (median, _) in split.null_models.items()},
    }
