"""The words that both sides of the waist use: kinds of energy, kernel classes, families, components, directions."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

#: Where a joule comes from. `measured` is a hardware counter or sensor and nothing else.
Kind: TypeAlias = Literal["measured", "modelled", "simulated", "replayed"]
KINDS: Final[tuple[str, ...]] = get_args(Kind)

#: What kind of loop nest does the work; `physical` may give each its own MAC coefficient.
KernelClass: TypeAlias = Literal[
    "gemm",
    "conv",
    "depthwise",
    "attention",
    "rnn",
    "pointwise",
    "norm",
    "softmax",
    "pool",
    "gather",
    "copy",
    "loss",
    "optimizer",
    "probe",
    "idle",
    "network",
]
KERNEL_CLASSES: Final[tuple[str, ...]] = get_args(KernelClass)

#: The document's network families [§3.2–3.4], and the probes that belong to none.
Family: TypeAlias = Literal["cnn", "rnn", "transformer", "probe"]
FAMILIES: Final[tuple[str, ...]] = get_args(Family)

#: The parts of a Transformer that [D18] prices. Our reading: `self_attention` is the core of [D13] (scores, softmax,
#: weighting), `multi_head` the linear projections around it [D14], `feed_forward` the linears outside attention [D15].
Component: TypeAlias = Literal["self_attention", "multi_head", "feed_forward"]
COMPONENTS: Final[tuple[Component, ...]] = get_args(Component)

Direction: TypeAlias = Literal["forward", "backward", "optimizer"]
DIRECTIONS: Final[tuple[str, ...]] = get_args(Direction)

#: `fit` rows may enter a fit; `heldout` rows never do and score it; `idle` rows carry static power.
Split: TypeAlias = Literal["fit", "heldout", "idle"]
SPLITS: Final[tuple[str, ...]] = get_args(Split)

#: Where the operands of a call lie when it begins: `hot`, as the call before left them; `cold`, out of every cache.
Caches: TypeAlias = Literal["hot", "cold"]
CACHES: Final[tuple[Caches, ...]] = get_args(Caches)

#: `native` kernels are ours, `vendor` is the library behind torch, `none` runs nothing (idle).
Implementation: TypeAlias = Literal["native", "vendor", "none"]
IMPLEMENTATIONS: Final[tuple[str, ...]] = get_args(Implementation)
