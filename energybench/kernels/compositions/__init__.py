"""What networks are made of, as sequences of native operators: one module each."""

from energybench.kernels.compositions.attention_block import MULTI_HEAD_ATTENTION, multi_head_attention
from energybench.kernels.compositions.causal_conv import CAUSAL_CONV1D, causal_conv1d
from energybench.kernels.compositions.embedded_positions import EMBED_POSITIONS, embed_positions
from energybench.kernels.compositions.feed_forward import FEED_FORWARD, feed_forward
from energybench.kernels.compositions.inception import INCEPTION, inception
from energybench.kernels.compositions.padded_conv import PADDED_CONV2D, padded_conv2d
from energybench.kernels.compositions.separable_conv import SEPARABLE_CONV2D, separable_conv2d
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (
    PADDED_CONV2D,
    CAUSAL_CONV1D,
    SEPARABLE_CONV2D,
    INCEPTION,
    MULTI_HEAD_ATTENTION,
    FEED_FORWARD,
    EMBED_POSITIONS,
)

__all__ = [
    "OPERATORS",
    "causal_conv1d",
    "embed_positions",
    "feed_forward",
    "inception",
    "multi_head_attention",
    "padded_conv2d",
    "separable_conv2d",
]
