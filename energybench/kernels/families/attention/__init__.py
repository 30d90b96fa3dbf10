"""The core of multi-head attention, its gradients, and its online form."""

from energybench.kernels.families.attention.launch import (
    ATTENTION,
    ATTENTION_BACKWARD,
    ONLINE_ATTENTION,
    attention,
    attention_backward,
    online_attention,
)
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (ATTENTION, ATTENTION_BACKWARD, ONLINE_ATTENTION)

__all__ = ["OPERATORS", "attention", "attention_backward", "online_attention"]
