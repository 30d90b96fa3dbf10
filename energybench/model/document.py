"""The document's equations [D10, D12, D18, D34], as printed and as they can be fitted."""

from __future__ import annotations

from typing import Final

import numpy as np

from energybench.model.equation import Equation
from energybench.model.features import COMPONENT_COLUMNS, SHARE_COLUMNS, FeatureTable, FloatArray
from energybench.model.term import Term


def _macs(table: FeatureTable) -> FloatArray:
    return table.column("macs")


def _accesses(table: FeatureTable) -> FloatArray:
    return table.column("accesses")


def _per_parameter(column: str, table: FeatureTable) -> FloatArray:
    return table.column(column) / table.column("parameters")


def component_share(component: str, table: FeatureTable) -> FloatArray:
    """η, θ or λ of [D18]: the component's share of all counted FLOPs, shape (n,); 0 where nothing was counted."""
    given = table.column(SHARE_COLUMNS[component])
    flops = table.column("flops")
    own = np.divide(table.column(COMPONENT_COLUMNS[component]), flops, out=np.zeros_like(flops), where=flops > 0)
    return np.where(np.isnan(given), own, given)


def _component(component: str, table: FeatureTable) -> FloatArray:
    return component_share(component, table) * table.column(COMPONENT_COLUMNS[component])


_ALPHA: Final = Term(
    "alpha", "J/MAC", "compute: convolutions, matrix products", r"\alpha\,N_{MAC}", "[D10]", "compute", _macs, ("macs",)
)
_BETA: Final = Term(
    "beta",
    "J/access",
    "memory: elements loaded and stored",
    r"\beta\,N_{acc}",
    "[D10]",
    "memory",
    _accesses,
    ("accesses",),
)
_GAMMA: Final = Term(
    "gamma",
    "J·parameter/FLOP",
    "floating-point work outside MACs, over the scale M of the model",
    r"\frac{\gamma}{M}\,N_{other}",
    "[D10]",
    "other_flops",
    lambda t: _per_parameter("other_flops", t),
    ("other_flops", "parameters"),
)

CNN: Final = Equation(
    "cnn",
    (_ALPHA, _BETA, _GAMMA),
    r"E = \alpha N_{MAC} + \beta N_{acc} + \frac{\gamma}{M} N_{other}",
    "[D10], additive reading",
    "Energy of a convolutional network; the floating-point part counts FLOPs outside MACs.",
    divides_by_parameters=True,
)

CNN_LITERAL: Final = Equation(
    "cnn-literal",
    (
        Term(
            "alpha_beta",
            "J/(MAC·access)",
            "product of compute and memory, as printed; only the product αβ can be identified",
            r"\alpha\beta\,N_{MAC} N_{acc}",
            "[D10]",
            "compute",
            lambda t: t.column("macs") * t.column("accesses"),
            ("macs", "accesses"),
            additive=False,
        ),
        _GAMMA,
    ),
    r"E = (\alpha\beta) N_{MAC} N_{acc} + \frac{\gamma}{M} N_{other}",
    "[D10], as printed",
    "The document's formula without the sign that it lacks between its first two terms.",
    divides_by_parameters=True,
)

CNN_TOTAL_FLOPS: Final = Equation(
    "cnn-total-flops",
    (
        _ALPHA,
        _BETA,
        Term(
            "gamma",
            "J·parameter/FLOP",
            "all floating-point work, MACs included, over the scale M of the model",
            r"\frac{\gamma}{M}\,N_{FLOP}",
            "[D34]",
            "other_flops",
            lambda t: _per_parameter("flops", t),
            ("flops", "parameters"),
        ),
    ),
    r"E = \alpha N_{MAC} + \beta N_{acc} + \frac{\gamma}{M} N_{FLOP}",
    "[D34]",
    "[D10] with the floating-point part read as all FLOPs, kept to show the collinearity with MACs.",
    divides_by_parameters=True,
    collinear_on_purpose=True,
)

RNN: Final = Equation(
    "rnn",
    (
        Term("alpha", "J/MAC", "compute", r"\alpha\,N_{MAC}", "[D12]", "compute", _macs, ("macs",)),
        Term(
            "beta",
            "J·parameter/access",
            "memory accesses over the scale M of the model",
            r"\frac{\beta}{M}\,N_{acc}",
            "[D12]",
            "memory",
            lambda t: _per_parameter("accesses", t),
            ("accesses", "parameters"),
        ),
    ),
    r"E = \alpha N_{MAC} + \frac{\beta}{M} N_{acc}",
    "[D12]",
    "Energy of a recurrent network.",
    divides_by_parameters=True,
)

_TRANSFORMERS: Final = "Transformers whose length, width and number of heads vary apart, so that the three shares do"

TRANSFORMER: Final = Equation(
    "transformer",
    (
        Term(
            "alpha_sa",
            "J/FLOP",
            "self-attention: scores, softmax, weighting; η is its counted share",
            r"\alpha_{sa}\,\eta\,W_{sa}",
            "[D18]",
            "compute",
            lambda t: _component("self_attention", t),
            ("flops_self_attention",),
            workloads=_TRANSFORMERS,
        ),
        Term(
            "alpha_ma",
            "J/FLOP",
            "multi-head attention: the linear projections; θ is its counted share",
            r"\alpha_{ma}\,\theta\,W_{ma}",
            "[D18]",
            "compute",
            lambda t: _component("multi_head", t),
            ("flops_multi_head",),
            workloads=_TRANSFORMERS,
        ),
        Term(
            "alpha_ff",
            "J/FLOP",
            "feed-forward; λ is its counted share",
            r"\alpha_{ff}\,\lambda\,W_{ff}",
            "[D18]",
            "compute",
            lambda t: _component("feed_forward", t),
            ("flops_feed_forward",),
            workloads=_TRANSFORMERS,
        ),
    ),
    r"E = \alpha_{sa}\eta W_{sa} + \alpha_{ma}\theta W_{ma} + \alpha_{ff}\lambda W_{ff}",
    "[D18]",
    "Energy of a Transformer; η, θ, λ come from the counts, since the products alone could not be told apart.",
)
