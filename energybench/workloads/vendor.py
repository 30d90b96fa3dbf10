"""Rows that run the vendor's library through torch: the same operators, and probes of compute, memory and launches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from energybench.records.op_counts import DTYPE_BYTES, DTYPE_SHORT, OpCounts
from energybench.records.vocabulary import Family, KernelClass
from energybench.workloads.inputs import all_finite, normal_tensors, token_tensors, torch_dtype
from energybench.workloads.workload import INPUT_DISTRIBUTION, Runnable, Tally, Workload

if TYPE_CHECKING:
    import torch

    from energybench.records.model_counts import ModelCounts

Shapes = tuple[tuple[int, ...], ...]


class TorchCall:
    """A function or module on its arguments. It owns them: a deep copy runs on others of the same values."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        import torch

        self._no_grad = torch.no_grad
        self._function, self._arguments = function, arguments
        self._output: Any = None

    def run(self) -> None:
        with self._no_grad():
            self._output = self._function(*self._arguments)

    def is_finite(self) -> bool:
        return all_finite(self._output)


@dataclass(frozen=True)
class OperatorRecipe:
    """One torch operator.

    `functional`  the operator on its inputs; this is what is counted
    `into`        the same operator writing into an output that was allocated once, where torch has that form: a fresh
                  output would add page faults on a CPU, which no count covers
    """

    functional: Callable[..., Any]
    shapes: Shapes
    dtype: str
    into: Callable[..., Any] | None = None
    component: str | None = None
    distribution: str = INPUT_DISTRIBUTION

    def tally(self) -> Tally:
        """Counts of the functional form on the meta device."""
        import torch

        inputs = [torch.empty(s, dtype=torch_dtype(self.dtype), device="meta") for s in self.shapes]
        return _model_tally(_FunctionModule.of(self.functional), tuple(inputs), component=self.component)

    def issued_counts(self) -> OpCounts | None:
        """The kernel is the vendor's: its own traffic is not known."""
        return None

    def build(self, device: str, threads: int | None, seed: int) -> Runnable:
        """Inputs on the device, an output where the operator can write into one, and the call."""
        import torch

        inputs = normal_tensors(self.shapes, dtype=self.dtype, device=device, seed=seed, distribution=self.distribution)
        if self.into is None:
            return TorchCall(self.functional, *inputs)
        with torch.no_grad():
            out = self.functional(*inputs)
        return TorchCall(self.into, *inputs, out)


class _FunctionModule:
    """A function as a module, which is what the counter takes."""

    @staticmethod
    def of(function: Callable[..., Any]) -> torch.nn.Module:
        import torch

        class Function(torch.nn.Module):
            def forward(self, *inputs: torch.Tensor) -> Any:
                return function(*inputs)

        return Function()


