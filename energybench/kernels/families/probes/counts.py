"""Closed-form counts of the calibration probes."""

from __future__ import annotations

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.families.probes.shape import BLOCK, FmaProbeShape, ProbeShape, StreamProbeShape
from energybench.records.op_counts import DTYPE_BYTES, OpCounts


def probe_fma(shape: FmaProbeShape, request: CountRequest) -> OpCounts:
    """Counts of the pure-MAC probe; both bases agree."""
    macs = shape.streams * shape.steps * 14 * shape.lanes
    traffic = Traffic(shape.streams * 14 * shape.lanes, shape.streams)
    adds = shape.streams * (13 * shape.lanes + shape.lanes - 1)
    return request.tallies(compulsory=traffic, issued=traffic, macs=macs, nominal_macs=macs, tile_macs=macs, adds=adds)


def probe_stream(shape: StreamProbeShape, request: CountRequest) -> OpCounts:
    """Counts of the copy probe: every repeat is an operator of its own, so both bases agree."""
    traffic = Traffic(shape.n * shape.repeats, shape.n * shape.repeats)
    return request.tallies(compulsory=traffic, issued=traffic)


def _blocks(n: int) -> list[int]:
    """Elements of each block."""
    return [min(BLOCK, n - first) for first in range(0, n, BLOCK)]


def probe_intensity(shape: ProbeShape, request: CountRequest) -> OpCounts:
    """Counts of MACs beside loads: each element once, `times` MACs of it, and its part of a block's sum."""
    width = 32 // DTYPE_BYTES[request.dtype]
    blocks, macs = _blocks(shape.n), shape.n * shape.times
    traffic = Traffic(shape.n, len(blocks))
    whole = sum(-(-block // width) * width for block in blocks)  # lanes that the vectors have
    return request.tallies(
        compulsory=traffic,
        issued=traffic,
        macs=macs,
        nominal_macs=macs,
        tile_macs=whole * shape.times,
        adds=shape.n,
    )


def probe_read(shape: ProbeShape, request: CountRequest) -> OpCounts:
    """Counts of reads: an add keeps each."""
    traffic = Traffic(shape.n, len(_blocks(shape.n)))
    return request.tallies(compulsory=traffic, issued=traffic, adds=shape.n)


def probe_write(shape: ProbeShape, request: CountRequest) -> OpCounts:
    """Counts of writes."""
    traffic = Traffic(0, shape.n)
    return request.tallies(compulsory=traffic, issued=traffic)


def probe_chase(shape: ProbeShape, request: CountRequest) -> OpCounts:
    """Counts of dependent loads of places; each is one to its level, so both bases agree."""
    traffic = Traffic(shape.times * shape.chains, shape.chains)
    return request.tallies(compulsory=traffic, issued=traffic)


def probe_special(shape: ProbeShape, request: CountRequest) -> OpCounts:
    """Counts of special functions; every repeat is an operator of its own."""
    n = shape.n * shape.times
    return request.tallies(compulsory=Traffic(n, n), issued=Traffic(n, n), specials=n)


def probe_launch(shape: ProbeShape, request: CountRequest) -> OpCounts:
    """A launch and nothing else."""
    del shape
    return OpCounts(launches=1, traffic_basis=request.basis)
