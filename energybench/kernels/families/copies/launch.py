"""Launching copies: padding, layouts, joins, rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from energybench.kernels.call import Begin, Outcome, TensorT
from energybench.kernels.families.copies import counts
from energybench.kernels.families.copies import shape as shapes
from energybench.kernels.families.copies.shape import ConcatShape, GatherShape, PaddingMode, PadShape, TransposeShape
from energybench.kernels.ladder import AUTO, CPU_ALONE
from energybench.kernels.operator import Operator


def _pad(begin: Begin, s: PadShape, x: Any, **_options: Any) -> Outcome:
    call = begin({"x": x})
    y = call.allocate("y", *s.padded)
    return call.finish(call.run_cpu(call.dense(x), y, s.rows, s.columns, s.mode), y)


def _pad_backward(begin: Begin, s: PadShape, grad: Any, **_options: Any) -> Outcome:
    call = begin({"grad": grad})
    dx = call.allocate("dx", *s.image)
    return call.finish(call.run_cpu(call.dense(grad), dx, s.rows, s.columns, s.mode), dx)


def _transpose(begin: Begin, s: TransposeShape, x: Any, **_options: Any) -> Outcome:
    call = begin({"x": x})
    y = call.allocate("y", *s.result)
    of_y = y.reshape(s.batches, s.columns, s.rows, s.run)
    return call.finish(call.run_cpu(call.dense(x).reshape(s.view), of_y, function="transpose"), y)


def _concat(begin: Begin, s: ConcatShape, *parts: Any) -> Outcome:
    call = begin({f"part {i}": part for i, part in enumerate(parts)})
    y = call.allocate("y", *s.result)
    rows = [call.dense(part).reshape(s.N, width) for part, width in zip(parts, s.widths, strict=True)]
    return call.finish(call.run_cpu(rows, y.reshape(s.N, sum(s.widths)), function="concat"), y)


def _embedding(begin: Begin, s: GatherShape, indices: Any, table: Any) -> Outcome:
    call = begin({"indices": indices, "table": table})
    y = call.allocate("y", *s.indices, s.n)
    arrays = [call.dense(table), call.dense(indices).reshape(s.count), y.reshape(s.count, s.n)]
    return call.finish(call.run_cpu(*arrays, function="gather"), y)


PAD2D = Operator("pad2d", "forward", "copy", CPU_ALONE, shapes.pad_shape, counts.pad2d, _pad)
PAD2D_BACKWARD = Operator(
    *("pad2d", "backward", "copy", CPU_ALONE), shapes.pad_backward_shape, counts.pad2d_backward, _pad_backward
)
NCHW_TO_NHWC = Operator(
    *("nchw_to_nhwc", "forward", "copy", CPU_ALONE), shapes.nchw_to_nhwc_shape, counts.transpose, _transpose
)
NHWC_TO_NCHW = Operator(
    *("nhwc_to_nchw", "forward", "copy", CPU_ALONE), shapes.nhwc_to_nchw_shape, counts.transpose, _transpose
)
SPLIT_HEADS = Operator(
    *("split_heads", "forward", "copy", CPU_ALONE), shapes.split_heads_shape, counts.transpose, _transpose
)
MERGE_HEADS = Operator(
    *("merge_heads", "forward", "copy", CPU_ALONE), shapes.merge_heads_shape, counts.transpose, _transpose
)
CONCAT_CHANNELS = Operator(
    *("concat_channels", "forward", "copy", CPU_ALONE), shapes.concat_shape, counts.concat_channels, _concat
)
EMBEDDING = Operator(
    *("embedding", "forward", "gather", CPU_ALONE), shapes.embedding_shape, counts.embedding, _embedding
)


def pad2d(
    x: TensorT,
    *,
    padding: int | Sequence[int],
    mode: PaddingMode = "zeros",
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """Rows and columns around an image [D29], equal to `torch.nn.functional.pad` of height and width.

    Args:
        x: ``[N, C, H, W]``, float32 or float64.
        padding: One integer for all sides, two (height, width), or four (left, right, top, bottom).
        mode: ``zeros`` (torch's ``constant``), ``reflect`` (less than the image), ``replicate``, ``circular`` (at most
            the image).
        variant: As `linear`'s.
        threads: As `linear`'s.

    Returns:
        ``y[N, C, top + H + bottom, left + W + right]`` of the caller's kind. Errors as `linear`'s.
    """
    (y,) = PAD2D.run(x, padding=padding, mode=mode, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def pad2d_backward(
    grad: TensorT,
    *,
    padding: int | Sequence[int],
    mode: PaddingMode = "zeros",
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """Gradient of `pad2d`: each output's gradient added to the pixel it stood for. Otherwise as `pad2d`."""
    (dx,) = PAD2D_BACKWARD.run(grad, padding=padding, mode=mode, variant=variant, threads=threads)
    return dx  # type: ignore[no-any-return]


def nchw_to_nhwc(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """``x[N, C, H, W]`` with channels innermost: ``y[N, H, W, C]`` [D19]. Otherwise as `linear`'s."""
    (y,) = NCHW_TO_NHWC.run(x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def nhwc_to_nchw(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """``x[N, H, W, C]`` with channels outermost: ``y[N, C, H, W]`` [D19]. Otherwise as `linear`'s."""
    (y,) = NHWC_TO_NCHW.run(x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def split_heads(x: TensorT, *, heads: int, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """``x[B, S, heads·D]`` head by head: ``y[B, heads, S, D]``, as `attention` takes it. Otherwise as `linear`'s."""
    (y,) = SPLIT_HEADS.run(x, heads=heads, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def merge_heads(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """``x[B, Hn, S, D]`` with its heads side by side: ``y[B, S, Hn·D]``. Otherwise as `linear`'s."""
    (y,) = MERGE_HEADS.run(x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def concat_channels(*parts: TensorT, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Up to 16 arrays ``[N, C_i, …]`` joined along their channels, equal to ``torch.cat(parts, 1)``.

    Otherwise as `linear`'s.
    """
    (y,) = CONCAT_CHANNELS.run(*parts, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def embedding(indices: TensorT, table: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Rows of ``table[rows, n]``, equal to `torch.nn.functional.embedding`: ``y[…, n]`` of int64 indices ``[…]``.

    Raises NativeModuleError where an index is no row of the table; otherwise as `linear`'s.
    """
    (y,) = EMBEDDING.run(indices, table, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]
