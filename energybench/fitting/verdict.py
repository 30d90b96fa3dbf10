"""What can be said about one coefficient: identified, weak, not identified by this data, or contradicted by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from energybench.model.term import Role, Term

Verdict: TypeAlias = Literal["identified", "weak", "not identified", "model misfit"]

#: A coefficient is identified when its interval reaches at most this far on either side, relative to its value.
IDENTIFIED_HALF_WIDTH: Final = 0.10
#: Beyond this variance inflation the usual rule calls a column collinear (Belsley, Kuh and Welsch 1980).
VIF_LIMIT: Final = 10.0

#: The workloads that carry a term, for the advice.
WORKLOADS: Final[dict[Role, str]] = {
    "compute": "matrix products with inner size K from 16 to 16384, so that MACs vary against bytes and time",
    "memory": "copies and elementwise kernels beyond the last-level cache, so that bytes vary against MACs and time",
    "other_flops": "elementwise kernels with many exp or tanh per element (an intensity sweep)",
    "launch": "many very small kernels, so that launches vary against time",
    "static": "idle windows beside the work and kernels that leave most of the device unused",
}


@dataclass(frozen=True)
class Finding:
    """A verdict with its reason and, where there is one, the remedy."""

    verdict: Verdict
    reason: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.verdict}: {self.reason}" + (f"; {self.remedy}" if self.remedy else "")


def judge(
    term: Term,
    *,
    value: float,
    half_width: float | None,
    at_bound: bool,
    empty: bool,
    alone: bool,
    significantly_negative: bool,
    vif: float,
    partners: tuple[str, ...],
    tied: bool = False,
) -> Finding:
    """The verdict on one coefficient.

    Args:
        term: what it multiplies.
        value: the estimate.
        half_width: of its two-sided interval; None where there is no standard error.
        at_bound: clamped at zero.
        empty: no row has any of what it multiplies.
        alone: one workload alone carries it.
        significantly_negative: without the bound it would lie below zero by more than its interval.
        vif: variance inflation factor.
        partners: coefficients that it is collinear with.
        tied: an order holds it at the coefficient below it.
    """
    remedy = f"run {term.workloads or WORKLOADS[term.role]}"
    collinear = f"collinear with {', '.join(partners)} (VIF {vif:.3g})" if partners else ""
    if empty:
        return Finding("not identified", "no row has any of it", remedy)
    if significantly_negative:
        return Finding(
            "model misfit", "the data ask for a negative value, which physics forbids: another term is missing", remedy
        )
    if alone:
        return Finding("not identified", "only one workload carries it", remedy)
    if at_bound:
        reason = "clamped at 0, which is a limit and not a finding that it is free"
        return Finding("not identified", f"{reason}, {collinear}" if collinear else reason, remedy)
    if tied:
        return Finding(
            "not identified",
            "held at the narrower type's coefficient by the order, though the data ask for less",
            "fit without the order, or check that this hardware has units for each type",
        )
    if half_width is None:
        reason = collinear or "no spread is left over to judge it by"
        return Finding("not identified", reason, remedy)
    width = half_width / abs(value) if value else float("inf")
    if width <= IDENTIFIED_HALF_WIDTH:
        return Finding("identified", f"±{width:.1%}" + (f", though {collinear}" if collinear else ""))
    if width < 1.0:
        return Finding("weak", f"±{width:.0%}" + (f", {collinear}" if collinear else ""), remedy)
    return Finding("not identified", "its interval holds 0" + (f", {collinear}" if collinear else ""), remedy)