@dataclass(frozen=True)
class ModuleRecipe:
    """A torch module with its inputs, in evaluation mode, or one training step without the optimiser.

    A training step is the forward pass, the sum of the outputs as a loss, and the backward pass.

    `tokens`         above 0, the inputs are whole numbers below it instead of normal values
    `channels_last`  images and weights lie with their channels innermost (torch's ``channels_last``)
    """

    factory: Callable[[], torch.nn.Module]
    shapes: Shapes
    dtype: str = "float32"
    training: bool = False
    component: str | None = None
    tokens: int = 0
    channels_last: bool = False

    def tally(self) -> Tally:
        """Counts on the meta device: no weights are allocated, nothing runs."""
        return _tally_of(self.model_counts(), self.component)

    def model_counts(self) -> ModelCounts:
        """The same, operator by operator."""
        import torch

        from energybench.counting import count_model

        with torch.device("meta"):
            model = self.factory().to(torch_dtype(self.dtype)).train(self.training)
        input_dtype = torch.int64 if self.tokens else torch_dtype(self.dtype)
        inputs = tuple(torch.empty(s, dtype=input_dtype, device="meta") for s in self.shapes)
        return count_model(model, *inputs, backward=self.training, strict=True)

    def issued_counts(self) -> OpCounts | None:
        """The kernels are the vendor's: their own traffic is not known."""
        return None

    def build(self, device: str, threads: int | None, seed: int) -> Runnable:
        """The module with its default weights from `seed`, and its inputs, on the device."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.factory()
        model = model.to(device=device, dtype=torch_dtype(self.dtype)).train(self.training)
        if self.tokens:
            inputs = token_tensors(self.shapes, below=self.tokens, device=device, seed=seed)
        else:
            inputs = normal_tensors(self.shapes, dtype=self.dtype, device=device, seed=seed)
        if self.channels_last:
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            inputs = tuple(t.contiguous(memory_format=torch.channels_last) for t in inputs)
        return _TrainingCall(model, inputs) if self.training else TorchCall(model, *inputs)


class _TrainingCall:
    def __init__(self, model: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self._model, self._inputs = model, inputs
        self._output: Any = None

    def run(self) -> None:
        self._model.zero_grad(set_to_none=True)
        self._output = self._model(*self._inputs)
        first = self._output[0] if isinstance(self._output, tuple) else self._output
        first.sum().backward()

    def is_finite(self) -> bool:
        gradients = [p.grad for p in self._model.parameters() if p.grad is not None]
        return all_finite(self._output) and all_finite(gradients)


def _model_tally(model: torch.nn.Module, inputs: tuple[torch.Tensor, ...], *, component: str | None = None) -> Tally:
    from energybench.counting import count_model

    return _tally_of(count_model(model, *inputs, strict=True), component)


def _tally_of(counted: ModelCounts, component: str | None) -> Tally:
    total = counted.total
    components = {component: total.flops} if component else counted.component_flops()
    return Tally(total, "model", parameters=counted.parameters, operators=counted.calls, components=components)


def _operator(
    name: str,
    label: str,
    kernel_class: KernelClass,
    functional: Callable[..., Any],
    shapes: Shapes,
    shape: dict[str, int],
    *,
    dtype: str = "float32",
    family: Family = "probe",
    into: Callable[..., Any] | None = None,
    component: str | None = None,
) -> Workload:
    short = DTYPE_SHORT[dtype]
    return Workload(
        name=f"vendor/{name}/{label}/{short}",
        kernel_id=f"{name}_forward_vendor_{short}",
        family=family,
        split="fit",
        kernel_class=kernel_class,
        implementation="vendor",
        dtype=dtype,
        recipe=OperatorRecipe(functional, shapes, dtype, into, component),
        shape=shape,
    )


def matmul(M: int, N: int, K: int, *, dtype: str = "float32") -> Workload:
    """C[M, N] = A[M, K]·B[K, N]; the sweep over K moves the arithmetic intensity."""

    def functional(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a @ b

    def into(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.mm(a, b, out=out)

    shapes = ((M, K), (K, N))
    return _operator(
        "matmul", f"m{M}n{N}k{K}", "gemm", functional, shapes, {"M": M, "N": N, "K": K}, dtype=dtype, into=into
    )


def matvec(M: int, K: int, *, dtype: str = "float32") -> Workload:
    """y[M] = A[M, K]·x[K]: one MAC per matrix element, so memory and MACs meet."""

    def functional(a: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return a @ x

    def into(a: torch.Tensor, x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.mv(a, x, out=out)

    shapes = ((M, K), (K,))
    return _operator("matvec", f"m{M}k{K}", "gemm", functional, shapes, {"M": M, "K": K}, dtype=dtype, into=into)


def _module(
    name: str,
    label: str,
    family: Family,
    kernel_class: KernelClass,
    factory: Callable[[], torch.nn.Module],
    shapes: Shapes,
    shape: dict[str, int],
    *,
    dtype: str = "float32",
    component: str | None = None,
) -> Workload:
    short = DTYPE_SHORT[dtype]
    return Workload(
        name=f"vendor/{name}/{label}/{short}",
        kernel_id=f"{name}_forward_vendor_{short}",
        family=family,
        split="fit",
        kernel_class=kernel_class,
        implementation="vendor",
        dtype=dtype,
        recipe=ModuleRecipe(factory, shapes, dtype, component=component),
        shape=shape,
    )


def vendor_conv2d(
    N: int,
    C_in: int,
    H: int,
    C_out: int,
    K: int,
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    dtype: str = "float32",
) -> Workload:
    """`torch.nn.Conv2d` on x[N, C_in, H, H]."""

    def factory() -> torch.nn.Module:
        import torch

        return torch.nn.Conv2d(C_in, C_out, K, stride=stride, padding=padding, groups=groups)

    shape = {"N": N, "C_in": C_in, "H": H, "W": H, "C_out": C_out, "KH": K, "KW": K}
    shape.update(stride=stride, padding=padding, groups=groups)
    label = f"n{N}c{C_in}h{H}o{C_out}k{K}s{stride}p{padding}g{groups}"
    kernel_class: KernelClass = "depthwise" if groups == C_in > 1 else "conv"
    return _module("conv2d", label, "cnn", kernel_class, factory, ((N, C_in, H, H),), shape, dtype=dtype)


def vendor_gru(T: int, B: int, I: int, H: int, *, dtype: str = "float32") -> Workload:  # noqa: E741
    """`torch.nn.GRU` over x[T, B, I]."""

    def factory() -> torch.nn.Module:
        import torch

        return torch.nn.GRU(I, H)

    shape = {"T": T, "B": B, "I": I, "H": H}
    return _module("gru", f"t{T}b{B}i{I}h{H}", "rnn", "rnn", factory, ((T, B, I),), shape, dtype=dtype)


def vendor_linear(B: int, I: int, O: int, *, dtype: str = "float32") -> Workload:  # noqa: E741
    """`torch.nn.Linear` from I to O features on B rows, priced as a feed-forward part [D15]."""

    def factory() -> torch.nn.Module:
        import torch

        return torch.nn.Linear(I, O)

    return _module(
        "linear",
        f"b{B}i{I}o{O}",
        "transformer",
        "gemm",
        factory,
        ((B, I),),
        {"B": B, "I": I, "O": O},
        dtype=dtype,
        component="feed_forward",
    )


def vendor_projection(B: int, I: int, O: int, *, dtype: str = "float32") -> Workload:  # noqa: E741
    """A linear projection around attention: the same kernel as `vendor_linear`, priced as a multi-head part [D14]."""

    def factory() -> torch.nn.Module:
        import torch

        return torch.nn.Linear(I, O, bias=False)

    return _module(
        "projection",
        f"b{B}i{I}o{O}",
        "transformer",
        "gemm",
        factory,
        ((B, I),),
        {"B": B, "I": I, "O": O},
        dtype=dtype,
        component="multi_head",
    )


def vendor_attention(B: int, Hn: int, S: int, D: int, *, causal: bool = False, dtype: str = "float32") -> Workload:
    """`scaled_dot_product_attention` over q, k, v[B, Hn, S, D]."""

    def functional(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)

    shape = {"B": B, "Hn": Hn, "S": S, "D": D, "causal": int(causal)}
    return _operator(
        "attention",
        f"b{B}n{Hn}s{S}d{D}{'causal' if causal else ''}",
        "attention",
        functional,
        ((B, Hn, S, D),) * 3,
        shape,
        dtype=dtype,
        family="transformer",
        component="self_attention",
    )


def stream_add(elements: int, *, dtype: str = "float32") -> Workload:
    """z = x + y over `elements`: memory traffic with almost no arithmetic; the size picks the cache level."""

    def functional(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y

    def into(x: torch.Tensor, y: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.add(x, y, out=out)

    return _stream("add", "pointwise", functional, into, elements, 2, dtype)


def stream_copy(elements: int, *, dtype: str = "float32") -> Workload:
    """z = x over `elements`: memory traffic alone."""

    def functional(x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    def into(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        return out.copy_(x)

    return _stream("copy", "copy", functional, into, elements, 1, dtype)


def stream_exp(elements: int, *, dtype: str = "float32") -> Workload:
    """z = exp(x): one special operation per element."""

    def functional(x: torch.Tensor) -> torch.Tensor:
        return x.exp()

    def into(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.exp(x, out=out)

    return _stream("exp", "pointwise", functional, into, elements, 1, dtype)


def stream_gelu(elements: int, *, dtype: str = "float32") -> Workload:
    """z = gelu(x): several operations outside MACs per element."""

    def functional(x: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.nn.functional.gelu(x)

    def into(x: torch.Tensor, out: torch.Tensor) -> Any:
        import torch

        return torch.ops.aten.gelu.out(x, out=out)

    return _stream("gelu", "pointwise", functional, into, elements, 1, dtype)


def _stream(
    name: str,
    kernel_class: KernelClass,
    functional: Callable[..., Any],
    into: Callable[..., Any] | None,
    elements: int,
    inputs: int,
    dtype: str,
) -> Workload:
    shape = {"elements": elements, "working_set_bytes": (inputs + 1) * elements * DTYPE_BYTES[dtype]}
    return _operator(
        name, f"e{elements}", kernel_class, functional, ((elements,),) * inputs, shape, dtype=dtype, into=into
    )


def softmax(rows: int, columns: int, *, dtype: str = "float32") -> Workload:
    """Softmax over the last axis of x[rows, columns]."""

    def functional(x: torch.Tensor) -> torch.Tensor:
        return x.softmax(-1)

    def into(x: torch.Tensor, out: torch.Tensor) -> Any:
        import torch

        return torch.ops.aten._softmax.out(x, -1, False, out=out)

    shape = {"rows": rows, "columns": columns}
    return _operator(
        "softmax", f"r{rows}c{columns}", "softmax", functional, ((rows, columns),), shape, dtype=dtype, into=into
    )


def layer_norm(rows: int, columns: int, *, dtype: str = "float32") -> Workload:
    """Layer norm over the last axis of x[rows, columns], without scale and shift."""

    def functional(x: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.nn.functional.layer_norm(x, (columns,))

    shape = {"rows": rows, "columns": columns}
    return _operator("layer_norm", f"r{rows}c{columns}", "norm", functional, ((rows, columns),), shape, dtype=dtype)


def max_pool(C: int, H: int, K: int, *, dtype: str = "float32") -> Workload:
    """Max over K×K windows at every position of x[1, C, H, H]: K² compares per element of traffic, and no MAC."""

    def functional(x: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.nn.functional.max_pool2d(x, K, stride=1)

    return _operator(
        "max_pool", f"c{C}h{H}k{K}", "pool", functional, ((1, C, H, H),), {"C": C, "H": H, "K": K}, dtype=dtype
    )


def avg_pool(C: int, H: int, K: int, *, dtype: str = "float32") -> Workload:
    """Mean over K×K windows at every position of x[1, C, H, H]: K² adds per element of traffic, and no MAC."""

    def functional(x: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.nn.functional.avg_pool2d(x, K, stride=1)

    return _operator(
        "avg_pool", f"c{C}h{H}k{K}", "pool", functional, ((1, C, H, H),), {"C": C, "H": H, "K": K}, dtype=dtype
    )


def cross_entropy(rows: int, classes: int, *, dtype: str = "float32") -> Workload:
    """Mean cross-entropy of logits x[rows, classes] with the classes 0, 1, 2 … in turn: the loss of a training step."""

    def functional(x: torch.Tensor) -> torch.Tensor:
        import torch

        targets = torch.arange(rows, device=x.device) % classes
        return torch.nn.functional.cross_entropy(x, targets)

    shape = {"rows": rows, "columns": classes}
    return _operator("cross_entropy", f"r{rows}c{classes}", "loss", functional, ((rows, classes),), shape, dtype=dtype)


def embedding(tokens: int, vocabulary: int, width: int, *, dtype: str = "float32") -> Workload:
    """Rows of a table[vocabulary, width], one for each of `tokens` random numbers."""

    def factory() -> torch.nn.Module:
        import torch

        return torch.nn.Embedding(vocabulary, width)

    short = DTYPE_SHORT[dtype]
    return Workload(
        name=f"vendor/embedding/t{tokens}v{vocabulary}w{width}/{short}",
        kernel_id=f"embedding_forward_vendor_{short}",
        family="probe",
        split="fit",
        kernel_class="gather",
        implementation="vendor",
        dtype=dtype,
        recipe=ModuleRecipe(factory, ((tokens,),), dtype, tokens=vocabulary),
        shape={"tokens": tokens, "vocabulary": vocabulary, "width": width},
        input_distribution="uniform tokens",
    )
