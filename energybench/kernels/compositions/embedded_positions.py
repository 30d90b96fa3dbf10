"""An embedding with its positions added: how a Transformer's input begins [D16]."""

from __future__ import annotations

from typing import Any

from energybench.kernels.call import TensorT
from energybench.kernels.composition import Part, composition
from energybench.kernels.families.copies.launch import EMBEDDING
from energybench.kernels.families.pointwise.launch import POSITIONAL_ENCODING
from energybench.kernels.ladder import AUTO


def _embed_positions(part: Part, indices: Any, table: Any, positions: Any) -> Any:
    return part(POSITIONAL_ENCODING, part(EMBEDDING, indices, table), positions)


EMBED_POSITIONS = composition(_embed_positions, "embed_positions")


def embed_positions(
    indices: TensorT, table: TensorT, positions: TensorT, *, variant: str = AUTO, threads: int | None = None
) -> TensorT:
    """``embedding(indices, table) + positions`` [D16].

    Args:
        indices: ``[B, S]``, int64.
        table: ``[rows, D]``, float32 or float64.
        positions: ``[S, D]``; `sinusoids` makes one.
        variant: As `linear`'s.
        threads: As `linear`'s.

    Returns:
        ``y[B, S, D]`` of the caller's kind. Errors as `embedding`'s.
    """
    (y,) = EMBED_POSITIONS.run(indices, table, positions, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]
