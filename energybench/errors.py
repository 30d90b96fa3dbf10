"""What can go wrong, as one tree: every message is one line that says what happened and ends with the fix.

``exit_code`` is what the command line returns for the error, as the design documents it: 2 usage, 3 no usable meter or
permission, 4 data refused, 1 anything else.
"""

from __future__ import annotations

from typing import ClassVar


class EnergybenchError(Exception):
    """Any error energybench raises on purpose."""

    exit_code: ClassVar[int] = 1


class UsageError(EnergybenchError, ValueError):
    """An argument that cannot work: unknown TARGET, bad shape, bad option."""

    exit_code = 2


class MeterUnavailable(EnergybenchError):
    """A meter that was asked for is absent on this machine."""

    exit_code = 3


class MeterPermissionError(MeterUnavailable):
    """A meter is there but may not be read by this user."""


class CounterWrapAmbiguous(EnergybenchError):
    """More than one wrap of an energy counter may have happened between two readings."""

    exit_code = 4


class ThrottledError(EnergybenchError):
    """Too many windows were invalidated by thermal or hardware slowdown, or by other load."""

    exit_code = 4


class RecordError(EnergybenchError):
    """A records file that is absent, corrupt, incompatible or holds numbers that cannot be."""

    exit_code = 4


class DiskFull(RecordError):
    """No room for a row: the disk is full, or the run has reached its own cap."""


class ProfileError(EnergybenchError):
    """A device profile that is absent, corrupt or of an unknown version."""

    exit_code = 4


class ProfileMismatch(ProfileError):
    """A profile applied to a device, dtype, meter kind or traffic basis that it was not fitted for."""


class FitError(EnergybenchError):
    """Records from which the asked equation cannot be fitted."""

    exit_code = 4


class CountingError(EnergybenchError):
    """Work that could not be counted."""

    exit_code = 1


class NativeModuleError(EnergybenchError):
    """The compiled kernels are missing or cannot run here."""

    exit_code = 1
