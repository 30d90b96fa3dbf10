"""Are the native kernels right on this device? Every operator and rung against torch in float64, before measuring.

Usage: python experiments/gpu_lab/check_kernels.py [--device cuda:0]

For each: the plain kernel against the reference, all elements; the counting kernel's outputs bit for bit those of the
plain one; its tallies against the closed form. With ``--device cpu`` the same of the CPU's rungs, so that this file is
tested where there is no GPU. Exits 1 when anything disagrees: its native rows are then not to be believed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from energybench import kernels
from energybench.kernels.registry import OPERATORS

#: Error that is allowed, of the largest element of the reference: a few hundred roundings.
TOLERANCE = {torch.float32: 5e-5, torch.float64: 1e-12}


@dataclass(frozen=True)
class Case:
    """A call: its arrays, its options, and the same in torch, which gets them in float64."""

    kernel: str
    arrays: tuple[Any, ...]
    options: dict[str, Any]
    reference: Callable[..., Any]


def gradients(function: Callable[..., Any], grads: tuple[Any, ...], *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Of the inputs, by torch."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    outputs = function(*leaves)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return torch.autograd.grad(outputs[: len(grads)], leaves, grads)


def gru_of_torch(x: Any, h0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """One layer, step by step."""
    h, states = h0, []
    for step in x:
        i_r, i_z, i_n = (step @ w_ih.T + b_ih).chunk(3, 1)
        h_r, h_z, h_n = (h @ w_hh.T + b_hh).chunk(3, 1)
        r, z = torch.sigmoid(i_r + h_r), torch.sigmoid(i_z + h_z)
        n = torch.tanh(i_n + r * h_n)
        h = n + z * (h - n)
        states.append(h)
    return torch.stack(states), h


def cases(dtype: torch.dtype, device: str) -> Iterator[Case]:
    """Ragged shapes: no size is a multiple of a tile, a block or a warp."""
    generator = torch.Generator().manual_seed(5)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype).to(device)

    x, w, bias = random(3, 6, 19, 23), random(69, 2, 3, 5), random(69)
    where: dict[str, Any] = {"stride": (2, 1), "padding": (1, 2), "groups": 3}
    yield Case("conv2d", (x, w, bias), where, lambda x, w, b: functional.conv2d(x, w, b, **where))
    grad = random(*functional.conv2d(x, w, bias, **where).shape)
    zeros = torch.zeros(69, dtype=torch.float64, device=device)
    yield Case(
        "conv2d_backward",
        (grad, x, w),
        {**where, "has_bias": True},
        lambda g, x, w: gradients(
            lambda x, w, b: functional.conv2d(x, w, b, **where),
            (g,),
            x,
            w,
            zeros,
        ),
    )
    x, w, bias = random(67, 131), random(135, 131), random(135)
    yield Case("linear", (x, w, bias), {}, functional.linear)
    yield Case(
        "linear_backward",
        (random(67, 135), x, w),
        {},
        lambda g, x, w: gradients(functional.linear, (g,), x, w, torch.zeros(135, dtype=x.dtype, device=device)),
    )
    rows, weight = random(37, 301), random(301)
    yield Case("softmax", (rows,), {}, lambda x: torch.softmax(x, -1))
    yield Case("log_softmax", (rows,), {}, lambda x: torch.log_softmax(x, -1))
    yield Case("layer_norm", (rows, weight, weight), {}, lambda x, w, b: functional.layer_norm(x, (301,), w, b))
    _, mean, rstd = kernels.layer_norm(rows, weight, weight, return_statistics=True, variant="naive")
    yield Case(
        "layer_norm_backward",
        (random(37, 301), rows, mean, rstd, weight),
        {},
        lambda g, x, _mean, _rstd, w: gradients(
            lambda x, w, b: functional.layer_norm(x, (301,), w, b), (g,), x, w, torch.zeros_like(w)
        ),
    )
    q, k, v = random(2, 3, 70, 37), random(2, 3, 131, 37), random(2, 3, 131, 37)
    for causal in (False, True):
        mask = {"causal": causal}

        def of_torch(q: Any, k: Any, v: Any, causal: bool = causal) -> torch.Tensor:
            return functional.scaled_dot_product_attention(q, k, v, is_causal=causal)

        yield Case("attention", (q, k, v), mask, of_torch)
        y, lse = kernels.online_attention(q, k, v, causal=causal, variant="naive")
        yield Case("online_attention", (q, k, v), mask, of_torch)
        yield Case(
            "attention_backward",
            (random(2, 3, 70, 37), q, k, v, y, lse),
            mask,
            lambda g, q, k, v, _y, _lse, of_torch=of_torch: gradients(of_torch, (g,), q, k, v),
        )
    gru = (random(5, 3, 17), random(3, 37), random(111, 17), random(111, 37), random(111), random(111))
    yield Case("gru", gru, {}, gru_of_torch)
    y, _, gates = kernels.gru(*gru, return_gates=True, variant="naive")
    biases = tuple(b.double() for b in gru[4:])
    yield Case(
        "gru_backward",
        (random(5, 3, 37), random(3, 37), *gru[:2], y, gates, *gru[2:4]),
        {"has_bias": True},
        lambda g, g_h, x, h0, _y, _gates, w_ih, w_hh: gradients(gru_of_torch, (g, g_h), x, h0, w_ih, w_hh, *biases),
    )
    for name in ("relu", "sigmoid", "tanh", "gelu"):
        yield Case(name, (rows,), {}, getattr(torch if name in ("sigmoid", "tanh") else functional, name))
    image = random(2, 3, 17, 23)
    size: dict[str, Any] = {"kernel_size": 3, "stride": 2, "padding": 1}
    yield Case("max_pool2d", (image,), size, lambda x: functional.max_pool2d(x, **size))
    yield Case("avg_pool2d", (image,), size, lambda x: functional.avg_pool2d(x, **size))


def disagreements(case: Case, variant: str, device: str) -> list[str]:
    """What is wrong with one call; empty when nothing is."""
    options = {**case.options, "variant": variant}
    plain = getattr(kernels, case.kernel)(*case.arrays, **options)
    plain = plain if isinstance(plain, tuple) else (plain,)
    counted = kernels.counted_run(case.kernel, *case.arrays, **options)
    reference = case.reference(*(a.double() for a in case.arrays))
    reference = reference if isinstance(reference, tuple) else (reference,)
    found = []
    for i, (ours, theirs) in enumerate(zip(plain, reference, strict=False)):
        error = (ours.double() - theirs).abs().max() / theirs.abs().max()
        if not error <= TOLERANCE[ours.dtype]:  # a NaN is wrong too
            found.append(f"output {i} is off by {float(error):.1e} of the largest element")
    for i, (ours, again) in enumerate(zip(plain, counted.outputs, strict=True)):
        if (ours is None) != (again is None) or (ours is not None and not torch.equal(ours, again)):
            found.append(f"output {i} of the counting kernel has other bits")
    target = "cpu" if device == "cpu" else "cuda"
    if counted.counts != kernels.count(case.kernel, *case.arrays, basis="issued", device=target, **options):
        found.append("tallies are not the closed form's")
    return found


def main() -> int:
    """Check, and print a line an operator and rung."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    device = parser.parse_args().device
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    wrong = 0
    for dtype in TOLERANCE:
        for case in cases(dtype, device):
            for variant in OPERATORS[case.kernel].ladders["cpu" if device == "cpu" else "cuda"][:2]:
                try:
                    found = disagreements(case, variant, device)
                except Exception as error:  # one kernel that cannot run must not hide the others
                    found = [" ".join(str(error).split())[:160]]
                wrong += bool(found)
                state = "; ".join(found) or "right"
                print(f"  {case.kernel:22} {variant:8} {str(dtype).removeprefix('torch.'):8} {state}", flush=True)
    print(f"  {wrong} disagree" if wrong else "  all agree")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
