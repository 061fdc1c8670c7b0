"""The ways to run a training step: operator by operator, compiled as one graph, or that replayed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain, repeat
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

from frameworks.pytorch import optimisers
from frameworks.pytorch.layers import loss_of, named_state
from frameworks.pytorch.optimisers import Slots, Tensors
from workloads.spec import Workload

Masks = Sequence[Tensor]
Arrays = Mapping[str, Mapping[str, NDArray]]  # by slot and parameter, canonical


class Eager:
    """Operator by operator, differentiated by autograd, updated by torch.optim."""

    def __init__(self, model: nn.Module, workload: Workload, precision: str) -> None:
        self._workload, self._loss = workload, loss_of(workload)
        device = next(model.parameters()).device
        self._parameters = dict(model.named_parameters())
        self._weights = {name: w.detach() for name, w in self._parameters.items()}  # same memory
        self._averages = {
            name: w.clone() for name, w in self._weights.items() if workload.optimiser.average
        }
        inference = for_inference(model, self._averages)
        self._model, self._functional, self.forward = (
            in_precision(forward, precision, device)
            for forward in (model, partial(functional_call, model), inference)
        )
        self._state = named_state(model)
        self._dropouts = named_dropouts(model)
        self._optimiser = optimisers.native(workload.optimiser, model.parameters())

    def reset(self) -> None:
        """Set the optimiser to before its first step; it makes its memory anew in that."""
        self._optimiser.state.clear()
        self._optimiser.zero_grad()
        optimisers.reset({"average": self._averages}, self._weights)

    def slots(self) -> Slots:
        """Return the optimiser's slots, zeros before its first step."""
        optimiser = self._workload.optimiser
        slots = optimisers.start(optimiser, self._weights)
        for name, w in self._parameters.items():
            state = self._optimiser.state.get(w, {})
            for slot in optimiser.formula_slots:
                native = optimisers.native_name(optimiser, slot)
                slots[slot][name] = state.get(native, slots[slot][name])
            if "sum" in slots and w.grad is not None:
                slots["sum"][name] = w.grad
        return slots | ({"average": self._averages} if optimiser.average else {})

    def restore(self, steps: int, slots: Arrays) -> None:
        """Set the optimiser to after `steps` steps; before the first it has no memory."""
        optimiser = self._workload.optimiser
        updates = steps // optimiser.accumulate
        for name, w in self._parameters.items():
            # In the parameter's layout, which is what fused kernels go by.
            tensors = {
                slot: torch.empty_like(w, requires_grad=False).copy_(torch.tensor(arrays[name]))
                for slot, arrays in slots.items()
            }
            if "sum" in tensors:
                w.grad = tensors["sum"]
            if "average" in tensors:
                self._averages[name].copy_(tensors["average"])
            if not updates:
                continue
            state = self._optimiser.state[w]
            # Fused, Adam counts on the parameter's device; SGD does not count.
            state["step"] = torch.tensor(float(updates), device=w.device)
            for slot in optimiser.formula_slots:
                state[optimisers.native_name(optimiser, slot)] = tensors[slot]

    def plan(self, start: int, count: int) -> Iterable[Any]:
        """Return what `train` needs beside the batch, a step: the rate, or None where it stays."""
        if optimisers.varies(self._workload):
            return optimisers.plan(self._workload, start, count, self._workload.rates)
        return optimisers.plan(self._workload, start, count, lambda _, count: repeat(None, count))

    def gradients(self, x: Tensor, y: Tensor, masks: Masks) -> tuple[Tensors, Tensor, Tensor]:
        """Return the gradients, the loss and the logits; the state is moved in a copy."""
        buffers = {name: state.clone() for name, state in self._state.items()}
        buffers.update(zip(mask_names(self._dropouts), masks, strict=True))
        logits = self._functional(buffers, (x,))
        loss = self._loss(logits, y)
        gradients = torch.autograd.grad(loss, list(self._parameters.values()))
        return dict(zip(self._parameters, gradients, strict=True)), loss.detach(), logits.detach()

    def train(self, x: Tensor, y: Tensor, masks: Masks, rate: Any) -> Tensor:
        """Take one step and return its loss; `rate` is of `plan`."""
        if masks:
            for module, mask in zip(self._dropouts.values(), masks, strict=True):
                module.mask = mask
        loss = self._loss(self._model(x), y)
        loss.backward()
        if rate is not optimisers.GATHER:
            self._update(rate)
        return loss.detach()

    def _update(self, rate: float | None) -> None:
        """Move the weights by the gradients, which are gone then."""
        if rate is not None:
            for group in self._optimiser.param_groups:
                group["lr"] = rate
        optimiser, parameters = self._workload.optimiser, self._parameters.values()
        if optimiser.accumulate > 1 or optimiser.clip_value or optimiser.clip_norm:
            gradients = optimisers.prepared(optimiser, [w.grad for w in parameters])
            for w, gradient in zip(parameters, gradients, strict=True):
                w.grad = gradient
        self._optimiser.step()
        self._optimiser.zero_grad()
        optimisers.average(optimiser, {"average": self._averages}, self._weights)


