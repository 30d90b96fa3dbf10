"""`doctor --bench`: whether the machine is set for measuring, and the commands that set it and set it back.

What each setting does to a measurement: a governor that follows load changes the clock inside a window; turbo makes the
clock depend on temperature and on the other cores; with SMT two threads share one core's units; other load adds its own
joules; a power limit below the default caps the clock; transparent huge pages that come and go change the misses of a
stream. Nothing is changed without `apply_fixes`, which writes down first how to undo it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from energybench.errors import MeterPermissionError, RecordError, UsageError
from energybench.records.run_directory import read_json, write_json_atomic

#: Share of the cores that other work may keep busy, as the validity check of CPU windows has it.
MAX_LOAD_SHARE: Final = 0.1
RESTORE_VERSION: Final = 1
_CPU: Final = "devices/system/cpu"
_THP: Final = "kernel/mm/transparent_hugepage/enabled"


@dataclass(frozen=True, slots=True)
class Setting:
    """One condition of the bench.

    `observed`  what is; `limit` what it should be
    `is_ok`     None where it cannot be read here
    `command`   sets it, `restore` sets it back; empty where there is nothing to set
    `files`     what `command` writes: path below the root of ``/sys`` → (value now, value wanted)
    """

    name: str
    observed: str
    limit: str
    is_ok: bool | None
    command: str = ""
    restore: str = ""
    files: tuple[tuple[str, str, str], ...] = ()


def examine_bench(sys_root: Path = Path("/sys"), proc_root: Path = Path("/proc")) -> tuple[Setting, ...]:
    """Look at every setting; reads only."""
    return (
        _governor(sys_root),
        _turbo(sys_root),
        _one_file(sys_root, "SMT", f"{_CPU}/smt/control", ("off", "forceoff", "notsupported", "notimplemented"), "off"),
        _load(proc_root),
        *_power_limits(sys_root),
        _huge_pages(sys_root),
    )


def apply_fixes(settings: Sequence[Setting], restore_file: Path, sys_root: Path = Path("/sys")) -> int:
    """Write what is not as it should be, after `restore_file` says how it was; returns how many files changed.

    Raises:
        UsageError: `restore_file` exists: it holds the way back from an earlier change.
        MeterPermissionError: a setting cannot be written; those already written are put back.
    """
    changes = [file for s in settings if s.is_ok is False for file in s.files]
    if not changes:
        return 0
    if restore_file.exists():
        raise UsageError(f"{restore_file} holds an earlier state; restore it first: energybench doctor --bench-restore")
    write_json_atomic(restore_file, {"version": RESTORE_VERSION, "files": {path: was for path, was, _ in changes}})
    done: list[tuple[str, str]] = []
    for path, was, wanted in changes:
        try:
            (sys_root / path).write_text(wanted, encoding="ascii")
        except OSError as error:
            for earlier, value in reversed(done):
                (sys_root / earlier).write_text(value, encoding="ascii")
            restore_file.unlink()
            raise MeterPermissionError(
                f"{sys_root / path} cannot be set ({error.strerror}); run the command with sudo, nothing was changed"
            ) from None
        done.append((path, was))
    return len(done)


def restore(restore_file: Path, sys_root: Path = Path("/sys")) -> int:
    """Put back what `apply_fixes` changed and remove the file; returns how many files were written.

    Raises RecordError (absent, damaged, or naming a file that no setting of ours writes) or MeterPermissionError.
    """
    data = read_json(restore_file)
    files = data.get("files")
    if data.get("version") != RESTORE_VERSION or not isinstance(files, dict):
        raise RecordError(f"{restore_file} is no state that doctor --apply wrote; give that file")
    for path, value in files.items():
        if not _OURS.fullmatch(path) or not isinstance(value, str):
            raise RecordError(f"{restore_file} names {path!r}, which is no bench setting; nothing was restored")
    for path, value in files.items():
        try:
            (sys_root / path).write_text(value, encoding="ascii")
        except OSError as error:
            raise MeterPermissionError(
                f"{sys_root / path} cannot be set ({error.strerror}); run the command with sudo"
            ) from None
    restore_file.unlink()
    return len(files)


#: The only files that are ever written.
_OURS: Final = re.compile(
    r"devices/system/cpu/(cpu\d+/cpufreq/scaling_governor|intel_pstate/no_turbo|cpufreq/boost|smt/control)"
    r"|kernel/mm/transparent_hugepage/enabled"
)


def to_json(settings: Sequence[Setting]) -> dict[str, Any]:
    """A JSON-ready mapping."""
    keep = ("name", "observed", "limit", "is_ok", "command", "restore")
    return {"is_ok": all(s.is_ok is not False for s in settings), "settings": [_pick(s, keep) for s in settings]}


def _pick(setting: Setting, names: Sequence[str]) -> dict[str, Any]:
    data = json.loads(json.dumps(asdict(setting)))
    return {name: data[name] for name in names}


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _tee(path: str, value: str) -> str:
    return f"echo {value} | sudo tee /sys/{path}"


def _one_file(root: Path, name: str, path: str, good: Sequence[str], wanted: str, shown: str | None = None) -> Setting:
    value = _read(root / path)
    limit = shown or wanted
    if value is None:
        return Setting(name, "cannot be read here", limit, None)
    if value in good:
        return Setting(name, value, limit, True)
    return Setting(name, value, limit, False, _tee(path, wanted), _tee(path, value), ((path, value, wanted),))


def _governor(root: Path) -> Setting:
    name, limit = "governor", "performance on every core"
    paths = sorted((root / _CPU).glob("cpu[0-9]*/cpufreq/scaling_governor"))
    found = [(str(p.relative_to(root)), value) for p in paths if (value := _read(p)) is not None]
    if not found:
        return Setting(name, "cannot be read here", limit, None)
    observed = ", ".join(sorted({value for _, value in found}))
    wrong = tuple((path, value, "performance") for path, value in found if value != "performance")
    if not wrong:
        return Setting(name, observed, limit, True)
    every = f"{_CPU}/cpu*/cpufreq/scaling_governor"
    return Setting(name, observed, limit, False, _tee(every, "performance"), _tee(every, wrong[0][1]), wrong)


def _turbo(root: Path) -> Setting:
    intel = f"{_CPU}/intel_pstate/no_turbo"
    if _read(root / intel) is not None:
        return _one_file(root, "turbo", intel, ("1",), "1", "off (no_turbo 1)")
    return _one_file(root, "turbo", f"{_CPU}/cpufreq/boost", ("0",), "0", "off (boost 0)")


def _load(root: Path) -> Setting:
    cores = os.cpu_count() or 1
    text = _read(root / "loadavg")
    limit = f"at most {max(0.1, MAX_LOAD_SHARE * cores):.1f} on {cores} cores"
    try:
        load = float((text or "").split()[0])
    except (IndexError, ValueError):
        return Setting("other load", "cannot be read here", limit, None)
    is_ok = load <= max(0.1, MAX_LOAD_SHARE * cores)
    return Setting(
        "other load", f"load average {load:.2f}", limit, is_ok, "" if is_ok else "stop other work: top -o %CPU"
    )


def _power_limits(root: Path) -> list[Setting]:
    """Long-term limits of the CPU packages; below the part's own maximum they cap the clock. Never changed by us."""
    found = []
    for zone in sorted(root.glob("class/powercap/intel-rapl:[0-9]*")):
        limit_uw = _read(zone / "constraint_0_power_limit_uw")
        maximum_uw = _read(zone / "constraint_0_max_power_uw")
        if limit_uw is None or not limit_uw.isdecimal():
            continue
        observed = f"{int(limit_uw) / 1e6:g} W"
        known = maximum_uw is not None and maximum_uw.isdecimal() and int(maximum_uw) > 0
        if not known or maximum_uw is None:
            found.append(Setting(f"power limit {zone.name}", observed, "the part's maximum, not stated here", None))
            continue
        path = str(zone.relative_to(root) / "constraint_0_power_limit_uw")
        is_ok = int(limit_uw) >= int(maximum_uw)
        found.append(
            Setting(
                f"power limit {zone.name}",
                observed,
                f"at least {int(maximum_uw) / 1e6:g} W",
                is_ok,
                "" if is_ok else _tee(path, maximum_uw),
                "" if is_ok else _tee(path, limit_uw),
            )
        )
    return found or [Setting("power limit", "cannot be read here", "the part's maximum", None)]


def _huge_pages(root: Path) -> Setting:
    text = _read(root / _THP)
    chosen = re.search(r"\[(\w+)\]", text or "")
    name, limit = "huge pages", "always or never, not by request"
    if chosen is None:
        return Setting(name, "cannot be read here", limit, None)
    value = chosen[1]
    if value in ("always", "never"):
        return Setting(name, value, limit, True)
    return Setting(name, value, limit, False, _tee(_THP, "always"), _tee(_THP, value), ((_THP, value, "always"),))
