"""What a Trainer's optimiser keeps from step to step, read and written as the spec's slots."""

from __future__ import annotations

from collections.abc import Mapping

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
    which b comes back to the bit.
    """

    def __init__(
        self, trainer: gluon.Trainer, workload: Workload, parameters: Mapping[str, gluon.Parameter]
    ) -> None:
        self._workload, self._optimiser = workload, trainer.optimizer
        self._scaled = isinstance(workload.optimiser, Sgd)
        self._arrays: dict[str, dict] = {slot: {} for slot in workload.optimiser.slots}
        (updater,) = trainer._updaters  # one a device
        for name, parameter in parameters.items():
            index = trainer._param2idx[parameter.name]
            state = self._optimiser.create_state(index, parameter.data())
            updater.states[index], updater.states_synced[index] = state, True
            # Without momentum, SGD's state is None.
            arrays = state if isinstance(state, tuple) else (state,)
            for slot, array in zip(self._arrays, arrays, strict=False):
                self._arrays[slot][name] = array

    def read(self, steps: int) -> Arrays:
        """Return copies of the slots, as they are after `steps` steps."""
        factor, dtype = self._factor(steps), np.float64 if self._scaled else np.float32
        return {
            slot: {k: np.divide(a.asnumpy(), factor, dtype=dtype) for k, a in arrays.items()}
            for slot, arrays in self._arrays.items()
        }

    def write(self, steps: int, slots: Arrays) -> None:
        """Go on with `slots` after `steps` steps, which Adam's bias corrections count from."""
        self._optimiser.begin_num_update = steps
        factor = self._factor(steps)
        for slot, arrays in self._arrays.items():
            for name, array in arrays.items():
                scaled = np.multiply(slots[slot][name], factor, dtype=np.float64)
                array[:] = scaled.astype(np.float32)

    def _factor(self, steps: int) -> float:
        """Return what MXNet's arrays are of the spec's after `steps` steps."""
        return -scale(self._workload, max(steps - 1, 0)) if self._scaled else 1.0
