"""Operators that do the same to every element: names and the convention each follows."""

from __future__ import annotations

from typing import Any, Final

from energybench.counting.call import OpCall, TensorSpec
from energybench.counting.conventions import Ops, ops
from energybench.counting.cost import Cost
from energybench.counting.formulas.registry import register_formula

#: aten operator → convention, applied to every output element.
POINTWISE: Final[dict[str, str]] = {
    **dict.fromkeys("neg negative rsub bitwise_and bitwise_or bitwise_xor bitwise_not".split(), "add"),
    **dict.fromkeys("logical_and logical_or logical_xor logical_not conj_physical".split(), "add"),
    **dict.fromkeys("__and__ __or__ __xor__ __lshift__ __rshift__".split(), "add"),
    **dict.fromkeys("bitwise_left_shift bitwise_right_shift".split(), "add"),
    **dict.fromkeys("square deg2rad rad2deg ldexp".split(), "mul"),
    **dict.fromkeys("reciprocal remainder fmod floor_divide true_divide".split(), "div"),
    **dict.fromkeys("eq ne lt le gt ge maximum minimum fmax fmin where masked_fill abs sign sgn".split(), "compare"),
    **dict.fromkeys("floor ceil round trunc frac isnan isinf isfinite isposinf isneginf signbit".split(), "compare"),
    **dict.fromkeys("nan_to_num copysign heaviside isclose bucketize searchsorted".split(), "compare"),
    **dict.fromkeys("exp exp2 expm1 log log2 log10 log1p sqrt rsqrt sin cos tan asin acos atan".split(), "special"),
    **dict.fromkeys("sinh cosh asinh acosh atanh erf erfc erfinv atan2 hypot lgamma digamma".split(), "special"),
    **dict.fromkeys("logaddexp logaddexp2 xlogy sinc i0 polygamma special_expit angle".split(), "special"),
    **dict.fromkeys("special_erfcx special_ndtri special_log_ndtr special_i1 special_xlog1py".split(), "special"),
    **dict.fromkeys("rand_like randn_like randint_like normal uniform bernoulli exponential".split(), "special"),
    **dict.fromkeys("random log_normal geometric cauchy poisson rand randn randint randperm".split(), "special"),
    **dict.fromkeys("native_dropout feature_dropout alpha_dropout rrelu rrelu_with_noise".split(), "dropout"),
    "relu": "relu",
    "threshold": "relu",
    "prelu": "leaky_relu",
    "_prelu_kernel": "leaky_relu",
    "leaky_relu": "leaky_relu",
    "relu6": "clamp2",
    "hardtanh": "clamp2",
    "hardtanh_backward": "clamp2",
    "hardshrink": "compare",
    "softshrink": "clamp2",
    "elu": "elu",
    "celu": "elu",
    "selu": "elu",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "silu": "silu",
    "hardsigmoid": "hardsigmoid",
    "hardswish": "hardswish",
    "softplus": "softplus",
    "mish": "mish",
    "log_sigmoid_forward": "log_sigmoid",
    "threshold_backward": "threshold_backward",
    "leaky_relu_backward": "leaky_relu_backward",
    "rrelu_with_noise_backward": "leaky_relu_backward",
    "_prelu_kernel_backward": "leaky_relu_backward",
    "elu_backward": "elu_backward",
    "sigmoid_backward": "sigmoid_backward",
    "tanh_backward": "tanh_backward",
    "silu_backward": "silu_backward",
    "hardsigmoid_backward": "hardsigmoid_backward",
    "hardswish_backward": "hardswish_backward",
    "softplus_backward": "softplus_backward",
    "mish_backward": "mish_backward",
    "log_sigmoid_backward": "log_sigmoid_backward",
    "native_dropout_backward": "mul",
    "_masked_scale": "mul",
    "hardshrink_backward": "compare",
    "softshrink_backward": "compare",
}


def _named(call: OpCall) -> str:
    name = call.name.removeprefix("aten.")
    return name if name in POINTWISE else name.removesuffix("_")


def elementwise(call: OpCall, work: Ops) -> Cost:
    """`work` for every element of the first output, all tensors as traffic."""
    return Cost("pointwise", ops=work.times(call.out.numel) if call.results else Ops())


@register_formula(*(f"aten::{name}" for name in POINTWISE))
def by_table(call: OpCall) -> Cost:
    """The convention named in the table above."""
    return elementwise(call, ops(POINTWISE[_named(call)]))


def _is_one(value: Any) -> bool:
    return isinstance(value, int | float | bool) and value == 1


