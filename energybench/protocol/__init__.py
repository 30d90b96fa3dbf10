"""The measurement protocol: what one measurement means, as small objects, and the runner that joins them."""

from __future__ import annotations

from energybench.protocol.executor import Executor, HostExecutor, VirtualExecutor
from energybench.protocol.manifest import Manifest
from energybench.protocol.progress import Progress, SilentProgress
from energybench.protocol.runner import run_design
from energybench.protocol.stopping import StoppingCriterion

__all__ = [
    "Executor",
    "HostExecutor",
    "Manifest",
    "Progress",
    "SilentProgress",
    "StoppingCriterion",
    "VirtualExecutor",
    "run_design",
]
