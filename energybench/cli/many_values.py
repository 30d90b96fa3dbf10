"""``estimate A B --profile P1 P2 --batch 1 8 32``: several values after one option, as a person types a list.

The parser takes one value an option, so the list is spread over repetitions of the option before it parses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final


def _is_profile(text: str) -> bool:
    """A profile is a path or a name; a TARGET has a colon or ends in .pt2."""
    return ":" not in text and not text.endswith(".pt2")


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9]+", text) is not None


def _is_dtype(text: str) -> bool:
    return re.fullmatch(r"b?float[0-9]+", text) is not None


#: Command -> option -> whether a word can be one more value of it.
_MANY: Final[Mapping[str, Mapping[str, Callable[[str], bool]]]] = {
    "estimate": {
        "--profile": _is_profile,
        "-p": _is_profile,
        "--batch": _is_number,
        "--prompt-tokens": _is_number,
        "--dtype": _is_dtype,
    }
}


def spread_values(argv: Sequence[str]) -> list[str]:
    """`argv` with every list after such an option written as repetitions of it."""
    options = _MANY.get(argv[0] if argv else "", {})
    result: list[str] = []
    current: str | None = None  # the option whose list may go on
    awaits_value = False
    for word in argv:
        if awaits_value:
            awaits_value = False
        elif word.startswith("-"):
            current = word if word in options else None
            awaits_value = current is not None
        elif current is not None and options[current](word):
            result.append(current)
        else:
            current = None
        result.append(word)
    return result
