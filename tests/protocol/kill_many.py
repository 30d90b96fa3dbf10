"""``make kill-test``: kill a running calibration at many random moments; each must resume to the same final table.

Usage: python tests/protocol/kill_many.py POINTS [FIRST_SEED]. Each point is a forked process and a real SIGKILL, at a
random byte of ``records.jsonl`` or ``readings.jsonl``, or in the first milliseconds, before any file exists.
"""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
#: Shorter runs than the single tests have, so that a thousand take minutes.
REPEATS = 12
#: A row is longer in both files: a byte drawn below this many a row is reached before the run ends.
BYTES_A_ROW = 500


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def kill_once(victim: ModuleType, scenario: Path, out: Path, seed: int) -> int | None:
    """Start, kill, resume, compare. Returns how many records the killed run had; None where it ended before."""
    draw = random.Random(f"kill/{seed}")
    watched = out / draw.choice(["records.jsonl", "readings.jsonl"])
    at_bytes = 0 if draw.random() < 0.1 else draw.randrange(1, BYTES_A_ROW * 3 * REPEATS)
    pid = os.fork()
    if pid == 0:
        try:
            victim.run(str(scenario), str(out), resume=False, progress=victim.Slow(0.0005))
        finally:
            os._exit(0)
    deadline_s = time.monotonic() + 60
    while at_bytes and time.monotonic() < deadline_s:
        if watched.exists() and watched.stat().st_size >= at_bytes:
            break
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            break
        time.sleep(0.0002)
    time.sleep(draw.random() * (0.002 if at_bytes else 0.02))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        return None
    records: int = victim.resume_and_compare(scenario, out)
    return records


def main(points: int, first_seed: int = 0) -> None:
    victim = load("test_kill")
    victim.REPEATS = REPEATS  # type: ignore[attr-defined]
    scenario_text = load("conftest").SCENARIO
    had: list[int] = []
    seed = first_seed
    while len(had) < points:
        with tempfile.TemporaryDirectory() as folder:
            scenario = Path(folder) / "planted.toml"
            scenario.write_text(scenario_text)
            records = kill_once(victim, scenario, Path(folder) / "run", seed)
        if records is not None:
            had.append(records)
        seed += 1
        assert seed - first_seed < 2 * points + 10, "most runs ended before they were killed"
    print(f"{points} kills, all resumed to the same table; the killed runs had {min(had)} to {max(had)} records")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
