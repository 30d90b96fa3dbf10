"""Plant each bug of ``tests/bugs/*.txt`` in a copy of the tree and expect its tests to fail (``make mutate``).

A bug is a block of lines, blocks apart by an empty line; ``#`` begins a comment:

    file: energybench/fitting/covariance.py
    test: tests/fitting/test_cluster_covariance.py
    old:  the text to replace, which must be there exactly once
    new:  what replaces it

A bug in C++ has one line more, the translation units to compile anew, plain and counting, each as RUNG/FILE:

    units: naive/conv avx2/conv_backward

Only those rungs, and the naive one, run in its tests; all else of the module is built once.

A test that hangs under its bug is red by its own time limit (pytest-timeout, ``pyproject.toml``); where even that does
not end it, the bug counts as green. Prints a table of the lists at the end, and ends with status 1 where a bug stays
green, or where its text is not there any more.
"""

from __future__ import annotations

import argparse
import compileall
import importlib
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from py_compile import PycInvalidationMode

import pytest
from planted_module import PlantedModule

ROOT = Path(__file__).resolve().parents[1]
_KEYS = ("file", "test", "old", "new")
#: Seconds after which the tests of one bug are stopped: twice what pytest gives a single test.
_LIMIT_S = 600.0
#: What most tests would import anew, and nothing of energybench: bugs are planted in that.
_HELD = ("numpy", "pandas", "scipy.optimize", "scipy.stats", "torch")

#: It counts the rungs of the processor, of which a planted module runs some alone.
_NOT_OF_BUGS = "tests/parity/test_every_rung.py::test_the_rungs_of_this_processor_are_tested"


def read_bugs(path: Path) -> list[dict[str, str]]:
    """The blocks of one file. Raises ValueError on a block without its keys."""
    bugs = []
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in block.splitlines() if line.strip() and not line.startswith("#")]
        if not lines:
            continue
        bug = {key: value[1:] for key, _, value in (line.partition(":") for line in lines)}
        keys = (*_KEYS, "units") if lines[0].startswith("file: csrc/") else _KEYS
        if tuple(bug) != keys:
            raise ValueError(f"{path}: a bug needs the lines {', '.join(keys)} in this order, not {', '.join(bug)}")
        bugs.append({k: v.strip(" ") if k in ("old", "new") else v.strip() for k, v in bug.items()})
    return bugs


def is_red(tree: Path, bug: dict[str, str], module: PlantedModule | None = None) -> tuple[bool, str]:
    """Plant, test, mend. A test that cannot even be collected (status above 1) proves nothing; one that dies is red."""
    target = tree / bug["file"]
    sound = target.read_text(encoding="utf-8")
    if sound.count(bug["old"]) != 1:
        return False, f"its text is there {sound.count(bug['old'])} times"
    target.write_text(sound.replace(bug["old"], bug["new"]), encoding="utf-8")
    tests = shlex.split(bug["test"])
    try:
        if module is not None:
            os.environ["ENERGYBENCH_PLANTED_RUNGS"] = " ".join(("naive", *module.plant(bug["units"].split())))
            tests += ["-p", "planted_rungs", "--deselect", _NOT_OF_BUGS]
        status, output = run_tests(tree, tests)
    finally:
        target.write_text(sound, encoding="utf-8")
        if module is not None:
            module.mend()
    if status is None:
        return False, f"its tests did not end within {_LIMIT_S:.0f} s"
    if status < 0:
        return True, f"died of signal {-status}"
    failed = [line for line in output.splitlines() if line.startswith("FAILED")]
    return status == 1 and bool(failed), failed[0] if failed else f"pytest ended with {status}"


def run_tests(tree: Path, tests: list[str]) -> tuple[int | None, str]:
    """Status and output of pytest in the tree, None for a status where it did not end.

    In a fork of this process, which holds what takes long to import and nothing of the tree.
    """
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            os.setsid()
            os.chdir(tree)
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            sys.path[:0] = [str(tree), str(tree / "tests/bugs")]
            os.environ["PYTHONPATH"] = str(tree)
            status = 3
            try:
                status = int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *tests]))
                sys.stdout.flush()
            finally:
                os._exit(status)
        ended = _wait_s(child, _LIMIT_S)
        output.seek(0)
        return ended, output.read().decode(errors="replace")


def _wait_s(child: int, limit_s: float) -> int | None:
    begun = time.monotonic()
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() - begun > limit_s:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.05)


def main() -> int:
    """Run the bugs of the files given, of all of them by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bugs", nargs="*", type=Path, default=sorted((ROOT / "tests/bugs").glob("*.txt")))
    given = parser.parse_args()
    lines = ["| list | bugs | red | taken |", "|---|---|---|---|"]
    green = 0
    for name in _HELD:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in ("benchmarks", "energybench", "tests", "experiments"):
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        # by hash and not by time, so that a planted file is never taken for the sound one
        compileall.compile_dir(tree, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
        module: PlantedModule | None = None
        for path in given.bugs:
            begun, bugs, survived = time.monotonic(), read_bugs(path), 0
            for bug in bugs:
                if "units" in bug and module is None:
                    module = PlantedModule(tree)
                red, why = is_red(tree, bug, module if "units" in bug else None)
                survived += not red
                print(f"{'red  ' if red else 'GREEN'} {bug['file']}: {bug['old'][:60]!r} ({why})", flush=True)
            lines.append(f"| {path.stem} | {len(bugs)} | {len(bugs) - survived} | {time.monotonic() - begun:.0f} s |")
            green += survived
    print("\n".join(lines))
    return int(green > 0)


if __name__ == "__main__":
    raise SystemExit(main())
