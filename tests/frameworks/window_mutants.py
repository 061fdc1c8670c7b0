"""Planted faults of windows, groups, branches and group norm, for the net of windows.toml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from frameworks.contract import Weights
from tests.frameworks.mutants import Mutant
from workloads.layers import AvgPool, Conv2d, GroupNorm, Layer
from workloads.spec import Workload

WORKLOAD = Path(__file__).with_name("windows.toml")


class Changed(Mutant):
    """A fault that another layer has by right: `change` of those of a `kind` that fit `where`."""

    kind: type[Layer]
    where: Mapping[str, Any]
    change: Mapping[str, Any]

    def spec(self, workload: Workload) -> Workload:
        changed = [
            replace(layer, **self.change) if self._fits(layer) else layer
            for layer in workload.layers
        ]
        assert sum(map(self._fits, workload.layers)) == 1
        return replace(workload, layers=tuple(changed))

    def _fits(self, layer: Layer) -> bool:
        return isinstance(layer, self.kind) and self.where.items() <= vars(layer).items()


class SameForSymmetric(Changed):
    """SAME padding for symmetric padding"""

    kind, where, change = Conv2d, {"stride": 2, "padding": 1}, {"padding": "same"}


class SymmetricForSame(Changed):
    """symmetric padding for SAME"""

    kind, where, change = Conv2d, {"padding": "same"}, {"padding": 1}


class DilationIgnored(Changed):
    """dilation is ignored"""

    kind, where, change = Conv2d, {"dilation": 2}, {"dilation": 1, "padding": 1}


class CeilIgnored(Changed):
    """ceil is ignored"""

    kind, where, change = AvgPool, {"ceil": True}, {"ceil": False}


class PaddingCounted(Changed):
    """an average counts the padding"""

    kind, where, change = AvgPool, {"padding": 1}, {"count_padding": True}


class LayerNormForGroupNorm(Changed):
    """group norm over all channels, as a layer norm"""

    kind, where, change = GroupNorm, {}, {"groups": 1}


class Reordered(Mutant):
    """A fault that is the same as other places of some weights' entries, from the outside."""

    def order(self, name: str) -> tuple[int, np.ndarray] | None:
        """The axis of a weight along which it is reordered, and how."""
        raise NotImplementedError

    def _taken(self, weights: Weights, inverse: bool) -> Weights:
        taken = {}
        for name, weight in weights.items():
            axis, order = self.order(name) or (0, np.arange(len(weight)))
            order = np.argsort(order) if inverse else order
            taken[name] = np.ascontiguousarray(np.take(weight, order, axis))
        return taken

    def given(self, weights: Weights) -> Weights:
        return self._taken(weights, inverse=False)

    def returned(self, weights: Weights) -> Weights:
        return self._taken(weights, inverse=True)


class GroupsInterleaved(Reordered):
    """groups are interleaved: every fourth channel is of a group, and not two in a row"""

    def order(self, name: str) -> tuple[int, np.ndarray] | None:
        return (0, np.arange(8).reshape(2, 4).T.ravel()) if name.startswith("conv1.") else None


class BranchesReversed(Reordered):
    """branches are concatenated in the wrong order"""

    def order(self, name: str) -> tuple[int, np.ndarray] | None:
        return (1, np.roll(np.arange(12), -4)) if name == "conv4.weight" else None


WINDOWED = {
    cls.__doc__ or cls.__name__: cls
    for cls in (
        SameForSymmetric,
        SymmetricForSame,
        DilationIgnored,
        CeilIgnored,
        PaddingCounted,
        LayerNormForGroupNorm,
        GroupsInterleaved,
        BranchesReversed,
    )
}
"""Faults that every framework can have, by what they are."""


class ZeroPadded(Mutant):
    """max pooling is padded by zeros"""

    def mend(self, inner: Any) -> None:
        import torch

        class Padded(torch.nn.Module):
            def forward(self, x: Any) -> Any:
                return torch.nn.functional.max_pool2d(torch.nn.functional.pad(x, (1,) * 4), 3, 1)

        for module in inner._core._model.modules():
            for name, child in list(module.named_children()):
                if isinstance(child, torch.nn.MaxPool2d):
                    setattr(module, name, Padded())
        branches = inner._core._model.branches1
        branches._branches = tuple(
            tuple(Padded() if isinstance(m, torch.nn.MaxPool2d) else m for m in chain)
            for chain in branches._branches
        )


NATIVE_WINDOWED = {ZeroPadded.__doc__ or "": ZeroPadded}
