"""One layer and direction of a GRU, LSTM or plain RNN over a whole sequence, as one operator.

Shapes: `rows` is T·B, or the sum of lengths of a packed batch; B sequences; input I, hidden H, projection P
(the recurrent size R is P where the layer projects its output, H elsewhere). The weights are read once per call: what
a persistent kernel does, and the least that any kernel can do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from energybench.counting.conventions import Ops, ops
from energybench.counting.cost import Cost

Cell: TypeAlias = Literal["gru", "lstm", "rnn_tanh", "rnn_relu"]

GATES: Final[dict[Cell, int]] = {"gru": 3, "lstm": 4, "rnn_tanh": 1, "rnn_relu": 1}

#: Values per step and hidden element kept for the backward pass beside the output: GRU r z n and the candidate's
#: recurrent part; LSTM i f g o and the cell state.
KEPT: Final[dict[Cell, int]] = {"gru": 4, "lstm": 5, "rnn_tanh": 0, "rnn_relu": 0}

#: Adds per step and hidden element of the bias gradients; the GRU's candidate needs its recurrent bias apart.
_BIAS_ADDS: Final[dict[Cell, int]] = {"gru": 4, "lstm": 4, "rnn_tanh": 1, "rnn_relu": 1}


@dataclass(frozen=True)
class LayerShape:
    """One layer and direction."""

    cell: Cell
    rows: int
    batch: int
    inputs: int
    hidden: int
    projection: int = 0

    @property
    def recurrent(self) -> int:
        """Size of h: the projection where there is one."""
        return self.projection or self.hidden

    def forward(self) -> Cost:
        """gates·H·(I + R) MACs a row, H·P for the projection."""
        gates = GATES[self.cell] * self.hidden
        macs = self.rows * (gates * (self.inputs + self.recurrent) + self.hidden * self.projection)
        return Cost("rnn", macs=macs, ops=ops(self.cell).times(self.rows * self.hidden))

    def backward(self, *, input_grad: bool, state_grad: bool, weight_grad: bool, bias: bool) -> Cost:
        """dx where it is needed; dh for every step but the first unless h0 needs it; dW over all steps."""
        gates = GATES[self.cell] * self.hidden
        state_rows = self.rows if state_grad else self.rows - self.batch
        macs = gates * self.recurrent * state_rows + self.rows * self.hidden * self.projection
        if input_grad:
            macs += self.rows * gates * self.inputs
        work = ops(f"{self.cell}_backward").times(self.rows * self.hidden)
        if weight_grad:
            macs += self.rows * (gates * (self.inputs + self.recurrent) + self.hidden * self.projection)
            if bias:
                work = work.plus(Ops(adds=_BIAS_ADDS[self.cell] * self.rows * self.hidden))
        return Cost("rnn", macs=macs, ops=work)