def _complex(call: OpCall) -> bool:
    return bool(call.results) and call.out.dtype.is_complex


@register_formula("aten::add", "aten::sub", "aten::subtract", "aten::rsub")
def add(call: OpCall) -> Cost:
    """a + alpha·b: an add, and a multiplication where alpha is not 1."""
    alpha = call.kwargs.get("alpha", call.args[2] if len(call.args) > 2 else 1)
    return elementwise(call, Ops(adds=1, muls=0 if _is_one(alpha) else 1))


@register_formula("aten::mul", "aten::multiply")
def mul(call: OpCall) -> Cost:
    """a·b; complex: four multiplications and two adds, of which the complex factor counts two and none."""
    return elementwise(call, Ops(muls=2, adds=1) if _complex(call) else Ops(muls=1))


@register_formula("aten::div", "aten::divide")
def div(call: OpCall) -> Cost:
    """a/b; rounded down or towards zero: a comparison more."""
    rounding = call.kwargs.get("rounding_mode")
    return elementwise(call, Ops(divs=1, compares=0 if rounding is None else 1))


@register_formula("aten::pow", "aten::float_power")
def power(call: OpCall) -> Cost:
    """Small whole exponents by multiplication, as every library does; ½, −½ and the rest are specials."""
    exponent = call.args[1] if len(call.args) > 1 else None
    by_value: dict[float, Ops] = {1: Ops(), 2: Ops(muls=1), 3: Ops(muls=2), -1: Ops(divs=1), -2: Ops(muls=1, divs=1)}
    known = by_value.get(exponent) if isinstance(exponent, int | float) else None
    return elementwise(call, known if known is not None else ops("special"))


@register_formula("aten::clamp", "aten::clip", "aten::clamp_min", "aten::clamp_max")
def clamp(call: OpCall) -> Cost:
    """A comparison per bound that is given."""
    given = [b for b in (call.arg(1, "min"), call.arg(2, "max")) if b is not None]
    return elementwise(call, Ops(compares=len(given)))


@register_formula("aten::gelu")
def gelu(call: OpCall) -> Cost:
    """GELU by erf, or by tanh."""
    return elementwise(call, ops("gelu_tanh" if call.kwargs.get("approximate") == "tanh" else "gelu"))


@register_formula("aten::gelu_backward")
def gelu_backward(call: OpCall) -> Cost:
    """Derivative of either form."""
    tanh = call.kwargs.get("approximate") == "tanh"
    return elementwise(call, ops("gelu_tanh_backward" if tanh else "gelu_backward"))


@register_formula("aten::addcmul", "aten::addcdiv")
def add_product(call: OpCall) -> Cost:
    """a + value·b·c, or a + value·b/c."""
    scaled = 0 if _is_one(call.kwargs.get("value", 1)) else 1
    if "addcdiv" in call.name:
        return elementwise(call, Ops(adds=1, divs=1, muls=scaled))
    return elementwise(call, Ops(adds=1, muls=1 + scaled))


@register_formula("aten::lerp")
def lerp(call: OpCall) -> Cost:
    """a + w·(b − a)."""
    return elementwise(call, Ops(adds=2, muls=1))


@register_formula("aten::glu")
def glu(call: OpCall) -> Cost:
    """a·σ(b) over halves."""
    return elementwise(call, ops("silu"))


@register_formula("aten::glu_backward")
def glu_backward(call: OpCall) -> Cost:
    """da = g·σ(b); db = g·a·σ(1 − σ); per input element half of both."""
    sigmoid = ops("sigmoid").plus(Ops(muls=4, adds=1))
    return Cost("pointwise", ops=sigmoid.times(call.out.numel // 2))


@register_formula("aten::complex", "aten::polar", "aten::view_as_complex_copy", "aten::view_as_real_copy")
def complex_parts(call: OpCall) -> Cost:
    """Real and imaginary part side by side; polar form needs a sine, a cosine and two multiplications."""
    work = Ops(specials=2, muls=2) if "polar" in call.name else Ops()
    real = call.inputs[0]
    return Cost("pointwise", ops=work.times(real.numel), dtype=real.dtype)


@register_formula("aten::arange", "aten::linspace", "aten::logspace", "aten::range")
def sequence(call: OpCall) -> Cost:
    """start + i·step: written, nothing read."""
    return Cost("pointwise", ops=Ops(adds=call.out.numel, muls=call.out.numel))


def tensors_of(value: Any) -> tuple[TensorSpec, ...]:
    """The tensors of a list argument."""
    return tuple(v for v in value if isinstance(v, TensorSpec)) if isinstance(value, list | tuple) else ()
