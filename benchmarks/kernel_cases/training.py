"""What training adds: batch normalisation, cross-entropy, dropout, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's own documentation uses

from benchmarks.kernel_cases import Case
from energybench import kernels

#: Norms reach the vendor's; the others are held to the same.
_GOAL: Final = 1.0
_aten: Final[Any] = torch.ops.aten


def _normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def _case(name: str, size: str, theirs: Callable[[], Any], *arrays: Any, **options: Any) -> Case:
    function = getattr(kernels, name)
    label = name if options.get("training", True) else f"{name} (inference)"
    return Case(
        "training",
        f"{label} {size}",
        lambda threads: lambda: function(*arrays, threads=threads, **options),
        lambda: theirs,
        lambda: kernels.count(name, *arrays, **options),
        _GOAL,
    )


def _batch_norm(*shape: int) -> tuple[Case, ...]:
    size = "×".join(map(str, shape))
    x, grad, w, b = _normal(*shape), _normal(*shape), _normal(shape[1]), _normal(shape[1])
    mean, var = _normal(shape[1]), _normal(shape[1]).abs()
    found = kernels.batch_norm(x, w, b, return_statistics=True)
    kept = found.mean, found.rstd
    return (
        _case(
            *("batch_norm", size, lambda: _aten.native_batch_norm(x, w, b, mean, var, True, 0.1, 1e-5)),
            *(x, w, b, mean, var),
            return_statistics=True,
        ),
        _case(*("batch_norm", size, lambda: F.batch_norm(x, mean, var, w, b)), *(x, w, b, mean, var), training=False),
        _case(
            "batch_norm_backward",
            size,
            lambda: _aten.native_batch_norm_backward(grad, x, w, mean, var, *kept, True, 1e-5, [True] * 3),
            *(grad, x, *kept, w),
        ),
    )


_LOGITS: Final = _normal(512, 1000)
_TARGETS: Final = torch.arange(512)
_LOG: Final = torch.log_softmax(_LOGITS, -1)
_ONE: Final = torch.tensor(1.0)
_ACTIVATIONS: Final = _normal(512, 1024)
_MASK: Final = torch.rand(512, 1024) < 0.9
_BYTES: Final = _MASK.to(torch.uint8)


def _cross_entropy_backward() -> torch.Tensor:
    """What autograd runs: two operators."""
    picked = _aten.nll_loss_backward(_ONE, _LOG, _TARGETS, None, 1, -100, torch.tensor(512.0))
    return _aten._log_softmax_backward_data(picked, _LOG, 1, torch.float32)  # type: ignore[no-any-return]


CASES: Final = (
    *_batch_norm(1, 64, 112, 112),
    *_batch_norm(8, 256, 14, 14),
    *_batch_norm(8, 512, 7, 7),
    _case("cross_entropy", "512×1000", lambda: F.cross_entropy(_LOGITS, _TARGETS), _LOGITS, _TARGETS),
    _case("cross_entropy_backward", "512×1000", _cross_entropy_backward, _ONE, _LOG, _TARGETS),
    _case("dropout", "512×1024", lambda: _aten.native_dropout(_ACTIVATIONS, 0.1, True), _ACTIVATIONS, p=0.1, seed=1),
    _case(
        *("dropout_backward", "512×1024", lambda: _aten.native_dropout_backward(_ACTIVATIONS, _MASK, 1 / 0.9)),
        *(_ACTIVATIONS, _BYTES),
        p=0.1,
    ),
)