class Compile:
    """Forward, backward and update traced into one graph, of static shapes, without breaks.

    Compiling the model alone leaves two graphs, their guards and the optimiser to Python: that has
    0.5 to 0.7 of this one's throughput on the small nets.
    """

    compiler_mode: str | None = None

    def __init__(self, model: nn.Module, workload: Workload, precision: str) -> None:
        self._workload, self._device = workload, next(model.parameters()).device
        self._weights = {name: w.detach() for name, w in model.named_parameters()}  # same memory
        self._state = named_state(model)
        self._slots = optimisers.start(workload.optimiser, self._weights)
        update = optimisers.update(workload.optimiser)
        loss, names = loss_of(workload), mask_names(named_dropouts(model))
        forward = in_precision(partial(functional_call, model), precision, self._device)

        def loss_and_logits(
            weights: Tensors, state: Tensors, x: Tensor, y: Tensor, masks: Masks
        ) -> Any:
            tensors = {**weights, **state, **dict(zip(names, masks, strict=True))}
            logits = forward(tensors, (x,))
            return loss(logits, y), logits

        def gradients(weights: Tensors, *arguments: Any) -> Any:
            slopes, (loss, logits) = grad_and_value(loss_and_logits, has_aux=True)(
                weights, *arguments
            )
            return slopes, loss, logits

        def train(
            weights: Tensors, state: Tensors, slots: Slots, row: Tensor | None, *batch: Any
        ) -> Tensor:
            slopes, value, _ = gradients(weights, state, *batch)
            update(weights, slots, slopes, row)
            return value

        def gather(weights: Tensors, state: Tensors, slots: Slots, *batch: Any) -> Tensor:
            slopes, value, _ = gradients(weights, state, *batch)
            optimisers.gather(slots, slopes)
            return value

        # Graphs are counted by line of code: the ninth net of one process would be refused.
        torch.compiler.reset()
        compiled = torch.compile(fullgraph=True, dynamic=False, mode=self.compiler_mode)
        self._train, self._gradients = compiled(train), compiled(gradients)
        self._gather = compiled(gather)
        averaged = for_inference(model, self._slots.get("average", {}))
        inference = in_precision(averaged, precision, self._device)
        self.forward: Any = compiled(inference)

    def reset(self) -> None:
        """Set the optimiser to before its first step, in place: the graphs stay."""
        optimisers.reset(self._slots, self._weights)

    def slots(self) -> Slots:
        """Return the optimiser's slots."""
        return self._slots

    def restore(self, steps: int, slots: Arrays) -> None:
        """Set the optimiser's slots, in place: the graphs stay. Rows of `plan` count the steps."""
        for slot, tensors in self._slots.items():
            for name, tensor in tensors.items():
                tensor.copy_(torch.tensor(slots[slot][name]))

    def plan(self, start: int, count: int) -> Iterable[Any]:
        """Return what `train` needs beside the batch, a step: a row of `optimisers.tuning`."""

        def rows_of(first: int, count: int) -> Iterable[Any]:
            rows = optimisers.tuning(self._workload, first, count)
            return repeat(None, count) if rows is None else rows.to(self._device).unbind()

        return optimisers.plan(self._workload, start, count, rows_of)

    def gradients(self, x: Tensor, y: Tensor, masks: Masks) -> tuple[Tensors, Tensor, Tensor]:
        """Return the gradients, the loss and the logits; the state is moved in a copy."""
        state = {name: value.clone() for name, value in self._state.items()}
        with torch.no_grad():
            return self._gradients(self._weights, state, x, y, masks)

    def train(self, x: Tensor, y: Tensor, masks: Masks, row: Any) -> Tensor:
        """Take one step and return its loss; `row` is of `plan`."""
        with torch.no_grad():
            if row is optimisers.GATHER:
                return self._gather(self._weights, self._state, self._slots, x, y, masks)
            return self._train(self._weights, self._state, self._slots, row, x, y, masks)


class Replay(Compile):
    """Compiled, then recorded as CUDA graphs and replayed: a step is one launch and not hundreds.

    The graphs are compiled on the promise that weights, state and slots keep their addresses: they
    may then be updated in place. Other inputs are copied to where the graph reads them. What a graph
    returns is overwritten by its next run, so it is copied. On a CPU it is what Compile is.
    """

    compiler_mode = "reduce-overhead"

    def __init__(self, model: nn.Module, workload: Workload, precision: str) -> None:
        super().__init__(model, workload, precision)
        for tensors in (self._weights, self._state, *self._slots.values()):
            for tensor in tensors.values():
                torch._dynamo.mark_static_address(tensor)
        overwritten = self.forward
        self.forward = lambda x: overwritten(x).clone()

    def train(self, x: Tensor, y: Tensor, masks: Masks, row: Any) -> Tensor:
        """Take one step and return its loss; `row` is of `plan`."""
        return super().train(x, y, masks, row).clone()


MODES: dict[str, type[Eager] | type[Compile]] = {
    "eager": Eager,
    "compile": Compile,
    "reduce-overhead": Replay,
}


def in_precision(forward: Callable[..., Tensor], precision: str, device: torch.device) -> Any:
    """Return `forward`; for bfloat16 with products, and what follows them, in it, logits float32.

    Weights stay float32 and are cast where they are used, once a pass: a cache of casts has no use.
    """
    if precision != "bfloat16":
        return forward

    def mixed(*arguments: Any) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, cache_enabled=False):
            logits = forward(*arguments)
        return logits.float()

    return mixed


def for_inference(model: nn.Module, averages: Tensors) -> nn.Module:
    """Return a copy in evaluation mode that holds the very same tensors: nothing is switched.

    `averages` stand in place of the parameters that they are of.
    """
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    parameters = dict(model.named_parameters())
    for name, average in averages.items():
        shared[id(parameters[name])] = nn.Parameter(average, requires_grad=False)
    return copy.deepcopy(model, shared).eval()


def named_dropouts(model: nn.Module) -> dict[str, Any]:
    """Return the layers that take a mask by name, in the order of a batch's masks."""
    return {
        name: module
        for name, module in model.named_modules()
        if "mask" in dict(module.named_buffers(recurse=False))
    }


def mask_names(dropouts: Iterable[str]) -> list[str]:
    """Return the names of the buffers that hold the masks."""
    return [f"{name}.mask" for name in dropouts]
