"""Sums over patches, as csrc/cpu/tuned/patches.h works them: geometry, and what they move (docs/kernels/conv2d.md).

The forward pass is such a sum over patches of x, the gradient of its input one over patches of dy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Final, NamedTuple

from energybench.kernels.families.conv.shape import ConvShape
from energybench.kernels.tiles import gemm_columns, gemm_traffic, lanes, patch_rows

#: Tiles in a chunk, elements of padded images in a block, and pixels in a block of the weights' gradient.
_CHUNK_TILES: Final = 8
_BLOCK_IMAGES: Final = 2**18
_BLOCK_STEPS: Final = 2048
#: Pixels from which on a tap on every pixel is a matrix product of the image where it lies (csrc/kernels/patches.h).
_POINTWISE_PIXELS: Final = 128


class Phase(NamedTuple):
    """Pixels ``i·apart + phase`` of a result; tap t of each reads ``source[i·step + offset + t·tap_step]``."""

    pixels: int
    taps: int
    offset: int
    tap_step: int


@dataclass(frozen=True, slots=True)
class PatchAxis:
    """One dimension: `size` results from `source` elements. A gradient has a phase for each residue of the stride."""

    size: int
    source: int
    kernel: int
    stride: int
    padding: int
    dilation: int
    gradient: bool = False

    @property
    def apart(self) -> int:
        """Phases there are."""
        return min(self.stride, self.size) if self.gradient else 1

    @property
    def step(self) -> int:
        return 1 if self.gradient else self.stride

    def phases(self) -> list[Phase]:
        if not self.gradient:
            return [Phase(self.size, self.kernel, -self.padding, self.dilation)]
        return [self._phase(p) for p in range(self.apart)]

    def _phase(self, p: int) -> Phase:
        pixels = -(-(self.size - p) // self.stride)
        met = [k for k in range(self.kernel) if (p + self.padding - k * self.dilation) % self.stride == 0]
        if not met:
            return Phase(pixels, 0, 0, 0)
        every = met[1] - met[0] if len(met) > 1 else 0
        offset = (p + self.padding - met[0] * self.dilation) // self.stride
        return Phase(pixels, len(met), offset, -(every * self.dilation // self.stride))

    def margin(self) -> tuple[int, int]:
        """Zeros before the source, and its size with all the zeros that a tap can meet."""
        before, extent = 0, 1
        for f in self.phases():
            if f.taps:
                ends = f.offset, f.offset + (f.taps - 1) * f.tap_step
                before = max(before, -min(ends))
                extent = max(extent, max(ends) + (f.pixels - 1) * self.step + 1)
        return before, before + extent


@dataclass(frozen=True, slots=True)
class PatchSums:
    """``result[n, g·outputs + m, …] = Σ w · source[n, g·channels + c, …]``."""

    N: int
    groups: int
    outputs: int
    channels: int
    h: PatchAxis
    w: PatchAxis

    @property
    def in_place(self) -> bool:
        """Whether no tap lies on padding, so that nothing is copied."""
        return all(a.margin()[0] == 0 and a.margin()[1] <= a.source for a in (self.h, self.w))

    @property
    def padded_image(self) -> int:
        """Elements of an image with its margins."""
        return self.groups * self.channels * self.h.margin()[1] * self.w.margin()[1]

    @property
    def steps(self) -> int:
        return self.channels * self.h.kernel * self.w.kernel

    @property
    def pixels(self) -> int:
        return self.h.size * self.w.size

    @property
    def pointwise(self) -> bool:
        """Whether there is one tap, on every pixel of an image of some size."""
        return self.one_tap and self.pixels >= _POINTWISE_PIXELS

    @property
    def one_tap(self) -> bool:
        """Whether there is one tap, on every pixel."""
        return all((a.kernel, a.stride, a.padding) == (1, 1, 0) for a in (self.h, self.w))

    @property
    def blocks(self) -> list[int]:
        """Images in each block that is padded at once."""
        at_once = self.N if self.in_place else min(self.N, max(1, _BLOCK_IMAGES // self.padded_image))
        return [min(at_once, self.N - n) for n in range(0, self.N, at_once)]


def forward_sums(s: ConvShape) -> PatchSums:
    """The sum that y is."""
    h = PatchAxis(s.H_out, s.H, s.KH, s.stride[0], s.padding[0], s.dilation[0])
    w = PatchAxis(s.W_out, s.W, s.KW, s.stride[1], s.padding[1], s.dilation[1])
    return PatchSums(s.N, s.groups, s.C_out // s.groups, s.C_in // s.groups, h, w)


def input_gradient_sums(s: ConvShape) -> PatchSums:
    """The sum that dx is: results and source change places."""
    sums = forward_sums(s)
    h, w = (replace(a, size=a.source, source=a.size, gradient=True) for a in (sums.h, sums.w))
    return replace(sums, outputs=sums.channels, channels=sums.outputs, h=h, w=w)


@dataclass(frozen=True, slots=True)
class Issued:
    """What a rung moves, and what its tiles multiply."""

    loads: int = 0
    stores: int = 0
    weight_loads: int = 0
    tile_macs: int = 0

    def __add__(self, other: Issued) -> Issued:
        return Issued(
            self.loads + other.loads,
            self.stores + other.stores,
            self.weight_loads + other.weight_loads,
            self.tile_macs + other.tile_macs,
        )

    def times(self, n: int) -> Issued:
        return Issued(n * self.loads, n * self.stores, n * self.weight_loads, n * self.tile_macs)


def _padding(p: PatchSums) -> Issued:
    """Copies of the images with their margins."""
    if p.in_place:
        return Issued()
    inside = [min(a.source, a.margin()[1] - a.margin()[0]) for a in (p.h, p.w)]
    return Issued(p.N * p.groups * p.channels * prod(inside), p.N * p.padded_image)


def _turn(rows: int, columns: int, width: int) -> Issued:
    """Rows that become columns, read in whole vectors."""
    return Issued(rows * -(-columns // width) * width, rows * columns)


def _strips(outputs: int, rung: str, dtype: str) -> list[tuple[int, int]]:
    """Columns of each strip, and those of the vectors that its tiles work."""
    whole, width = gemm_columns(rung, dtype), lanes(rung, dtype)
    strips = [min(whole, outputs - m) for m in range(0, outputs, whole)]
    return [(columns, whole if columns > width else width) for columns in strips]


def _tiles(p: PatchSums, rung: str) -> list[int]:
    """Tiles of one strip in each phase, first those of the first rows."""
    rows, chunk = patch_rows(rung), _CHUNK_TILES * patch_rows(rung)
    apart_h, apart_w = p.h.apart, p.w.apart
    groups, span = -(-p.h.size // apart_h), chunk * apart_w
    tiles = []
    for h, (phase_w, w) in product(p.h.phases(), enumerate(p.w.phases())):
        if p.w.size > span:  # a chunk is some columns of one group of rows
            ends = [min(p.w.size, c + span) for c in range(0, p.w.size, span)]
            columns = [-(-(end - phase_w) // apart_w) - i * chunk for i, end in enumerate(ends)]
            tiles.append(p.N * h.pixels * sum(-(-max(0, n) // rows) for n in columns))
            continue
        most, all_groups, count = max(1, chunk // -(-p.w.size // apart_w)), p.blocks[0] * groups, 0
        together = -(-all_groups // -(-all_groups // most))
        for images in p.blocks:
            for g in range(0, images * groups, together):
                end = min(images * groups, g + together)
                missing = (end // groups - g // groups) * (groups - h.pixels)  # the last row of an image may be short
                count += -(-(end - g - missing) * w.pixels // rows)
        tiles.append(count)
    return tiles


def _pointwise(p: PatchSums, rung: str, dtype: str, *, has_bias: bool) -> Issued:
    """A product of the weights and each image's channels (csrc/cpu/tuned/conv_pointwise.cpp)."""
    t = gemm_traffic(p.outputs, p.pixels, p.channels, rung, dtype)
    biases = p.outputs * -(-p.pixels // lanes(rung, dtype)) if has_bias else 0
    loads = t.loads_a + t.loads_b + t.panel_loads + t.loads_c + biases
    return Issued(loads, t.panel_stores + t.stores_c, t.loads_a + biases, t.tile_macs).times(p.N * p.groups)


def _pointwise_weight_gradient(p: PatchSums, rung: str, dtype: str) -> Issued:
    """A product of each image's dy and x, added to that of the image before."""
    t = gemm_traffic(p.outputs, p.channels, p.pixels, rung, dtype)
    image = Issued(t.loads_a + t.loads_b + t.panel_loads + t.loads_c, t.panel_stores + t.stores_c, 0, t.tile_macs)
    return image.times(p.N * p.groups) + Issued((p.N - 1) * p.groups * p.outputs * p.channels)


def patch_sums(p: PatchSums, rung: str, dtype: str, *, has_bias: bool) -> Issued:
    """What a sum over patches moves on a tuned rung."""
    if p.pointwise:
        return _pointwise(p, rung, dtype, has_bias=has_bias)
    rows, width = patch_rows(rung), lanes(rung, dtype)
    steps = [p.channels * h.taps * w.taps for h, w in product(p.h.phases(), p.w.phases())]
    tiles = _tiles(p, rung)
    worked = sum(t * d for t, d in zip(tiles, steps, strict=True))
    total, met = Issued(), sum(steps)  # a stride beyond the image never meets some taps
    for columns, vectors in _strips(p.outputs, rung, dtype):
        packed = Issued(columns * met, gemm_columns(rung, dtype) * met, columns * met)
        biases = columns * sum(tiles) if has_bias else 0
        sums = Issued(worked * (rows + vectors) + biases, p.N * p.pixels * vectors, biases, worked * rows * vectors)
        total = total + packed + sums + _turn(p.N * p.pixels, columns, width)
    return total.times(p.groups) + _padding(p)


def pixel_sums(p: PatchSums, rung: str, dtype: str, *, has_bias: bool) -> Issued:
    """The same with channels innermost, where tiles store their sums where they belong; with one tap, a product."""
    if p.one_tap:
        t = gemm_traffic(p.N * p.pixels, p.outputs, p.channels, rung, dtype)
        biases = p.N * p.pixels * p.outputs if has_bias else 0
        loads = t.loads_a + t.loads_b + t.panel_loads + t.loads_c + biases
        return Issued(loads, t.panel_stores + t.stores_c, t.loads_b + biases, t.tile_macs).times(p.groups)
    rows, steps = patch_rows(rung), p.steps
    tiles = sum(-(-images * p.pixels // rows) for images in p.blocks)
    total = Issued()
    for columns, vectors in _strips(p.outputs, rung, dtype):
        packed = Issued(columns * steps, gemm_columns(rung, dtype) * steps, columns * steps)
        biases = columns * tiles if has_bias else 0
        worked = tiles * steps
        sums = Issued(worked * (rows + vectors) + biases, p.N * p.pixels * columns, biases, worked * rows * vectors)
        total = total + packed + sums
    return total.times(p.groups) + _padding(p)


def weight_gradient(p: PatchSums, rung: str, dtype: str) -> Issued:
    """What the gradient of the weights of a forward sum moves: taps are the rows of its tiles, pixels their steps."""
    if p.pointwise:
        return _pointwise_weight_gradient(p, rung, dtype)
    rows, width = patch_rows(rung), lanes(rung, dtype)
    blocks = sum(-(-images * p.pixels // min(_BLOCK_STEPS, p.blocks[0] * p.pixels)) for images in p.blocks)
    pixels = p.N * p.pixels
    worked = -(-p.steps // rows) * pixels
    total = Issued()
    for columns, vectors in _strips(p.outputs, rung, dtype):
        packed = Issued(columns * pixels, gemm_columns(rung, dtype) * pixels)
        partial = p.steps * vectors
        sums = Issued(
            worked * (rows + vectors) + (blocks - 1) * partial, blocks * partial, tile_macs=worked * rows * vectors
        )
        total = total + packed + sums + _turn(p.steps, columns, width)
    return total.times(p.groups) + _padding(p)
