"""``measure -- CMD``: everything after the first ``--`` belongs to the wrapped command and is not parsed."""

from __future__ import annotations

from typing import Final

WRAPPING_COMMANDS: Final = frozenset({"measure", "watch"})


def split_wrapped(argv: list[str], commands: frozenset[str]) -> tuple[list[str], list[str] | None]:
    """Our own arguments, and the wrapped command; None where no ``--`` was given."""
    if "--" not in argv or not argv or argv[0] not in commands:
        return argv, None
    cut = argv.index("--")
    return argv[:cut], argv[cut + 1 :]
