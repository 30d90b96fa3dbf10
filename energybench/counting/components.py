"""Which part of a Transformer an operator belongs to, as [D18] prices it.

The nearest module around the operator whose class or name speaks decides: a feed-forward block inside something called
attention is feed-forward, a projection inside attention is multi-head. Inside attention, products between activations
(scores, weighting), softmax and what is done to scores are `self_attention` [D13]; products with weights, and the
copies that split and merge heads, are `multi_head` [D14]. Products outside attention are `feed_forward` [D15], provided
that the model has attention at all; everything else belongs to no component.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from energybench.records.vocabulary import Component, KernelClass

_ATTENTION: Final = re.compile(r"attention|attn", re.IGNORECASE)
_FEED_FORWARD: Final = re.compile(r"mlp|ffn|feed_?forward|intermediate|dense_?relu", re.IGNORECASE)

#: Products of two activations: their operands are never weights in a Transformer as torch writes it.
_CORE_PRODUCTS: Final = frozenset({"aten.bmm", "aten.baddbmm"})

Place: TypeAlias = Literal["attention", "feed_forward"]


def place_of(module: str, class_names: Mapping[str, str]) -> Place | None:
    """What the nearest speaking module around `module` says; `class_names` maps module paths to class names."""
    parts = module.split(".") if module else []
    for depth in range(len(parts), -1, -1):
        path = ".".join(parts[:depth])
        words = (class_names.get(path, ""), parts[depth - 1] if depth else "")
        if any(_FEED_FORWARD.search(word) for word in words):
            return "feed_forward"
        if any(_ATTENTION.search(word) for word in words):
            return "attention"
    return None


def component_of(
    operator: str, kernel_class: KernelClass, place: Place | None, *, has_attention: bool
) -> Component | None:
    """The component of one operator. `has_attention`: the model attends somewhere, else nothing is a Transformer's."""
    if kernel_class == "attention":
        return "self_attention"
    if place == "attention":
        if operator in _CORE_PRODUCTS or kernel_class in ("softmax", "pointwise"):
            return "self_attention"
        return "multi_head" if kernel_class in ("gemm", "copy") else None
    return "feed_forward" if has_attention and kernel_class == "gemm" else None
