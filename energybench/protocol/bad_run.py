"""When a run has so many invalid windows that going on makes no sense."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Final

from energybench.errors import ThrottledError
from energybench.records.run_record import RunRecord

#: A run is refused when more than this share of its windows is invalid, judged from this many windows on.
MAX_INVALID_SHARE: Final = 0.5
JUDGED_FROM: Final = 12
#: What to do about the commonest cause of invalid windows.
_REMEDY_BUSY: Final = "free the machine of other work, let it cool, and --resume"
_REMEDY: Final = {
    "counter and power disagree": "see `energybench doctor --meter`, update the driver, or measure with another --meter"
}


def refuse_bad_run(records: Collection[RunRecord]) -> None:
    """Raise ThrottledError, with the commonest cause and its remedy, when more than half of the windows are invalid."""
    invalid = [record.invalid_reason or "" for record in records if not record.valid]
    if len(records) < JUDGED_FROM or len(invalid) <= MAX_INVALID_SHARE * len(records):
        return
    causes = Counter(part.partition(":")[0] for reason in invalid for part in reason.split("; "))
    cause, count = causes.most_common(1)[0]
    raise ThrottledError(
        f"{len(invalid)} of {len(records)} windows are invalid, {count} of them for {cause}; "
        f"{_REMEDY.get(cause, _REMEDY_BUSY)}"
    )
