"""For ``make sanitize``, loaded into its tests: the module under sanitizers is what they call, and they call all of it.

Every kernel on every rung that this processor has, on one thread and on more; what no test called fails the run.
"""

from __future__ import annotations

from typing import Any

import pytest

# here, before pytest puts the working tree in front of what was built for this run
from energybench.kernels import call, ladder, native, registry

#: Kernel, rung, and whether on more than one thread: calls that passed every check.
_called: set[tuple[str, str, bool]] = set()


def pytest_configure() -> None:
    """Refuse a module without sanitizers, and note what is called."""
    if "-fsanitize=" not in native.cpu().compile_flags:
        raise pytest.UsageError(f"{native.cpu().__file__} has no sanitizers; run make sanitize")
    begin = call.Call.__init__

    def noted(self: call.Call, *arguments: Any) -> None:
        begin(self, *arguments)
        if not self.counting:
            _called.add((self.name, self.variant, self.threads > 1))

    pytest.MonkeyPatch().setattr(call.Call, "__init__", noted)


def _missed() -> list[str]:
    needed = {
        (name, rung, more)
        for name, operator in registry.OPERATORS.items()
        for rung in operator.ladders["cpu"]
        for more in (False, True)
        if ladder.runs_here(rung, "cpu")
    }
    return [f"{name} on {rung}, {'two threads' if more else 'one'}" for name, rung, more in sorted(needed - _called)]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """What a worker's tests called."""
    _called.update(map(tuple, getattr(node, "workeroutput", {}).get("called", ())))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand over what was called, or fail where something was not."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["called"] = sorted(_called)
    elif _missed() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How much ran, and under what."""
    terminalreporter.section("sanitizers")
    flags = [flag for flag in native.cpu().compile_flags.split() if "sanitize" in flag]
    kernels, rungs = {name for name, *_ in _called}, {rung for _, rung, _ in _called}
    absent = {rung for o in registry.OPERATORS.values() for rung in o.ladders["cpu"]} - rungs
    terminalreporter.write_line(f"{' '.join(flags)}: {len(terminalreporter.stats.get('passed', ()))} tests passed")
    terminalreporter.write_line(
        f"{len(kernels)} kernels on {', '.join(sorted(rungs))}; not run: {sorted(absent) or 'none'}"
    )
    for missed in _missed():
        terminalreporter.write_line(f"  NOT CALLED {missed}")
