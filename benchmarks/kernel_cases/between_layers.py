"""Between the big layers: functions of one element, rows, pooling, forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's own documentation uses

from benchmarks.kernel_cases import Case, kernel_case, normal

#: Pooling, norms and activations reach the vendor's.
_GOAL: Final = 1.0


def _case(name: str, size: str, theirs: Callable[[], Any], *arrays: Any, **options: Any) -> Case:
    return kernel_case("between_layers", size, _GOAL, name, theirs, *arrays, **options)


#: 1 Mi elements: beyond the second-level cache, as feature maps are. 128 KiB: within it.
_LARGE, _SMALL = normal(1024, 1024), normal(32, 1024)
_ROWS: Final = normal(512, 768)
_WEIGHT, _BIAS = normal(768), normal(768)
_IMAGE: Final = normal(1, 64, 112, 112)

CASES: Final = (
    _case("relu", "1024×1024", lambda: torch.relu(_LARGE), _LARGE),
    _case("relu", "32×1024", lambda: torch.relu(_SMALL), _SMALL),
    _case("sigmoid", "1024×1024", lambda: torch.sigmoid(_LARGE), _LARGE),
    _case("tanh", "1024×1024", lambda: torch.tanh(_LARGE), _LARGE),
    _case("gelu", "1024×1024", lambda: F.gelu(_LARGE), _LARGE),
    _case("softmax", "512×768", lambda: torch.softmax(_ROWS, -1), _ROWS),
    _case("layer_norm", "512×768", lambda: F.layer_norm(_ROWS, (768,), _WEIGHT, _BIAS), _ROWS, _WEIGHT, _BIAS),
    _case("max_pool2d", "2×2", lambda: F.max_pool2d(_IMAGE, 2), _IMAGE, kernel_size=2),
    _case("max_pool2d", "3×3 s2 p1", lambda: F.max_pool2d(_IMAGE, 3, 2, 1), _IMAGE, kernel_size=3, stride=2, padding=1),
    _case("avg_pool2d", "2×2", lambda: F.avg_pool2d(_IMAGE, 2), _IMAGE, kernel_size=2),
    _case("avg_pool2d", "7×7", lambda: F.avg_pool2d(_IMAGE, 7), _IMAGE, kernel_size=7),
)
