"""Whether a path is the kernel's own sysfs: what tells a real counter from a file tree that looks like one."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

#: SYSFS_MAGIC of linux/magic.h: the `f_type` that statfs gives for sysfs.
_SYSFS_MAGIC: Final = 0x62656572


def is_real_sysfs(path: Path | str) -> bool:
    """True where `path` lies under /sys and on a sysfs file system.

    A tree mounted over /sys, a copy elsewhere, or a system without statfs is not.
    """
    real = os.path.realpath(path)
    if real != "/sys" and not real.startswith("/sys/"):
        return False
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        # struct statfs begins with f_type, one long on every Linux architecture we build for; 512 bytes hold it all.
        buffer = ctypes.create_string_buffer(512)
        if libc.statfs(os.fsencode(real), buffer) != 0:
            return False
    except (OSError, AttributeError):
        return False
    return (ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF) == _SYSFS_MAGIC
