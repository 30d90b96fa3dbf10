"""`NumberFile`: a sysfs file that holds one whole number, kept open and read in place."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from energybench.errors import MeterPermissionError, MeterUnavailable


class NumberFile:
    """One number of a driver.

    Args:
        path: The file.
        remedy: What to do where it is gone or broken.

    Raises:
        MeterUnavailable, MeterPermissionError: it cannot be opened.
    """

    def __init__(self, path: Path, *, remedy: str) -> None:
        self.path = path
        self._remedy = remedy
        self._file = -1
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise self._error(error) from None

    def read(self) -> int:
        """The number now. Raises MeterUnavailable, MeterPermissionError."""
        if self._file < 0:
            raise MeterUnavailable(f"{self.path} was closed; open the meter again")
        try:
            return int(os.pread(self._file, 64, 0))
        except OSError as error:
            raise self._error(error) from None
        except ValueError:
            raise MeterUnavailable(f"{self.path} holds no whole number; {self._remedy}") from None

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def _error(self, error: OSError) -> MeterUnavailable:
        if error.errno in (errno.EACCES, errno.EPERM):
            return MeterPermissionError(
                f"{self.path} may not be read by this user; run `sudo chmod a+r {self.path}` (until reboot)"
            )
        what = "has vanished" if error.errno in (errno.ENOENT, errno.ENODEV) else f"fails ({error.strerror})"
        return MeterUnavailable(f"{self.path} {what}; {self._remedy}")
