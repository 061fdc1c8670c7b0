"""LSTM and GRU: forward through the steps, and backward through them (Werbos 1990).

All products with x, and all gradients of weights, are taken for all steps at once.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.activations import sigmoid
from frameworks.reference.arithmetic import Arithmetic
from frameworks.reference.function import Function, bias_gradient, matrix_product
from workloads import layers as spec


class Way:
    """One way through the steps, in the order in which x has them.

    A step makes the next h of x's and h's products, before any gate; `parameters` are those of this
    way, by their names in the formulas. What a step needs for its way back is kept in `seen`.
    """

    def __init__(
        self, units: int, parameters: Mapping[str, NDArray], arithmetic: Arithmetic
    ) -> None:
        self.units, self.parameters, self.arithmetic = units, parameters, arithmetic
        self.gradients: dict[str, NDArray] = {}
        self.terms: dict[str, float] = {}

    def step(self, from_x: NDArray, from_h: NDArray, h: NDArray) -> NDArray:
        """Return the next h, (batch, units), of both products (batch, gates units)."""
        raise NotImplementedError

    def step_back(self, t: int, dh: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """Return the gradients of both products, and of the h before beside its product."""
        raise NotImplementedError

    def bias_of_h(self) -> NDArray | float:
        """Return what is added to h's product."""
        return 0.0

    def forward(self, x: NDArray) -> NDArray:
        """Return h of each step, (batch, steps, units)."""
        batch, steps, inputs = self.shape = x.shape
        operand, parameters = self.arithmetic.operand, self.parameters
        self.x = operand(x.reshape(-1, inputs))
        self.weight_x = operand(parameters["weight_x"])
        self.weight_h = operand(parameters["weight_h"])
        from_x = self.x @ self.weight_x.T + parameters["bias"]
        from_x = matrix_product(self.arithmetic, from_x, self.x, self.weight_x.T)
        from_x = from_x.reshape(batch, steps, -1)
        self.start(batch, x.dtype)
        h, bias = np.zeros((batch, self.units), x.dtype), self.bias_of_h()
        self.before, outputs = [], []
        for t in range(steps):
            read = operand(h)
            from_h = read @ self.weight_h.T + bias
            from_h = matrix_product(self.arithmetic, from_h, read, self.weight_h.T)
            h = self.step(from_x[:, t], from_h, h)
            self.before.append(read)
            outputs.append(h)
        return np.stack(outputs, axis=1)

    def start(self, batch: int, dtype: np.dtype) -> None:
        """Forget the last forward; the state is zero."""
        self.seen: list[tuple[NDArray, ...]] = []

    def backward(self, dy: NDArray) -> NDArray:
        """Return the gradient of x; leave those of the parameters in `gradients`."""
        operand, rounded = self.arithmetic.operand, self.arithmetic.each
        dh_next = np.zeros_like(dy[:, 0])
        of_x, of_h = [], []
        for t in reversed(range(dy.shape[1])):
            dh = rounded(dy[:, t] + dh_next, np.abs(dy[:, t]) + np.abs(dh_next))
            from_x, from_h, beside = self.step_back(t, dh)
            read = operand(from_h)
            through = matrix_product(self.arithmetic, read @ self.weight_h, read, self.weight_h)
            dh_next = rounded(through + beside, np.abs(through) + np.abs(beside))
            of_x.append(from_x)
            of_h.append(from_h)
        return self._weights_back(np.stack(of_x[::-1], 1), np.stack(of_h[::-1], 1))

    def _weights_back(self, of_x: NDArray, of_h: NDArray) -> NDArray:
        """Return x's gradient; `of_x` and `of_h` are those of its and h's products, all steps."""
        operand = self.arithmetic.operand
        before = np.stack(self.before, axis=1).reshape(-1, self.units)
        for short, d, factor in (("weight_x", of_x, self.x), ("weight_h", of_h, before)):
            read = operand(d.reshape(len(factor), -1))
            gradient = matrix_product(self.arithmetic, read.T @ factor, read.T, factor)
            self.gradients[short] = gradient
            self.terms[short] = float(np.linalg.norm(d) * np.linalg.norm(factor))
        self.add_bias("bias", of_x)
        read = operand(of_x.reshape(len(self.x), -1))
        dx = matrix_product(self.arithmetic, read @ self.weight_x, read, self.weight_x)
        return dx.reshape(self.shape)

    def add_bias(self, short: str, d: NDArray) -> None:
        """Leave the gradient of a bias that is added to what has the gradient `d`."""
        self.gradients[short] = bias_gradient(self.arithmetic, d, (0, 1))
        self.terms[short] = float(np.linalg.norm(d) * np.sqrt(d.shape[0] * d.shape[1]))

    def gate(self, x: NDArray) -> NDArray:
        """Return the sigmoid of x, whose size is 1/2 more than it."""
        y = sigmoid(x)
        return self.arithmetic.function(y, 0.5 + y, 2)

    def tanh(self, x: NDArray) -> NDArray:
        """Return the hyperbolic tangent of x."""
        return self.arithmetic.function(np.tanh(x))

    def gate_back(self, dy: NDArray, y: NDArray) -> NDArray:
        """Return the gradient of a sigmoid's x, of its y."""
        return self.arithmetic.each(dy * y * (1 - y), np.abs(dy * y), 3)

    def tanh_back(self, dy: NDArray, y: NDArray) -> NDArray:
        """Return the gradient of a tanh's x, of its y."""
        return self.arithmetic.each(dy * (1 - y**2), np.abs(dy), 3)


