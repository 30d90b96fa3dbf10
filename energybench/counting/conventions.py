"""What an operation that is not a MAC costs: one table, per element, printed in ``docs/counting.md``.

Conventions are needed because "a sigmoid" is not an instruction. Each row is derived from the expression in its
`formula`; a constant factor that a kernel folds into another constant is not counted. Specials are exp, log, sqrt,
rsqrt, reciprocal powers, sin, cos, tanh, erf and random numbers. The native kernels use the same rows.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Ops(NamedTuple):
    """Operations outside MACs; per element unless said otherwise."""

    adds: int = 0
    muls: int = 0
    divs: int = 0
    compares: int = 0
    specials: int = 0

    def times(self, n: int) -> Ops:
        """The operations of `n` elements."""
        return Ops(*(one * n for one in self))

    def plus(self, other: Ops) -> Ops:
        """Both together."""
        return Ops(*(a + b for a, b in zip(self, other, strict=True)))


#: No operation at all.
NO_OPS: Final = Ops()


class Convention(NamedTuple):
    """One row of the table: what is counted per element of `per`, and the expression it was read from."""

    ops: Ops
    per: str
    formula: str


def _row(per: str, formula: str, **ops: int) -> Convention:
    return Convention(Ops(**ops), per, formula)


CONVENTIONS: Final[dict[str, Convention]] = {
    # elementary
    "add": _row("output", "a + b, a − b, −a", adds=1),
    "mul": _row("output", "a·b", muls=1),
    "div": _row("output", "a / b, remainder", divs=1),
    "compare": _row("output", "a < b, max(a, b), |a|, sign, where, mask, round", compares=1),
    "special": _row("output", "exp, log, sqrt, rsqrt, sin, cos, tanh, erf, a^b, one random number", specials=1),
    "move": _row("output", "copy, cast, fill, concatenate, gather: traffic only"),
    # activations
    "relu": _row("output", "max(x, 0)", compares=1),
    "clamp2": _row("output", "min(max(x, lo), hi): relu6, hardtanh", compares=2),
    "leaky_relu": _row("output", "x > 0 ? x : s·x", compares=1, muls=1),
    "elu": _row("output", "x > 0 ? x : a·(e^x − 1)", compares=1, specials=1, adds=1, muls=1),
    "sigmoid": _row("output", "1 / (1 + e^−x)", specials=1, adds=1, divs=1),
    "tanh": _row("output", "tanh x", specials=1),
    "silu": _row("output", "x·sigmoid(x)", specials=1, adds=1, divs=1, muls=1),
    "gelu": _row("output", "½x·(1 + erf(x/√2))", muls=3, adds=1, specials=1),
    "gelu_tanh": _row("output", "½x·(1 + tanh(k(x + c·x³)))", muls=6, adds=2, specials=1),
    "hardsigmoid": _row("output", "clamp(x + 3, 0, 6)/6", adds=1, compares=2, muls=1),
    "hardswish": _row("output", "x·clamp(x + 3, 0, 6)/6", adds=1, compares=2, muls=2),
    "softplus": _row("output", "log(1 + e^x), x above a threshold", compares=1, specials=2, adds=1),
    "mish": _row("output", "x·tanh(softplus(x))", compares=1, specials=3, adds=1, muls=1),
    "log_sigmoid": _row("output", "min(x, 0) − log(1 + e^−|x|)", compares=1, specials=2, adds=2),
    "dropout": _row("output", "(random < keep) · x/keep", specials=1, compares=1, muls=1),
    "softmax": _row("input", "e^(x − max)/Σ e^(x − max)", compares=1, adds=2, specials=1, divs=1),
    "log_softmax": _row("input", "x − max − log Σ e^(x − max)", compares=1, adds=3, specials=1),
    "log_softmax_row": _row("row", "log of the row's sum", specials=1),
    # recurrent cells, per hidden element and step, outside the MACs; biases initialise the accumulators
    "gru": _row(
        "step·hidden", "r, z = σ(·); n = tanh(x̂ + r·ĥ); h' = n + z·(h − n)", specials=3, adds=7, muls=2, divs=2
    ),
    "lstm": _row(
        "step·cell", "i, f, o = σ(·); g = tanh(·); c' = f·c + i·g; h' = o·tanh(c')", specials=5, adds=8, muls=3, divs=3
    ),
    "rnn_tanh": _row("step·hidden", "h' = tanh(x̂ + ĥ)", specials=1, adds=1),
    "rnn_relu": _row("step·hidden", "h' = max(x̂ + ĥ, 0)", compares=1, adds=1),
    "gru_backward": _row(
        "step·hidden",
        "dz = d(h−n); dn = d(1−z)(1−n²); dr = dn·ĥ·r(1−r); dz·z(1−z); dĥ = dn·r; dh = dz-path + dy",
        muls=11,
        adds=5,
    ),
    "lstm_backward": _row(
        "step·cell",
        "do = d·tc·o(1−o); dc += d·o(1−tc²); di = dc·g·i(1−i); df = dc·c·f(1−f); dg = dc·i(1−g²); dc·f; d += dy",
        muls=16,
        adds=7,
        specials=1,
    ),
    "rnn_tanh_backward": _row("step·hidden", "d·(1 − h²); d += dy", muls=2, adds=2),
    "rnn_relu_backward": _row("step·hidden", "h > 0 ? d : 0; d += dy", compares=1, adds=1),
    # attention core, per visible (query, key) pair, outside the two MACs per head element
    "attention": _row("visible pair", "softmax(s·qkᵀ)", muls=1, compares=1, adds=2, specials=1, divs=1),
    "attention_mask_add": _row("visible pair", "+ mask", adds=1),
    "attention_mask_bool": _row("visible pair", "mask ? score : −∞", compares=1),
    "attention_backward": _row("visible pair", "p from e^(s·qkᵀ − lse); ds = p·(dp − δ)·s", muls=3, adds=2, specials=1),
    "attention_backward_math": _row("visible pair", "p kept; ds = p·(dp − δ)·s", muls=2, adds=1),
    "attention_delta": _row("query·value element", "δ = Σ dO·O", muls=1, adds=1),
    # quantised numbers
    "quantize_range": _row("input", "min x, max x, where the scale is found at run time", compares=2),
    "quantize": _row("output", "clamp(round(x/s) + z, lo, hi)", muls=1, adds=1, compares=3),
    "dequantize": _row("output", "(q − z)·s", adds=1, muls=1),
    # norms
    "layer_norm": _row("input", "Σx; Σ(x−μ)²; (x−μ)·rstd", adds=3, muls=2),
    "layer_norm_row": _row("row", "μ = Σ/n; var = Σ/n; rsqrt(var + ε)", divs=2, adds=1, specials=1),
    "rms_norm": _row("input", "Σx²; x·rstd", adds=1, muls=2),
    "rms_norm_row": _row("row", "mean = Σ/n; rsqrt(mean + ε)", divs=1, adds=1, specials=1),
    "norm_weight": _row("input", "·γ", muls=1),
    "norm_bias": _row("input", "+ β", adds=1),
    "batch_norm_running": _row("channel", "running mean and variance: two blends", muls=4, adds=2),
    "batch_norm_eval": _row("input", "x·scale + shift", muls=1, adds=1),
    "batch_norm_eval_channel": _row(
        "channel", "scale = γ·rsqrt(var + ε); shift = β − μ·scale", adds=2, muls=2, specials=1
    ),
    "layer_norm_backward": _row("input", "x̂ = (x−μ)·rstd; Σg; Σg·x̂; dx = rstd·(g − Σg/n − x̂·Σgx̂/n)", adds=5, muls=4),
    "layer_norm_backward_row": _row("row", "two means", divs=2),
    "norm_weight_backward": _row("input", "dγ = Σ g·x̂", muls=1, adds=1),
    "norm_bias_backward": _row("input", "dβ = Σ g", adds=1),
    "batch_norm_eval_backward": _row("input", "dx = g·scale", muls=1),
    "rms_norm_backward": _row("input", "x̂ = x·rstd; Σg·x̂; dx = rstd·(g − x̂·Σgx̂/n)", muls=4, adds=2),
    # pools, per tap inside the image
    "max_pool": _row("tap", "running max", compares=1),
    "avg_pool": _row("tap", "running sum", adds=1),
    "avg_pool_output": _row("output", "sum / taps", divs=1),
    "max_pool_backward": _row("output gradient", "scatter-add to the winner", adds=1),
    "avg_pool_backward": _row("tap", "add g/taps", adds=1),
    # reductions
    "sum": _row("input", "running sum", adds=1),
    "mean_output": _row("output", "Σ/n", divs=1),
    "max": _row("input", "running max, min, any, all, argmax", compares=1),
    "prod": _row("input", "running product", muls=1),
    "var": _row("input", "Σx; Σ(x−μ)²", adds=3, muls=1),
    "norm2": _row("input", "Σx²", adds=1, muls=1),
    "logsumexp": _row("input", "max; Σ e^(x − max)", compares=1, adds=2, specials=1),
    "sort": _row("input·⌈log₂ row⌉", "comparison sort", compares=1),
    "fft": _row("complex point·⌈log₂ n⌉", "half a butterfly (a + w·b, a − w·b); real numbers: half", adds=3, muls=2),
    # losses
    "nll": _row("row", "−Σ weight·logp[target]", adds=1),
    "mse": _row("input", "Σ(x − y)²", adds=2, muls=1),
    "l1": _row("input", "Σ|x − y|", adds=2, compares=1),
    "smooth_l1": _row("input", "Σ(|d| < β ? ½d²/β : |d| − ½β)", adds=3, compares=2, muls=2),
    "bce": _row("input", "−Σ(y·log x + (1−y)·log(1−x))", adds=4, muls=2, specials=2),
    "bce_logits": _row("input", "Σ((1−y)·x − logσ(x))", adds=4, muls=1, compares=1, specials=2),
    "ctc": _row("step·label state", "α = y + log(e^α₀ + e^α₁ + e^α₂), maximum first", adds=6, compares=2, specials=4),
    "ctc_backward": _row("step·label state", "β likewise, and log(e^Σ + e^(α + β))", adds=10, compares=3, specials=6),
    "ctc_gradient": _row("input", "e^y − e^(Σ + loss − y)", adds=3, muls=1, specials=2),
    # derivatives of activations, per element
    "threshold_backward": _row("output", "x > 0 ? g : 0", compares=1),
    "leaky_relu_backward": _row("output", "x > 0 ? g : s·g", compares=1, muls=1),
    "elu_backward": _row("output", "x > 0 ? g : g·a·e^x", compares=1, muls=2, specials=1),
    "sigmoid_backward": _row("output", "g·y·(1 − y)", muls=2, adds=1),
    "tanh_backward": _row("output", "g·(1 − y²)", muls=2, adds=1),
    "silu_backward": _row("output", "g·σ·(1 + x(1 − σ))", specials=1, adds=3, divs=1, muls=3),
    "gelu_backward": _row("output", "g·(Φ(x) + x·φ(x))", muls=7, adds=2, specials=2),
    "gelu_tanh_backward": _row("output", "g·(½(1+t) + ½x(1−t²)·k(1+3c·x²))", muls=12, adds=5, specials=1),
    "hardsigmoid_backward": _row("output", "|x| < 3 ? g/6 : 0", compares=2, muls=1),
    "hardswish_backward": _row("output", "|x| < 3 ? g·(x/3 + ½) : g or 0", compares=2, muls=2, adds=1),
    "softplus_backward": _row("output", "g·σ(x)", compares=1, specials=1, adds=1, divs=1, muls=1),
    "mish_backward": _row("output", "g·(t + x·σ·(1 − t²))", specials=3, adds=4, divs=1, muls=4),
    "log_sigmoid_backward": _row("output", "g·(1 − σ(x))", compares=1, specials=1, adds=1, divs=1, muls=1),
    "softmax_backward": _row("output", "y·(g − Σ g·y)", muls=2, adds=2),
    "log_softmax_backward": _row("output", "g − e^y·Σg", adds=2, muls=1, specials=1),
    # optimisers, per parameter element
    "sgd": _row("parameter", "w −= lr·g", muls=1, adds=1),
    "sgd_momentum": _row("parameter", "v = μ·v + g; w −= lr·v", muls=2, adds=2),
    "weight_decay": _row("parameter", "g += λ·w, or w −= lr·λ·w", muls=1, adds=1),
    "adam": _row(
        "parameter",
        "m = m + (1−β₁)(g − m); v = β₂·v + (1−β₂)g²; w −= step·m/(√v/√c₂ + ε)",
        adds=5,
        muls=5,
        divs=2,
        specials=1,
    ),
}


def ops(name: str) -> Ops:
    """The operations of one convention. Raises KeyError on a name that is not in the table."""
    return CONVENTIONS[name].ops


def as_markdown() -> str:
    """The table as it stands in ``docs/counting.md``."""
    lines = [
        "| name | per | adds | muls | divs | compares | specials | from |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in CONVENTIONS.items():
        numbers = " | ".join(str(n) if n else "" for n in row.ops)
        formula = row.formula.replace("|", "\\|")
        lines.append(f"| `{name}` | {row.per} | {numbers} | {formula} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(as_markdown())  # noqa: T201
