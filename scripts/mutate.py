"""Plant each bug of ``tests/bugs/*.txt`` in a copy of the tree and expect its tests to fail (``make mutate``).

A bug is a block of lines, blocks apart by an empty line; ``#`` begins a comment:

    file: energybench/fitting/covariance.py
    test: tests/fitting/test_cluster_covariance.py
    old:  the text to replace, which must be there exactly once
    new:  what replaces it

A test that hangs under its bug is red by its own time limit (pytest-timeout, ``pyproject.toml``); where even that does
not end it, the bug counts as green. Prints a table of the lists at the end, and ends with status 1 where a bug stays
green, or where its text is not there any more.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_KEYS = ("file", "test", "old", "new")
#: Seconds after which the tests of one bug are stopped: twice what pytest gives a single test.
_LIMIT_S = 600.0


def read_bugs(path: Path) -> list[dict[str, str]]:
    """The blocks of one file. Raises ValueError on a block without its four keys."""
    bugs = []
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in block.splitlines() if line.strip() and not line.startswith("#")]
        if not lines:
            continue
        bug = {key: value[1:] for key, _, value in (line.partition(":") for line in lines)}
        if tuple(bug) != _KEYS:
            raise ValueError(f"{path}: a bug needs the lines {', '.join(_KEYS)} in this order, not {', '.join(bug)}")
        bugs.append({k: v.strip() if k in ("file", "test") else v.strip(" ") for k, v in bug.items()})
    return bugs


def is_red(tree: Path, bug: dict[str, str]) -> tuple[bool, str]:
    """Plant, test, mend. A test that cannot even be collected (status above 1) proves nothing."""
    target = tree / bug["file"]
    sound = target.read_text(encoding="utf-8")
    if sound.count(bug["old"]) != 1:
        return False, f"its text is there {sound.count(bug['old'])} times"
    target.write_text(sound.replace(bug["old"], bug["new"]), encoding="utf-8")
    try:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *bug["test"].split()]
        environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, check=False, timeout=_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return False, f"its tests did not end within {_LIMIT_S:.0f} s"
    finally:
        target.write_text(sound, encoding="utf-8")
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    return done.returncode == 1 and bool(failed), failed[0] if failed else f"pytest ended with {done.returncode}"


def main() -> int:
    """Run the bugs of the files given, of all of them by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bugs", nargs="*", type=Path, default=sorted((ROOT / "tests/bugs").glob("*.txt")))
    given = parser.parse_args()
    lines = ["| list | bugs | red | taken |", "|---|---|---|---|"]
    green = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in ("benchmarks", "energybench", "tests", "experiments"):
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        for path in given.bugs:
            begun, bugs, survived = time.monotonic(), read_bugs(path), 0
            for bug in bugs:
                red, why = is_red(tree, bug)
                survived += not red
                print(f"{'red  ' if red else 'GREEN'} {bug['file']}: {bug['old'][:60]!r} ({why})", flush=True)
            lines.append(f"| {path.stem} | {len(bugs)} | {len(bugs) - survived} | {time.monotonic() - begun:.0f} s |")
            green += survived
    print("\n".join(lines))
    return int(green > 0)


if __name__ == "__main__":
    raise SystemExit(main())