class LstmWay(Way):
    """With dc = dc_next f_next + dh o (1 - tanh(c)^2):

    di = dc g, df = dc c_before, dg = dc i, do = dh tanh(c), each through its sigmoid or tanh.
    """

    def start(self, batch: int, dtype: np.dtype) -> None:
        super().start(batch, dtype)
        self.c = np.zeros((batch, self.units), dtype)
        self.dc_next = np.zeros_like(self.c)

    def step(self, from_x: NDArray, from_h: NDArray, h: NDArray) -> NDArray:
        rounded, before = self.arithmetic.each, self.c
        z = rounded(from_x + from_h, np.abs(from_x) + np.abs(from_h))
        z_i, z_f, z_g, z_o = np.split(z, 4, axis=1)
        i, f, g, o = self.gate(z_i), self.gate(z_f), self.tanh(z_g), self.gate(z_o)
        self.c = rounded(f * before + i * g, np.abs(f * before) + np.abs(i * g), 2)
        tanh_c = self.tanh(self.c)
        self.seen.append((i, f, g, o, before, tanh_c))
        return rounded(o * tanh_c)

    def step_back(self, t: int, dh: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        i, f, g, o, before, tanh_c = self.seen[t]
        dc = self.dc_next + dh * o * (1 - tanh_c**2)
        dc = self.arithmetic.each(dc, np.abs(self.dc_next) + np.abs(dh * o), 3)
        self.dc_next = self.arithmetic.each(dc * f)
        gates = (
            *(self.gate_back(dc * g, i), self.gate_back(dc * before, f)),
            *(self.tanh_back(dc * i, g), self.gate_back(dh * tanh_c, o)),
        )
        dz = np.concatenate(gates, axis=1)
        return dz, dz, np.zeros_like(dh)


class GruWay(Way):
    """With q the product of h in n, so that n = tanh(x's + r q):

    dn = dh (1 - z), dz = dh (h_before - n), dr = dn' q, dq = dn' r, where dn' is dn through the tanh.
    """

    def bias_of_h(self) -> NDArray:
        bias = self.parameters["bias_h"]
        return np.concatenate([np.zeros(2 * self.units, bias.dtype), bias])

    def step(self, from_x: NDArray, from_h: NDArray, h: NDArray) -> NDArray:
        rounded, units = self.arithmetic.each, self.units
        x_rz, x_n = from_x[:, : 2 * units], from_x[:, 2 * units :]
        h_rz, q = from_h[:, : 2 * units], from_h[:, 2 * units :]
        r, z = np.split(self.gate(rounded(x_rz + h_rz, np.abs(x_rz) + np.abs(h_rz))), 2, axis=1)
        n = self.tanh(rounded(x_n + r * q, np.abs(x_n) + np.abs(r * q), 2))
        self.seen.append((r, z, n, q, h))
        # Some compute n + z (h - n).
        return rounded((1 - z) * n + z * h, np.abs(n) + np.abs(z * h), 3)

    def step_back(self, t: int, dh: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        r, z, n, q, before = self.seen[t]
        rounded = self.arithmetic.each
        change = rounded(before - n, np.abs(before) + np.abs(n))
        dn = self.tanh_back(rounded(dh * (1 - z), np.abs(dh), 2), n)
        dr, dz = self.gate_back(dn * q, r), self.gate_back(dh * change, z)
        of_h = np.concatenate([dr, dz, rounded(dn * r)], axis=1)
        return np.concatenate([dr, dz, dn], axis=1), of_h, rounded(dh * z)

    def _weights_back(self, of_x: NDArray, of_h: NDArray) -> NDArray:
        self.add_bias("bias_h", of_h[:, :, 2 * self.units :])
        return super()._weights_back(of_x, of_h)


class Recurrent(Function):
    """One way, or both, each over the steps in its order; x's gradient is the sum of what they send."""

    layer: spec.Recurrent
    way: type[Way]

    def forward(self, x: NDArray) -> NDArray:
        self.ways = [self._way(suffix) for suffix in self.layer.suffixes]
        outputs = [
            self._turned(way.forward(self._turned(x, i)), i) for i, way in enumerate(self.ways)
        ]
        return np.concatenate(outputs, axis=2)

    def _way(self, suffix: str) -> Way:
        names = self.layer.of_a_way(0)
        parameters = {short: self.parameters[f"{short}{suffix}"] for short in names}
        return self.way(self.layer.units, parameters, self.arithmetic)

    def _turned(self, x: NDArray, i: int) -> NDArray:
        """Return x with its steps in the order of way i, or back."""
        return x[:, ::-1] if i == 1 or self.layer.direction == spec.REVERSE else x

    def backward(self, dy: NDArray) -> NDArray:
        parts = np.split(dy, len(self.ways), axis=2)
        dx = [
            self._turned(way.backward(self._turned(part, i)), i)
            for i, (way, part) in enumerate(zip(self.ways, parts, strict=True))
        ]
        for suffix, way in zip(self.layer.suffixes, self.ways, strict=True):
            self.gradients |= {f"{short}{suffix}": g for short, g in way.gradients.items()}
            self.terms |= {f"{short}{suffix}": size for short, size in way.terms.items()}
        if len(dx) == 1:
            return dx[0]
        return self.arithmetic.each(dx[0] + dx[1], np.abs(dx[0]) + np.abs(dx[1]))


class Lstm(Recurrent):
    """The gates i, f, g, o."""

    way = LstmWay


class Gru(Recurrent):
    """The gates r, z, n."""

    way = GruWay
