"""What a calibration runs: native kernels, the vendor's library, probes, idle rows and held-out networks."""

from __future__ import annotations

from energybench.workloads.designs import DESIGN_NAMES, Design, named_design
from energybench.workloads.workload import INPUT_DISTRIBUTION, Runnable, Tally, Workload

__all__ = ["DESIGN_NAMES", "INPUT_DISTRIBUTION", "Design", "Runnable", "Tally", "Workload", "named_design"]
