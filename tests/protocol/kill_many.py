"""``make kill-test``: kill a running calibration at many random instants; each must go on to the same final table.

Usage: python tests/protocol/kill_many.py POINTS [FIRST_SEED]. Each point is a SIGKILL of a real process at a random
instant of its run in virtual time. A run is killed up to 15 times before it may end, so that runs that go on are
killed too; then its table is compared with that of a run that nobody killed.
"""

from __future__ import annotations

import importlib.util
import random
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main(points: int, first_seed: int = 0) -> None:
    victim = load("test_kill")
    scenario_text = victim.quiet_scenario(load("conftest").SCENARIO)
    with tempfile.TemporaryDirectory() as folder:
        scenario = Path(folder) / "planted.toml"
        scenario.write_text(scenario_text)
        begun_s = time.monotonic()
        assert not victim.was_killed(victim.child(scenario, Path(folder) / "whole"))
        run_s = time.monotonic() - begun_s
        whole = victim.records_of(Path(folder) / "whole")
        kills = runs = 0
        while kills < points:
            draw = random.Random(f"kill/{first_seed + runs}")
            out = Path(folder) / str(runs)
            kills += victim.kill_often(scenario, out, whole, draw, run_s=run_s, most=points - kills)
            runs += 1
            assert runs < 2 * points + 10, "most runs ended before they were killed"
    print(f"{kills} kills in {runs} runs, all went on to the same table of {len(whole)} rows")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
