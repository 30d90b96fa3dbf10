"""An unexpected skip fails the run; an expected one passes and is printed with its reason."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parent.parent / "conftest.py"


def run_pytest(tmp_path: Path, expected: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(CONFTEST, tmp_path / "conftest.py")
    (tmp_path / "expected_skips.txt").write_text(expected, encoding="utf-8")
    (tmp_path / "test_sample.py").write_text(
        "import pytest\ndef test_a():\n    pytest.skip('no CUDA device here')\ndef test_b():\n    pass\n",
        encoding="utf-8",
    )
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )


def test_expected_skip_passes_and_is_printed(tmp_path: Path) -> None:
    result = run_pytest(tmp_path, "test_sample.py::test_a :: no CUDA device*")
    assert result.returncode == 0, result.stdout
    assert "1 skipped, 0 of them not expected" in result.stdout
    assert "no CUDA device here" in result.stdout


@pytest.mark.parametrize("expected", ["", "test_sample.py::test_b :: *", "test_sample.py::test_a :: another reason"])
def test_unexpected_skip_fails_the_run(tmp_path: Path, expected: str) -> None:
    result = run_pytest(tmp_path, expected)
    assert result.returncode == 1, result.stdout
    assert "NOT EXPECTED test_sample.py::test_a" in result.stdout
