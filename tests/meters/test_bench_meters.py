"""The bench of meters beside other tools: what a cell of its table says, and how late the fake says that it is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks import meters as bench


@pytest.mark.parametrize(
    ("reported_j", "most_j", "says"),
    [
        (136.35, 135.2, "136.3 J (+1.0%)"),
        (133.65, 135.2, "133.7 J (-1.0%)"),
        # Calls that took a tenth of the second: anything drawn with or without them is right.
        (140.0, 148.5, "140.0 J (between); its calls took 0.10 s"),
        (162.0, 148.5, "162.0 J (+10.0%); its calls took 0.10 s"),
        (None, 135.0, "nothing"),
    ],
)
def test_a_cell_blames_a_tool_for_what_lies_outside_of_its_calls(reported_j, most_j, says):
    found = {"reported_j": reported_j, "least_j": 135.0, "most_j": most_j, "said": "", "late_s": 0.0}
    assert bench.cell(found) == says


def test_a_late_fake_is_told_in_the_cell():
    found = {"reported_j": 135.0, "least_j": 135.0, "most_j": 135.0, "said": "no DRAM", "late_s": 0.0135}
    assert bench.cell(found) == "135.0 J (+0.0%); no DRAM; the fake was late: 13.5 ms"


def test_the_writer_tells_how_long_a_value_stood_and_waits_to_be_told(tmp_path):
    page = tmp_path / "page"
    page.write_bytes(bytes(24))
    reader, writer = bench.Lateness(str(page)), bench.Lateness(str(page))
    assert writer.begin_ns == 0
    reader.begin()
    begun_ns = writer.begin_ns
    assert begun_ns > 0
    for stood_ns in (1_000_000, 9_000_000, 2_000_000):
        writer.wrote(stood_ns)
    # What the writer tells takes nothing from what it was told.
    assert writer.begin_ns == begun_ns
    assert bench.Lateness.worst_s(_Writing(reader, writer)) == pytest.approx(9e-3)
    reader.reset()
    assert bench.Lateness.worst_s(_Writing(reader, writer)) == pytest.approx(1e-3)


class _Writing(bench.Lateness):
    """A reader beside whose every look the writer writes once more, a value that stood for a millisecond."""

    def __init__(self, reader: bench.Lateness, writer: bench.Lateness) -> None:
        self._page, self._writer = reader._page, writer

    def _get(self, place: int) -> int:
        self._writer.wrote(1_000_000)
        return super()._get(place)
