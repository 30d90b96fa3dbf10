"""Output size and parameters of a convolution: the document's formulas against torch, over a grid of shapes [D9]."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import torch

from energybench.app.experiment_result import ExperimentResult, Figure, Verdict
from energybench.kernels.windows import window_positions

RESULTS = Path(__file__).parent / "results"


def shapes() -> list[Figure]:
    """The printed and the correct output size over the grid."""
    cases = printed = at_stride_1 = unequal_at_stride_1 = right = 0
    for n, k, s, p, d in product(range(1, 65), (1, 2, 3, 5, 7), (1, 2, 3, 4), (0, 1, 2, 3), (1, 2)):
        if d * (k - 1) + 1 > n + 2 * p:
            continue  # the window is larger than the padded input: no output exists
        x, w = torch.empty(1, 1, n, device="meta"), torch.empty(1, 1, k, device="meta")
        actual = torch.nn.functional.conv1d(x, w, stride=s, padding=p, dilation=d).shape[-1]
        cases += 1
        printed += (n + k - 1) // s + 1 == actual
        right += window_positions(n, k, s, p, d) == actual
        at_stride_1 += s == 1
        unequal_at_stride_1 += s == 1 and (n + k - 1) // s + 1 != actual
    return [
        Figure("shapes", cases, "shapes"),
        Figure("printed_size_right", printed, "shapes"),
        Figure("correct_size_right", right, "shapes"),
        Figure("shapes_at_stride_1", at_stride_1, "shapes"),
        Figure("printed_size_wrong_at_stride_1", unequal_at_stride_1, "shapes"),
    ]


def small() -> list[Figure]:
    """The printed and the correct number of parameters."""
    layers = equal = equal_right = 0
    for c_in, c_out, k, grouped, bias in product((3, 16, 64), (16, 64), (1, 3, 5), (False, True), (False, True)):
        if grouped and c_in != c_out:
            continue  # depthwise only where each channel keeps its own filter
        groups = c_in if grouped else 1
        layer = torch.nn.Conv2d(c_in, c_out, k, groups=groups, bias=bias, device="meta")
        actual = sum(w.numel() for w in layer.parameters())
        layers += 1
        equal += c_in * k * k == actual
        equal_right += c_out * (c_in // groups) * k * k + c_out * bias == actual
    return [
        Figure("layers", layers, "layers"),
        Figure("printed_parameters_right", equal, "layers"),
        Figure("correct_parameters_right", equal_right, "layers"),
    ]


def main() -> None:
    figures = (*shapes(), *small())
    cases, printed, right, _, _, layers, equal, equal_right = (int(f.value) for f in figures)
    because = (
        f"the printed size is right for {printed} of {cases} shapes (correct formula: {right}), the printed parameters "
        f"for {equal} of {layers} layers (correct formula: {equal_right})"
    )
    verdict = Verdict("D9", "counts", "does not hold", ("printed_size_right", "printed_parameters_right"), because)
    ExperimentResult(figures, (verdict,)).save(RESULTS)


if __name__ == "__main__":
    main()
