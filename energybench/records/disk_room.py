"""`DiskRoom`: what a run may still write, by its own cap and by what its file system has free."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from energybench.errors import DiskFull
from energybench.units import BYTES_PER_MB

#: Cap on the files that a run writes, unless another is asked for. A row takes 1.6 kB under one domain and 4 kB under
#: nine, so that `thorough` at its most windows (1,778) takes 3 to 7 MB.
MAX_RUN_MB: Final = 64
#: What one row may add: its record, its readings and those of the idle window beside it.
ROW_BYTES: Final = 16 * 1024
#: Kept beyond the rows for the small files of the run, which are written beside themselves and then moved into place.
CLOSING_BYTES: Final = 64 * 1024


class DiskRoom:
    """Refuses what would take a run's files over their cap, or the file system over its end, before it is written.

    Args:
        files: The files of the run, which need not exist yet; they lie in one directory.
        max_bytes: Cap on them all together.
    """

    def __init__(self, files: Sequence[Path], *, max_bytes: int = MAX_RUN_MB * BYTES_PER_MB) -> None:
        self._files, self._max_bytes = tuple(files), max_bytes

    def used_bytes(self) -> int:
        """What the files hold."""
        return sum(path.stat().st_size for path in self._files if path.exists())

    def require(self, wanted_bytes: int) -> None:
        """Raise DiskFull unless so many bytes may be written, and the small files after them."""
        needed_bytes = wanted_bytes + CLOSING_BYTES
        used_bytes = self.used_bytes()
        if used_bytes + needed_bytes > self._max_bytes:
            raise DiskFull(
                f"the run holds {_mb(used_bytes)} and needs {_mb(needed_bytes)} more, above its cap of "
                f"{_mb(self._max_bytes)}; raise --max-disk-mb and --resume"
            )
        folder = self._files[0].parent
        system = os.statvfs(folder)
        free_bytes = system.f_bavail * system.f_frsize
        if needed_bytes > free_bytes:
            raise DiskFull(
                f"{folder} has {_mb(free_bytes)} free and the run needs {_mb(needed_bytes)}; "
                "free some space and --resume, or choose another --out"
            )


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / BYTES_PER_MB:.2f} MB"
