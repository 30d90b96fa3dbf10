"""Named designs: which workloads a calibration runs, how long its windows are and how often it repeats them.

A design must let the physical equation tell MACs, other operations, bytes, launches and time apart; a test computes the
variance inflation of its columns. So every design sweeps arithmetic intensity (K of a matrix product), working set
(streams from L1 to DRAM), operations outside MACs (pools at stride 1, softmax, GELU), launches (tiny operators) and
holds idle rows, beside the kernels and networks themselves. What else may vary (caches, threads, element type, layout,
rung, direction, optimiser) is swept by the larger designs (`energybench.workloads.sweeps`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from energybench.errors import UsageError
from energybench.units import Second
from energybench.workloads.awake import awake_workload
from energybench.workloads.idle import idle_workload
from energybench.workloads.native import (
    native_attention,
    native_conv2d,
    native_gru,
    native_probe_fma,
    native_probe_stream,
)
from energybench.workloads.network_rows import conv_net, gru_sequence_model, separable_conv_net, transformer_encoder
from energybench.workloads.sweeps import cpu_sweeps, gpu_sweeps, more_cpu_sweeps
from energybench.workloads.variants import on_cuda, optimizer_step
from energybench.workloads.vendor import (
    avg_pool,
    layer_norm,
    matmul,
    matvec,
    max_pool,
    softmax,
    stream_add,
    stream_copy,
    stream_exp,
    stream_gelu,
    vendor_attention,
    vendor_conv2d,
    vendor_gru,
    vendor_linear,
    vendor_projection,
)
from energybench.workloads.workload import Workload

DESIGN_NAMES: Final = ("quick", "standard", "thorough")

#: Idle rows per design. A call's time grows with its dominant count, so only rows without counts tell static power from
#: the rest: as many as keep the variance inflation of time below 10 on every machine that the test tries.
IDLE_ROWS: Final = {"quick": 5, "standard": 10, "thorough": 15}


@dataclass(frozen=True)
class Design:
    """A list of workloads with the effort to spend on each.

    `min_repeats`       windows of each workload at least
    `max_repeats`       and at most
    `target_rel_error`  repeats stop when the half-width of the 95 % interval of energy per call is below this share
    `window_s`          length of a window on a meter that needs no longer one
    `budget_s`          time the design is meant to take and its rows are planned for; None for as long as needed
    `anchors`           workloads that come `anchor_windows` times in every round, evenly spread: whatever drifts over a
                        run is seen in them
    """

    name: str
    workloads: tuple[Workload, ...]
    min_repeats: int
    max_repeats: int
    target_rel_error: float
    window_s: Second
    budget_s: Second | None = None
    anchors: tuple[str, ...] = ()
    anchor_windows: int = 1

    def __post_init__(self) -> None:
        names = [w.name for w in self.workloads]
        if len(set(names)) != len(names):
            twice = sorted({n for n in names if names.count(n) > 1})
            raise UsageError(f"design {self.name} holds {twice[0]} twice; give each workload its own name")
        if unknown := sorted(set(self.anchors) - set(names)):
            raise UsageError(f"design {self.name} has no workload {unknown[0]} to anchor it; add it")
        if self.anchor_windows < 1:
            raise UsageError(f"design {self.name}: anchor_windows={self.anchor_windows}; give 1 or more")
        if not 1 <= self.min_repeats <= self.max_repeats:
            raise UsageError(
                f"design {self.name}: repeats {self.min_repeats}…{self.max_repeats} make no range; mend it"
            )

    def windows_in_a_round(self, workload: Workload) -> int:
        """How often a workload comes in one round."""
        return self.anchor_windows if workload.name in self.anchors else 1

    @property
    def round_windows(self) -> int:
        """Windows of a whole round."""
        return sum(map(self.windows_in_a_round, self.workloads))


def named_design(name: str, device: str = "cpu") -> Design:
    """The design `name` for ``cpu`` or ``cuda:N``. Raises UsageError on an unknown name."""
    if name not in DESIGN_NAMES:
        raise UsageError(f"design {name!r} is unknown; use one of {', '.join(DESIGN_NAMES)}")
    on_gpu = device.startswith("cuda")
    workloads = [idle_workload(i) for i in range(IDLE_ROWS[name])]
    workloads += _gpu_quick() if on_gpu else _cpu_quick()
    if name != "quick":
        workloads += [*_gpu_more(), *gpu_sweeps()] if on_gpu else [*_cpu_more(), *cpu_sweeps()]
    if name == "thorough":
        workloads += _gpu_most() if on_gpu else [*_cpu_most(), *more_cpu_sweeps()]
    if on_gpu:
        workloads = [on_cuda(w) for w in workloads]
    if name == "quick":
        return Design(
            name, tuple(workloads), min_repeats=2, max_repeats=2, target_rel_error=0.05, window_s=0.3, budget_s=120.0
        )
    if name == "standard":
        return Design(
            name, tuple(workloads), min_repeats=3, max_repeats=5, target_rel_error=0.02, window_s=1.0, budget_s=600.0
        )
    return Design(name, tuple(workloads), min_repeats=5, max_repeats=12, target_rel_error=0.01, window_s=2.0)


def candidate_workloads(device: str = "cpu") -> tuple[Workload, ...]:
    """What an optimal design chooses from: the thorough design, and many more operators whose cost is their launch.

    Rows with cold caches or threads of their own are left out: they tell of something else than the coefficients.

    The joules of a launch are the hardest to see (a percent of a launch-bound call), and repeats of the few rows that
    show them share those rows' misfit: what narrows the coefficient is other operators of that kind.
    """
    tiny = [
        *(make(n) for n in (4, 8, 32, 64, 128, 512, 1024)
          for make in (stream_add, stream_copy, stream_exp, stream_gelu)),
        *(softmax(r, c) for r, c in ((1, 8), (4, 4), (8, 16))),
        *(layer_norm(r, c) for r, c in ((2, 8), (4, 16))),
        *(matmul(n, n, n) for n in (2, 4, 12)),
        *(matvec(n, n) for n in (8, 16)),
    ]  # fmt: skip
    known = [w for w in named_design("thorough", device).workloads if w.caches == "hot" and w.threads is None]
    names = {w.name for w in known}
    return (*known, *(w for w in tiny if w.name not in names))


def _cpu_quick() -> list[Workload]:
    return [
        native_conv2d(1, 16, 32, 16, 3, padding=1),
        native_conv2d(1, 3, 64, 32, 5, stride=2, padding=2),
        native_conv2d(1, 64, 16, 64, 1),
        native_conv2d(1, 64, 32, 64, 3, padding=1, groups=64),
        native_conv2d(1, 32, 28, 32, 3, stride=2, padding=1),
        native_gru(16, 1, 32, 64),
        native_gru(8, 4, 64, 64),
        native_gru(4, 16, 128, 128),
        native_attention(1, 4, 64, 32),
        native_attention(1, 4, 128, 64),
        native_attention(1, 2, 128, 32, causal=True),
        native_probe_fma(16, 20_000),
        native_probe_stream(2**20),
        *(matmul(256, 256, k) for k in (16, 64, 256, 1024, 2048)),
        matmul(1024, 1024, 16),
        matvec(1024, 1024),
        matvec(4096, 2048),
        vendor_conv2d(1, 32, 32, 32, 3, padding=1),
        vendor_conv2d(4, 64, 28, 64, 3, padding=1),
        vendor_conv2d(2, 96, 28, 96, 3, padding=1, groups=96),
        vendor_gru(16, 8, 64, 64),
        vendor_gru(32, 4, 128, 128),
        vendor_attention(1, 4, 128, 64),
        vendor_attention(2, 8, 256, 64),
        vendor_linear(64, 256, 1024),
        vendor_projection(256, 256, 768),
        stream_add(2**12),
        stream_add(2**16),
        stream_add(2**22),
        stream_copy(2**14),
        stream_copy(2**23),
        stream_exp(2**16),
        stream_gelu(2**18),
        softmax(512, 1024),
        layer_norm(512, 1024),
        max_pool(16, 64, 7),
        avg_pool(16, 64, 15),
        # operators whose cost is their launch: several kinds, since launch_j is the mean over them
        stream_add(16),
        stream_add(256),
        stream_copy(16),
        stream_exp(16),
        stream_gelu(16),
        softmax(2, 8),
        matmul(8, 8, 8),
        optimizer_step("sgd", 2**16),
        optimizer_step("adam", 2**16),
        conv_net(),
        separable_conv_net(),
        gru_sequence_model(),
        transformer_encoder(),
    ]


def _cpu_more() -> list[Workload]:
    return [
        native_probe_fma(64, 500),
        native_probe_stream(2**14),
        native_probe_stream(2**23),
        native_conv2d(2, 8, 24, 24, 3),
        native_conv2d(1, 24, 20, 48, 5, padding=2),
        native_conv2d(1, 32, 14, 128, 1),
        native_gru(32, 2, 16, 96),
        native_gru(2, 8, 256, 64),
        native_attention(2, 2, 96, 64),
        native_attention(1, 8, 48, 16, causal=True),
        *(matmul(512, 512, k) for k in (32, 128, 512, 2048)),
        matmul(2048, 2048, 16),
        matvec(512, 512),
        matvec(8192, 4096),
        vendor_conv2d(1, 128, 14, 256, 1),
        vendor_conv2d(8, 16, 56, 32, 3, stride=2, padding=1),
        vendor_gru(8, 32, 256, 256),
        vendor_attention(4, 8, 128, 32, causal=True),
        vendor_linear(256, 512, 512),
        vendor_projection(64, 512, 512),
        stream_add(2**19),
        stream_add(2**24),
        stream_copy(2**18),
        stream_exp(2**12),
        stream_exp(2**22),
        stream_gelu(2**22),
        softmax(64, 128),
        layer_norm(64, 256),
        max_pool(8, 128, 3),
        avg_pool(8, 96, 9),
        conv_net(4, 64),
        conv_net(2, 48, training=True),
        gru_sequence_model(16, 16),
        transformer_encoder(1, 192),
        transformer_encoder(1, 32, training=True),
    ]


def _cpu_most() -> list[Workload]:
    return [
        *(native_conv2d(1, c, 30, c, 3, padding=1) for c in (4, 8, 48)),
        *(native_gru(t, 4, 96, 96) for t in (1, 5, 24)),
        *(native_attention(1, 2, s, 48) for s in (33, 200)),
        *(matmul(384, 768, k) for k in (24, 96, 384, 1536)),
        *(stream_add(2**n) for n in (14, 18, 20)),
        *(stream_copy(2**n) for n in (10, 20, 24)),
        *(softmax(256, c) for c in (32, 512, 4096)),
        *(vendor_conv2d(2, c, 40, c, 3, padding=1) for c in (8, 24, 128)),
        separable_conv_net(4, 64),
        gru_sequence_model(8, 8, training=True),
    ]


_GPU_DTYPES: Final = ("float32", "float16", "bfloat16")


def _gpu_quick() -> list[Workload]:
    return [
        awake_workload(10**6),
        awake_workload(10**7),
        native_conv2d(8, 64, 56, 64, 3, padding=1),
        native_conv2d(16, 3, 112, 64, 7, stride=2, padding=3),
        native_conv2d(16, 128, 28, 128, 3, padding=1, groups=128),
        native_gru(16, 32, 128, 256),
        native_gru(4, 256, 256, 256),
        native_attention(4, 8, 256, 64),
        native_attention(2, 8, 512, 64, causal=True),
        *(matmul(4096, 4096, k) for k in (16, 128, 1024, 4096)),
        *(matmul(4096, 4096, k, dtype=d) for d in _GPU_DTYPES[1:] for k in (64, 512, 4096)),
        matvec(16384, 8192),
        vendor_conv2d(32, 64, 56, 64, 3, padding=1),
        vendor_conv2d(32, 256, 14, 512, 1),
        vendor_conv2d(32, 256, 28, 256, 3, padding=1, groups=256),
        vendor_gru(64, 64, 512, 512),
        vendor_gru(32, 256, 256, 1024),
        vendor_attention(8, 16, 1024, 64),
        vendor_attention(8, 16, 1024, 64, dtype="bfloat16"),
        vendor_linear(4096, 1024, 4096),
        vendor_projection(4096, 1024, 3072),
        stream_add(2**18),
        stream_add(2**22),
        stream_add(2**27),
        stream_copy(2**22),
        stream_copy(2**27),
        stream_exp(2**26),
        stream_gelu(2**26),
        softmax(16384, 1024),
        layer_norm(16384, 1024),
        max_pool(256, 112, 7),
        avg_pool(256, 112, 15),
        stream_add(16),
        stream_exp(16),
        matmul(8, 8, 8),
        optimizer_step("sgd", 2**22),
        optimizer_step("adam", 2**22),
        conv_net(128, 64),
        separable_conv_net(128, 96),
        gru_sequence_model(64, 128),
        transformer_encoder(64, 256),
    ]


def _gpu_more() -> list[Workload]:
    return [
        native_conv2d(8, 256, 14, 512, 1),
        native_gru(32, 64, 64, 512),
        native_attention(8, 8, 128, 128),
        *(matmul(8192, 8192, k, dtype=d) for d in _GPU_DTYPES for k in (32, 256, 2048)),
        matmul(16384, 16384, 16),
        matvec(32768, 8192),
        vendor_conv2d(64, 128, 28, 128, 3, padding=1, dtype="bfloat16"),
        vendor_conv2d(64, 64, 112, 128, 3, stride=2, padding=1),
        vendor_gru(16, 512, 1024, 1024),
        vendor_attention(4, 32, 2048, 128, causal=True, dtype="bfloat16"),
        vendor_linear(8192, 4096, 4096, dtype="bfloat16"),
        vendor_projection(8192, 4096, 4096, dtype="bfloat16"),
        stream_add(2**24),
        stream_copy(2**28),
        stream_exp(2**20),
        stream_gelu(2**22),
        softmax(1024, 32768),
        layer_norm(65536, 256),
        max_pool(128, 224, 3),
        avg_pool(128, 224, 9),
        conv_net(64, 64, training=True),
        separable_conv_net(64, 128),
        gru_sequence_model(128, 256),
        transformer_encoder(32, 512),
        transformer_encoder(32, 128, training=True),
    ]


def _gpu_most() -> list[Workload]:
    return [
        *(native_conv2d(4, c, 56, c, 3, padding=1) for c in (16, 32, 128)),
        *(native_gru(t, 64, 256, 256) for t in (1, 8, 48)),
        *(native_attention(2, 8, s, 64) for s in (65, 384, 768)),
        *(matmul(6144, 3072, k, dtype=d) for d in _GPU_DTYPES for k in (96, 768, 6144)),
        *(stream_add(2**n) for n in (20, 25, 28)),
        *(stream_copy(2**n) for n in (18, 25)),
        *(softmax(4096, c) for c in (64, 8192)),
        *(vendor_conv2d(16, c, 56, c, 3, padding=1) for c in (32, 96, 256)),
        gru_sequence_model(64, 64, training=True),
    ]
