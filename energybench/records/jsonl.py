"""JSON Lines that survive a crash: appended and synced line by line, a torn tail recovered, anything else refused."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn

from energybench.errors import DiskFull, RecordError
from energybench.records.atomic_file import sync_directory
from energybench.units import Second


def _refuse_constant(token: str) -> NoReturn:
    raise ValueError(f"{token} is no measurement")


#: One decoder for every line: making one costs as much as parsing a short line.
#: A lock is asked for this long before another process is taken to be writing.
_PATIENCE_S: Final[Second] = 1.0
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)


def loads_strict(text: str | bytes) -> Any:
    """`json.loads` without NaN and Infinity, which JSON does not have. Raises ValueError."""
    return _DECODER.decode(text if isinstance(text, str) else text.decode())


def iter_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of every line.

    One line stands in memory at a time. A last line that was cut short by a crash (no newline, no valid JSON) is left
    out. Any other line that is no JSON object raises RecordError with its number.
    """
    for number, line in enumerate(_iter_lines(path), start=1):
        is_whole = line.endswith(b"\n")
        try:
            row = loads_strict(line)
        except ValueError as error:
            if is_whole:
                raise RecordError(
                    f"{path}:{number}: {_reason(error)}; the file is damaged, restore this line"
                ) from None
            if "no measurement" in str(error):
                raise RecordError(f"{path}:{number}: {error}; measurements with NaN are refused") from None
            return  # the line in flight when the writer was killed
        if isinstance(row, dict):
            yield number, row
        elif is_whole:
            raise RecordError(f"{path}:{number}: no JSON object; the file is damaged, restore this line")


def _iter_lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        raise RecordError(f"{path} does not exist; give the path of a run or of its records.jsonl") from None
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}); check the path and its permissions") from error


def _reason(error: ValueError) -> str:
    return str(error) if "no measurement" in str(error) else f"not valid JSON ({str(error)[:80]})"


class JsonlWriter:
    """Appends one object a line, each synced to disk before `append` returns; one writer a file.

    Args:
        path: The file.
        require_room: Called with the bytes of a line before it is written; raises where there is no room for it.

    Raises RecordError when another process writes the file, or when the disk refuses it.
    """

    def __init__(self, path: Path, *, require_room: Callable[[int], None] | None = None) -> None:
        self.path = path
        self._require_room = require_room
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise RecordError(f"{path} cannot be written ({error.strerror}); choose another --out") from error
        if not self._locked():
            os.close(self._fd)
            raise RecordError(f"{path} is being written by another process; wait for it or choose another --out")
        self._recover_tail()
        sync_directory(path.parent)

    def _locked(self) -> bool:
        """Take the lock. A writer that was killed while it started another program may leave it held for a moment."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() >= deadline_s:
                    return False
                time.sleep(0.02)
            else:
                return True

    def _recover_tail(self) -> None:
        """Cut off a line that a crash left torn, and end a whole one, so that the next line starts on its own."""
        size = os.fstat(self._fd).st_size
        length = min(size, 4096)
        while b"\n" not in (tail := os.pread(self._fd, length, size - length)) and length < size:
            length = min(size, 2 * length)
        tail = tail[tail.rfind(b"\n") + 1 :]
        if not tail:
            return
        try:
            loads_strict(tail)
        except ValueError:
            os.ftruncate(self._fd, size - len(tail))
        else:
            os.write(self._fd, b"\n")
        os.fsync(self._fd)

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one line and sync it. Raises DiskFull when there is no room for it, RecordError when it holds NaN.

        A line that the disk took in part only is cut off again.
        """
        try:
            line = json.dumps(row, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        except ValueError as error:
            raise RecordError(f"row holds a number that is not finite ({error}); it was not written") from error
        if self._require_room is not None:
            self._require_room(len(line))
        size = os.fstat(self._fd).st_size
        try:
            written = os.write(self._fd, line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._fd)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, size)
            failure = DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else RecordError
            raise failure(f"{self.path} refused a row ({error.strerror}); free some space and --resume") from error

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> JsonlWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
