"""The native module of a copied tree, of which some translation units are compiled anew with a bug in them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: What a planted unit is compiled with instead of -O3: a bug shows as well, and sooner.
_QUICK = "-O1"


class PlantedModule:
    """``energybench._cpu`` of a tree; the package's own stays as it is."""

    def __init__(self, tree: Path) -> None:
        """Build the sound module, from what the package's own build left where it left something."""
        for name in ("csrc", "setup.py"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            copy(ROOT / name, tree / name)
        for built in (ROOT / "build").glob("temp.*"):
            shutil.copytree(built, tree / "build" / built.name)
        environment = {**os.environ, "ENERGYBENCH_CUDA": "off"}
        command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
        subprocess.run(command, cwd=tree, env=environment, check=True, capture_output=True)
        self._tree = tree
        (self._objects,) = (tree / "build").glob("temp.*")
        (self._module,) = (tree / "energybench").glob("_cpu.*.so")
        self._sound = self._module.read_bytes()

    def plant(self, units: list[str]) -> list[str]:
        """Compile `units` (RUNG/FILE) of the tree as it is now, plain and counting, and link them with all others.

        Returns the rungs that have the bug.
        """
        replaced: dict[Path, Path] = {}
        for unit in units:
            rung, name = unit.split("/")
            folder = "naive" if rung == "naive" else "tuned"
            for suffix in ("", "_counting"):
                sound = self._objects / f"csrc_cpu_{folder}_{name}.cpp.{rung}{suffix}.o"
                replaced[sound] = sound.with_suffix(".planted")
                command = shlex.split(sound.with_suffix(".cmd").read_text(encoding="utf-8"))
                command[command.index("-o") + 1] = str(replaced[sound].relative_to(self._tree))
                subprocess.run([*command, _QUICK, "-w"], cwd=self._tree, check=True)
        link = shlex.split((self._objects / "energybench._cpu.link").read_text(encoding="utf-8"))
        changed = {str(sound.relative_to(self._tree)): str(bug) for sound, bug in replaced.items()}
        fresh = self._module.with_suffix(".new")
        link[link.index("-o") + 1] = str(fresh)
        subprocess.run([changed.get(word, word) for word in link], cwd=self._tree, check=True)
        fresh.replace(self._module)
        return sorted({unit.split("/")[0] for unit in units})

    def mend(self) -> None:
        """The sound module again."""
        self._module.write_bytes(self._sound)
