from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from energybench.errors import DiskFull
from energybench.records.disk_room import CLOSING_BYTES, DiskRoom
from energybench.records.jsonl import JsonlWriter, iter_jsonl


def test_the_cap_counts_what_lies_there_and_keeps_room_for_the_small_files(tmp_path: Path) -> None:
    files = (tmp_path / "a", tmp_path / "b")
    room = DiskRoom(files, max_bytes=CLOSING_BYTES + 1000)
    room.require(1000)
    files[1].write_bytes(b"x" * 400)
    assert room.used_bytes() == 400
    room.require(600)
    with pytest.raises(DiskFull, match=r"holds 0\.00 MB .* cap of 0\.07 MB; raise --max-disk-mb and --resume"):
        room.require(601)


def test_a_file_system_without_room_is_refused_before_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=20, f_frsize=4096))
    room = DiskRoom((tmp_path / "a",))
    room.require(20 * 4096 - CLOSING_BYTES)
    with pytest.raises(DiskFull, match=r"has 0\.08 MB free .*; free some space and --resume"):
        room.require(20 * 4096 - CLOSING_BYTES + 1)


def test_a_row_without_room_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    room = DiskRoom((path,), max_bytes=CLOSING_BYTES + 20)
    with JsonlWriter(path, require_room=room.require) as writer:
        writer.append({"i": 0})
        writer.append({"i": 1})
        with pytest.raises(DiskFull):
            writer.append({"i": 2})
    assert [row["i"] for _, row in iter_jsonl(path)] == [0, 1]
