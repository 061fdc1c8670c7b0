"""A spec's layers and losses as PyTorch's modules, and the two ways to run their training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value
from torch.nn import functional

from workloads import layers as spec
from workloads.layers import Shape
from workloads.spec import Optimiser

MODULES: dict[type[spec.Layer], Callable[[Any, Shape], nn.Module]] = {
    spec.Dense: lambda x, shape: nn.Linear(shape[0], x.units),
    spec.Conv2d: lambda x, shape: nn.Conv2d(shape[0], x.filters, x.kernel, x.stride, x.padding),
    spec.MaxPool: lambda x, shape: nn.MaxPool2d(x.size, x.step),
    spec.AvgPool: lambda x, shape: nn.AvgPool2d(x.size, x.step),
    spec.Flatten: lambda x, shape: nn.Flatten(),
    spec.Relu: lambda x, shape: nn.ReLU(),
    spec.Sigmoid: lambda x, shape: nn.Sigmoid(),
    spec.Tanh: lambda x, shape: nn.Tanh(),
}


def mean_squared_error(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the batch of 1/2 sum_k (z_k - t_k)^2, t the one-hot label."""
    one_hot = torch.zeros_like(logits).scatter(1, labels[:, None], 1.0)
    return 0.5 * (logits - one_hot).square().sum(1).mean()


Loss = Callable[[Tensor, Tensor], Tensor]
LOSSES: dict[str, Loss] = {
    "cross-entropy": functional.cross_entropy,
    "mean-squared-error": mean_squared_error,
}


class Eager:
    """Operator by operator, differentiated by autograd, updated by torch.optim."""

    def __init__(self, model: nn.Module, loss: Loss, sgd: Optimiser) -> None:
        self.forward, self._loss = model, loss
        self._parameters = dict(model.named_parameters())
        # One kernel for all parameters: 1.02 to 1.07 of the default's throughput here.
        self._sgd = torch.optim.SGD(model.parameters(), sgd.lr, sgd.momentum, fused=True)

    def gradients(self, inputs: Tensor, labels: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return the gradients, the loss and the logits."""
        logits = self.forward(inputs)
        loss = self._loss(logits, labels)
        gradients = torch.autograd.grad(loss, list(self._parameters.values()))
        return dict(zip(self._parameters, gradients, strict=True)), loss.detach(), logits.detach()

    def train(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Take one step and return its loss."""
        self._sgd.zero_grad()
        loss = self._loss(self.forward(inputs), labels)
        loss.backward()
        self._sgd.step()
        return loss.detach()


class Compile:
    """Forward, backward and update traced into one graph, of static shapes, without breaks.

    Compiling the model alone leaves two graphs, their guards and the optimiser to Python: that has
    0.5 to 0.7 of this one's throughput on the small nets.
    """

    def __init__(self, model: nn.Module, loss: Loss, sgd: Optimiser) -> None:
        weights = {name: w.detach() for name, w in model.named_parameters()}  # the same memory
        velocity = {name: torch.zeros_like(w) for name, w in weights.items()}

        def loss_and_logits(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Any:
            logits = functional_call(model, weights, (x,))
            return loss(logits, y), logits

        def gradients(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Any:
            gradients, (loss, logits) = grad_and_value(loss_and_logits, has_aux=True)(weights, x, y)
            return gradients, loss, logits

        def train(
            weights: dict[str, Tensor], velocity: dict[str, Tensor], x: Tensor, y: Tensor
        ) -> Tensor:
            slopes, value, _ = gradients(weights, x, y)
            for name, v in velocity.items():
                v.mul_(sgd.momentum).add_(slopes[name])
                weights[name].sub_(v, alpha=sgd.lr)
            return value

        compiled = torch.compile(fullgraph=True, dynamic=False)
        self._weights, self._velocity = weights, velocity
        self._train, self._gradients, self.forward = map(compiled, (train, gradients, model))

    def gradients(self, inputs: Tensor, labels: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return the gradients, the loss and the logits."""
        with torch.no_grad():
            return self._gradients(self._weights, inputs, labels)

    def train(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Take one step and return its loss."""
        with torch.no_grad():
            return self._train(self._weights, self._velocity, inputs, labels)


MODES: dict[str, type[Eager] | type[Compile]] = {"eager": Eager, "compile": Compile}
