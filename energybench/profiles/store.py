"""Where profiles lie and how they are written: whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final, NoReturn

from energybench.errors import ProfileError
from energybench.records.atomic_file import write_text_atomic

SUFFIX: Final = ".json"
_PACKAGE_DATA: Final = Path(__file__).parent / "data"


def user_profile_directory() -> Path:
    """``$ENERGYBENCH_HOME/profiles``, else ``~/.local/share/energybench/profiles``."""
    home = os.environ.get("ENERGYBENCH_HOME")
    return Path(home) / "profiles" if home else Path.home() / ".local" / "share" / "energybench" / "profiles"


def profile_directories() -> tuple[Path, ...]:
    """Directories that a name is searched in, first hit wins: those shipped with the package, then the user's."""
    return (_PACKAGE_DATA, user_profile_directory())


def find_profile(path_or_name: Path | str) -> Path:
    """The file of a path or a name. Raises ProfileError, naming what there is."""
    path = Path(path_or_name)
    looks_like_path = isinstance(path_or_name, Path) or path.suffix == SUFFIX or len(path.parts) > 1
    if path.is_file():
        return path
    if not looks_like_path:
        for directory in profile_directories():
            candidate = directory / (path.name + SUFFIX)
            if candidate.is_file():
                return candidate
    if path.is_dir():
        raise ProfileError(f"{path} is a directory; give the profile's .json file")
    names = sorted({p.stem for d in profile_directories() if d.is_dir() for p in d.glob("*" + SUFFIX)})
    known = f"known names: {', '.join(names)}" if names else "no profile is installed"
    raise ProfileError(
        f"there is no profile {str(path_or_name)!r} ({known}); make one with `energybench calibrate` and give its path"
    )


def read_json(path: Path) -> Any:
    """Parse a profile's file. Raises ProfileError where it is no JSON or holds NaN."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ProfileError(f"{path} cannot be read ({reason}); restore the file or calibrate again") from error
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ProfileError(f"{path} is nested too deeply to be a profile; restore it or calibrate again") from error
    except ValueError as error:
        raise ProfileError(f"{path} is damaged ({error}); restore the file or calibrate again") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}")


def write_json(path: Path, data: Any) -> None:
    """Write through a temporary file beside it: a reader sees the old profile or the new one. Raises ProfileError."""
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        write_text_atomic(path, text)
    except OSError as error:
        raise ProfileError(f"{path} cannot be written ({error.strerror}); choose another --out") from error
