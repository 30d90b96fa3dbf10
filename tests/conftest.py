"""The skip gate: every skip is printed with its reason, and one that nobody expected fails the run.

``expected_skips.txt`` lists, a line each, ``node id pattern :: reason pattern`` (shell wildcards). A test may be
skipped only where both match, so a new skip has to be written down before it can hide work.
"""

from __future__ import annotations

import fnmatch
from pathlib import Path

import pytest

EXPECTED_SKIPS = Path(__file__).with_name("expected_skips.txt")

_skips: dict[str, str] = {}
_unexpected: list[str] = []


def expected_skips(text: str) -> list[tuple[str, str]]:
    """Patterns of node id and reason; blank lines and comments are passed over."""
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition(" :: ") for line in lines if line and not line.startswith("#"))
    return [(node.strip(), reason.strip()) for node, _, reason in pairs]


def is_expected(nodeid: str, reason: str, expected: list[tuple[str, str]]) -> bool:
    return any(fnmatch.fnmatch(nodeid, node) and fnmatch.fnmatch(reason, why) for node, why in expected)


def _note_skip(nodeid: str, longrepr: object) -> None:
    reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    reason = reason.removeprefix("Skipped: ")
    _skips[nodeid] = reason
    if not is_expected(nodeid, reason, expected_skips(EXPECTED_SKIPS.read_text(encoding="utf-8"))):
        _unexpected.append(nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _note_skip(report.nodeid, report.longrepr)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _note_skip(report.nodeid, report.longrepr)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("skips")
    terminalreporter.write_line(f"{len(_skips)} skipped, {len(_unexpected)} of them not expected")
    for nodeid, reason in sorted(_skips.items()):
        mark = "NOT EXPECTED " if nodeid in _unexpected else ""
        terminalreporter.write_line(f"  {mark}{nodeid}: {reason}")
    if _unexpected:
        terminalreporter.write_line("add the skip to tests/expected_skips.txt with its reason, or mend what caused it")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if _unexpected and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
