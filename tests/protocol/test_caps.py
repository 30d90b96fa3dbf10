"""A run keeps to its caps: what it writes, and what it keeps in memory."""

from __future__ import annotations

import tracemalloc

import pytest

from energybench.app.replay import replay
from energybench.errors import DiskFull
from energybench.protocol import Manifest, SilentProgress, runner
from energybench.protocol.plan import Row
from energybench.records.disk_room import CLOSING_BYTES, ROW_BYTES
from energybench.records.run_directory import RunDirectory
from energybench.workloads.designs import Design

#: Stated in docs/protocol.md.
STATE_BYTES_PER_ROW = 8 * 1024


def _fixed(design: Design, repeats: int) -> Design:
    """So many windows of each workload, whatever their values."""
    return Design("fixed", design.workloads, repeats, repeats, 0.05, 0.4)


def test_a_run_that_would_not_fit_is_not_begun(small_design, run_virtual, tmp_path):
    run = RunDirectory(tmp_path / "run")
    cap = CLOSING_BYTES + 32 * runner.EXPECTED_ROW_BYTES
    with pytest.raises(DiskFull, match=r"needs 0\.20 MB more, above its cap of 0\.20 MB; raise --max-disk-mb"):
        run_virtual(_fixed(small_design, 8), run.path, max_disk_bytes=cap - 1)
    assert run.read_records() == []
    assert not run.manifest_path.exists()
    assert run_virtual(_fixed(small_design, 8), run.path, max_disk_bytes=cap + 4096).status == "finished"


def test_a_run_stops_at_its_cap_and_goes_on_under_a_wider_one(small_design, run_virtual, tmp_path, monkeypatch):
    design, run, cap = _fixed(small_design, 8), RunDirectory(tmp_path / "run"), CLOSING_BYTES + ROW_BYTES + 30_000
    run_virtual(design, tmp_path / "whole")
    taken: list[Row] = []
    with monkeypatch.context() as patch:
        patch.setattr(runner, "EXPECTED_ROW_BYTES", 0)  # rows that are larger than expected
        take = runner._Runner._take

        def counted(run: runner._Runner, row: Row) -> None:
            taken.append(row)
            take(run, row)

        patch.setattr(runner._Runner, "_take", counted)
        with pytest.raises(DiskFull, match="raise --max-disk-mb and --resume"):
            run_virtual(design, run.path, max_disk_bytes=cap)
    manifest, kept = Manifest.load(run), run.read_records()
    assert (manifest.status, manifest.rows) == ("full", len(kept))
    assert "--max-disk-mb" in str(manifest.message)
    assert 8 <= len(kept) < 32
    assert len(taken) == len(kept)  # no window is taken for which there is no room
    assert sum(path.stat().st_size for path in run.files) <= cap
    assert replay(run).agrees
    assert run_virtual(design, run.path, resume=True).status == "finished"
    rows = run.read_records()
    assert rows[: len(kept)] == kept
    assert [r.row_id for r in rows] == [r.row_id for r in RunDirectory(tmp_path / "whole").read_records()]
    assert replay(run).agrees


class _Memory(SilentProgress):
    """Memory in use after every row."""

    def __init__(self) -> None:
        self.bytes: list[int] = []

    def row_done(self, record, *, done, rows, width_rel) -> None:
        self.bytes.append(tracemalloc.get_traced_memory()[0])


def test_rows_take_the_disk_and_the_memory_that_is_stated(small_design, run_virtual, tmp_path):
    """What stands in memory grows by the row; the longest run of a design has 1,778 of them, under 15 MB."""
    run, memory, rows = RunDirectory(tmp_path / "run"), _Memory(), 4 * 44
    tracemalloc.start()
    run_virtual(_fixed(small_design, 44), run.path, progress=memory)
    tracemalloc.stop()
    assert sum(path.stat().st_size for path in run.files) <= rows * runner.EXPECTED_ROW_BYTES
    assert 100 < (memory.bytes[-1] - memory.bytes[15]) / (rows - 16) < STATE_BYTES_PER_ROW
    tracemalloc.start()
    run_virtual(_fixed(small_design, 44), run.path, resume=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20 + rows * STATE_BYTES_PER_ROW
