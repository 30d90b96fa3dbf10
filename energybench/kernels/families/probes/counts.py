"""Closed-form counts of the calibration probes."""

from __future__ import annotations

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.families.probes.shape import FmaProbeShape, StreamProbeShape
from energybench.records.op_counts import OpCounts


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
