"""What a training keeps from step to step, read and written as the spec's slots."""

from __future__ import annotations

from collections.abc import Mapping

import mxnet as mx
import numpy as np
from mxnet import gluon
from numpy.typing import NDArray

from frameworks.mxnet.optimisers import scale
from workloads.optimisers import Sgd
from workloads.spec import Workload

Arrays = dict[str, dict[str, NDArray]]  # by slot and parameter, canonical


class Slots:
    """The slots of a fresh `trainer`, which would make them in its first step.

    Adam keeps the spec's m and s. SGD keeps b = -scale v: its v is handed out in float64, from
    which b comes back to the bit. Gradients are summed up where autograd adds them. `averages` are the
    parameters that hold the average, none where there is none.
    """

    def __init__(
        self,
        trainer: gluon.Trainer,
        workload: Workload,
        parameters: Mapping[str, gluon.Parameter],
        averages: Mapping[str, gluon.Parameter],
    ) -> None:
        self._workload, self._trained = workload, trainer.optimizer
        self._optimiser, self._weights = workload.optimiser, parameters
        self._arrays: dict[str, dict[str, mx.nd.NDArray]] = {
            slot: {} for slot in self._optimiser.slots
        }
        (updater,) = trainer._updaters  # one a device
        for name, parameter in parameters.items():
            index = trainer._param2idx[parameter.name]
            state = self._trained.create_state(index, parameter.data())
            updater.states[index], updater.states_synced[index] = state, True
            # Without momentum, SGD's state is None.
            arrays = state if isinstance(state, tuple) else (state,)
            for slot, array in zip(self._optimiser.formula_slots, arrays, strict=False):
                self._arrays[slot][name] = array
            if "sum" in self._arrays:
                self._arrays["sum"][name] = parameter.grad()
                parameter.zero_grad()
            if "average" in self._arrays:
                self._arrays["average"][name] = averages[name].data()
                averages[name].set_data(parameter.data())

    def settle(self) -> None:
        """End an update: the gradients' sum begins anew, the average follows the weights."""
        for array in self._arrays.get("sum", {}).values():
            array[:] = 0
        for name, average in self._arrays.get("average", {}).items():
            average += (1 - self._optimiser.average) * (self._weights[name].data() - average)

    def read(self, steps: int) -> Arrays:
        """Return copies of the slots, as they are after `steps` steps."""
        result: Arrays = {}
        for slot, arrays in self._arrays.items():
            factor, dtype = self._factor(slot, steps)
            result[slot] = {
                k: np.divide(a.asnumpy(), factor, dtype=dtype) for k, a in arrays.items()
            }
        return result

    def write(self, steps: int, slots: Arrays) -> None:
        """Go on with `slots` after `steps` steps, which Adam's bias corrections count from."""
        self._trained.begin_num_update = steps // self._optimiser.accumulate
        for slot, arrays in self._arrays.items():
            factor, _ = self._factor(slot, steps)
            for name, array in arrays.items():
                scaled = np.multiply(slots[slot][name], factor, dtype=np.float64)
                array[:] = scaled.astype(np.float32)

    def _factor(self, slot: str, steps: int) -> tuple[float, type]:
        """Return what MXNet's arrays are of the spec's after `steps` steps, and the dtype for that."""
        if slot == "v" and isinstance(self._optimiser, Sgd):
            last = max(steps // self._optimiser.accumulate - 1, 0)
            return -scale(self._workload, last), np.float64
        return 1.0, np.float32
