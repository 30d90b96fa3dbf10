from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energybench.errors import DiskFull, RecordError
from energybench.records.jsonl import JsonlWriter, iter_jsonl
from energybench.records.run_directory import RunDirectory, read_json, read_records, write_json_atomic
from energybench.records.run_record import RunRecord

MakeRecord = Callable[..., RunRecord]


def rows(path: Path) -> list[dict[str, object]]:
    return [row for _, row in iter_jsonl(path)]


@settings(deadline=None)  # each example syncs six lines
@given(cut=st.integers(min_value=0, max_value=10_000))
def test_a_cut_anywhere_loses_at_most_the_last_row(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "records.jsonl"
    with JsonlWriter(path) as writer:
        for i in range(5):
            writer.append({"i": i, "text": "é" * 20})
    whole = path.read_bytes()
    cut %= len(whole) + 1
    path.write_bytes(whole[:cut])
    survivors = [row["i"] for row in rows(path)]
    complete = whole[:cut].count(b"\n")
    assert survivors in (list(range(complete)), list(range(complete + 1)))
    with JsonlWriter(path) as writer:
        writer.append({"i": "next"})
    assert [row["i"] for row in rows(path)] == [*survivors, "next"]


@pytest.mark.parametrize("bad", [b'{"i": 1', b"[]", b"\xff\xfe", b'{"energy_j": NaN}', b'{"energy_j": Infinity}', b""])
def test_damage_inside_is_refused_with_its_line(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(b'{"i": 0}\n' + bad + b'\n{"i": 2}\n')
    with pytest.raises(RecordError, match=r"records.jsonl:2: "):
        rows(path)


def test_nan_in_the_last_line_is_no_torn_tail(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(b'{"i": 0}\n{"energy_j": NaN}')
    with pytest.raises(RecordError, match="records.jsonl:2.*NaN"):
        rows(path)


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="does not exist; give the path"):
        rows(tmp_path / "none.jsonl")


def test_second_writer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with JsonlWriter(path), pytest.raises(RecordError, match="being written by another process"):
        JsonlWriter(path)
    JsonlWriter(path).close()


def test_a_lock_that_is_let_go_soon_is_waited_for(tmp_path: Path) -> None:
    """A killed writer's child holds it between fork and exec."""
    path = tmp_path / "records.jsonl"
    first = JsonlWriter(path)
    timer = threading.Timer(0.2, first.close)
    timer.start()
    with JsonlWriter(path) as second:
        second.append({"i": 0})
    timer.join()
    assert [row for _, row in iter_jsonl(path)] == [{"i": 0}]


def test_nan_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with JsonlWriter(path) as writer, pytest.raises(RecordError, match="not finite"):
        writer.append({"energy_j": float("nan")})
    assert path.read_bytes() == b""


def test_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with JsonlWriter(tmp_path / "records.jsonl") as writer:
        monkeypatch.setattr(os, "write", no_space)
        with pytest.raises(RecordError, match="No space left on device.*--resume"):
            writer.append({"i": 0})


def test_every_row_is_synced_before_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    path = tmp_path / "records.jsonl"
    real = os.fsync
    with JsonlWriter(path) as writer:

        def fsync(fd: int) -> None:
            synced.append(path.stat().st_size)
            real(fd)

        monkeypatch.setattr(os, "fsync", fsync)
        writer.append({"i": 0})
    assert synced == [len('{"i":0}\n')]


def test_duplicate_rows_are_refused(tmp_path: Path, make_record: MakeRecord) -> None:
    run = RunDirectory(tmp_path)
    with JsonlWriter(run.records_path) as writer:
        writer.append(make_record().to_dict())
        writer.append(make_record(run_id="r2").to_dict())
        writer.append(make_record(energy_j=2e-6).to_dict())
    with pytest.raises(RecordError, match="records.jsonl:3: row w0-0 repeats line 1"):
        read_records(run.records_path)


def test_bad_record_names_file_and_line(tmp_path: Path, make_record: MakeRecord) -> None:
    path = tmp_path / "records.jsonl"
    with JsonlWriter(path) as writer:
        writer.append(make_record().to_dict())
        writer.append({**make_record(row_id="w1").to_dict(), "energy_j": -1.0})
    with pytest.raises(RecordError, match=r"records.jsonl:2: energy_j=-1.0 is negative"):
        read_records(path)


def test_json_files_are_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "profile.json"
    write_json_atomic(path, {"a": 1})
    with pytest.raises(RecordError, match="not finite"):
        write_json_atomic(path, {"a": float("inf")})
    assert read_json(path) == {"a": 1}

    def die(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(RecordError, match="No space left"):
        write_json_atomic(path, {"a": 2})
    assert read_json(path) == {"a": 1}


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"a": NaN}'])
def test_damaged_json_file_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match="run.json"):
        read_json(path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_quota_is_as_good_as_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def no_space(fd: int, data: bytes) -> int:
        raise OSError(code, os.strerror(code))

    with JsonlWriter(tmp_path / "records.jsonl") as writer:
        monkeypatch.setattr(os, "write", no_space)
        with pytest.raises(DiskFull):
            writer.append({"i": 0})
        monkeypatch.setattr(os, "write", lambda fd, data: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
        with pytest.raises(RecordError, match="I/O error") as caught:
            writer.append({"i": 0})
        assert not isinstance(caught.value, DiskFull)


def test_room_is_asked_for_before_a_line_is_written(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    asked = []

    def require(size: int) -> None:
        asked.append(size)
        if size > 30:
            raise DiskFull("no room")

    with JsonlWriter(path, require_room=require) as writer:
        writer.append({"i": 0})
        with pytest.raises(DiskFull):
            writer.append({"i": "x" * 40})
    assert asked == [len(b'{"i":0}\n'), len(b'{"i":"') + 40 + len(b'"}\n')]
    assert path.read_bytes() == b'{"i":0}\n'


def test_a_full_disk_is_an_error_with_its_remedy() -> None:
    """The kernel's own full device: every write ends with ENOSPC."""
    with (
        JsonlWriter(Path("/dev/full")) as writer,
        pytest.raises(RecordError, match="No space left on device.*free some space and --resume"),
    ):
        writer.append({"a": 1})


def test_a_line_that_the_disk_took_in_part_is_cut_off(tmp_path: Path) -> None:
    """A file size limit stops the write in the middle of the third line; the file then ends with the second."""
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from energybench.errors import RecordError; from energybench.records.jsonl import JsonlWriter\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (250, 250))\n"
        "with JsonlWriter(Path(sys.argv[1])) as writer:\n"
        "    for i in range(3):\n"
        "        try: writer.append({'i': i, 'text': 'x' * 80})\n"
        "        except RecordError as error: print(error)\n"
    )
    path = tmp_path / "records.jsonl"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "refused a row" in done.stdout
    assert path.read_bytes().count(b"\n") == 2
    assert path.read_bytes().endswith(b"\n")
    assert [row["i"] for _, row in iter_jsonl(path)] == [0, 1]


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """``/proc`` takes no new directory, from root neither; a file stands where another directory should be."""
    (tmp_path / "file").touch()
    for path in (Path("/proc/energybench"), tmp_path / "file" / "run"):
        with pytest.raises(RecordError, match="cannot be created.*choose another --out"):
            RunDirectory(path).create()
    with pytest.raises(RecordError, match="cannot be written.*choose another --out"):
        JsonlWriter(Path("/proc/energybench.jsonl"))
