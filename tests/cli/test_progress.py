"""What `calibrate` says of how a run ended where there is no terminal: a line in words for every status."""

import pytest

from energybench.cli.progress import LineProgress
from energybench.protocol.manifest import STATUSES


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "running"])
def test_every_end_of_a_run_has_words(status, capsys):
    LineProgress().finished(status)
    (line,) = capsys.readouterr().err.splitlines()
    start, words = line[: len("energybench: calibration ")], line.removeprefix("energybench: calibration ")
    assert start == "energybench: calibration "
    assert len(words.split()) > 2


def test_a_run_that_used_its_time_up_says_so(capsys):
    LineProgress().finished("budget")
    assert "time is used up" in capsys.readouterr().err
