"""JSON Lines that survive a crash: appended and synced line by line, a torn tail recovered, anything else refused."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn

from energybench.errors import RecordError
from energybench.records.atomic_file import sync_directory


def _refuse_constant(token: str) -> NoReturn:
    raise ValueError(f"{token} is no measurement")


#: One decoder for every line: making one costs as much as parsing a short line.
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)


def loads_strict(text: str | bytes) -> Any:
    """`json.loads` without NaN and Infinity, which JSON does not have. Raises ValueError."""
    return _DECODER.decode(text if isinstance(text, str) else text.decode())


def _split_tail(data: bytes) -> tuple[bytes, bytes]:
    """Whole lines, and what stands after the last newline."""
    cut = data.rfind(b"\n") + 1
    return data[:cut], data[cut:]


def iter_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of every line.

    A last line that was cut short by a crash (no newline, no valid JSON) is left out. Any other line that is no JSON
    object raises RecordError with its number.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise RecordError(f"{path} does not exist; give the path of a run or of its records.jsonl") from None
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}); check the path and its permissions") from error
    body, tail = _split_tail(data)
    for number, line in enumerate(body.splitlines(), start=1):
        try:
            row = loads_strict(line)
        except ValueError as error:
            raise RecordError(f"{path}:{number}: {_reason(error)}; the file is damaged, restore this line") from None
        if not isinstance(row, dict):
            raise RecordError(f"{path}:{number}: no JSON object; the file is damaged, restore this line")
        yield number, row
    if tail:
        try:
            row = loads_strict(tail)
        except ValueError as error:
            if "no measurement" in str(error):
                number = body.count(b"\n") + 1
                raise RecordError(f"{path}:{number}: {error}; measurements with NaN are refused") from None
            return  # the line in flight when the writer was killed
        if isinstance(row, dict):
            yield body.count(b"\n") + 1, row


def _reason(error: ValueError) -> str:
    return str(error) if "no measurement" in str(error) else f"not valid JSON ({str(error)[:80]})"


class JsonlWriter:
    """Appends one object a line, each synced to disk before `append` returns; one writer a file.

    Raises RecordError when another process writes the file, or when the disk refuses it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise RecordError(f"{path} cannot be written ({error.strerror}); choose another --out") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise RecordError(
                f"{path} is being written by another process; wait for it or choose another --out"
            ) from None
        self._recover_tail()
        sync_directory(path.parent)

    def _recover_tail(self) -> None:
        """Cut off a line that a crash left torn, and end a whole one, so that the next line starts on its own."""
        size = os.fstat(self._fd).st_size
        data = os.pread(self._fd, size, 0)
        body, tail = _split_tail(data)
        if not tail:
            return
        try:
            loads_strict(tail)
        except ValueError:
            os.ftruncate(self._fd, len(body))
        else:
            os.write(self._fd, b"\n")
        os.fsync(self._fd)

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one line and sync it. Raises RecordError when the disk is full or the row holds NaN.

        A line that the disk took in part only is cut off again.
        """
        try:
            line = json.dumps(row, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        except ValueError as error:
            raise RecordError(f"row holds a number that is not finite ({error}); it was not written") from error
        size = os.fstat(self._fd).st_size
        try:
            written = os.write(self._fd, line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._fd)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, size)
            raise RecordError(f"{self.path} refused a row ({error.strerror}); free some space and --resume") from error

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
