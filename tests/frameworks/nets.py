"""Tiny nets that every adapter is tried with: each word of a workload's file is in one of them.

Standard library and NumPy only. Compilers take every net anew, and most of that by the layer and by
the call between kernels: so words stand side by side in branches where they can, and no net repeats
what another has.
"""

from __future__ import annotations

import dataclasses

from workloads.layers import (
    BIDIRECTIONAL,
    REVERSE,
    SINUSOIDAL,
    Attention,
    AvgPool,
    BatchNorm,
    Branches,
    Conv1d,
    Conv2d,
    Dense,
    Dropout,
    Elu,
    Embedding,
    Flatten,
    Gelu,
    GlobalAvgPool,
    GroupNorm,
    Gru,
    LastStep,
    Layer,
    LayerNorm,
    LeakyRelu,
    Lstm,
    MaxPool,
    MeanSteps,
    PadChannels,
    Patches,
    Positions,
    Relu,
    Residual,
    RmsNorm,
    Rows,
    Sigmoid,
    Silu,
    Softplus,
    Tanh,
)
from workloads.optimisers import (
    Adam,
    AdamW,
    Constant,
    Cosine,
    Optimiser,
    RmsProp,
    Schedule,
    Sgd,
    Stairs,
)
from workloads.spec import Data, Init, Workload


def _net(
    name: str,
    shape: tuple[int, ...],
    loss: str,
    *layers: Layer,
    classes: int,
    optimiser: Optimiser,
    schedule: Schedule | None = None,
    label_smoothing: float = 0.0,
    last: str = "drop",
    tokens: int = 0,
) -> Workload:
    """With `tokens`, inputs are such, and the labels are one a step."""
    return Workload(
        name=name,
        title=name,
        data=Data("synthetic", batch=6, epochs=1, last=last),
        layers=layers,
        init=Init("uniform-fan-in"),
        loss=loss,
        label_smoothing=label_smoothing,
        optimiser=optimiser,
        schedule=schedule or Constant(),
        target_accuracy=0.0,
        input_shape=shape,
        classes=classes,
        tokens=tokens,
        label_shape=shape if tokens else (),
    )


# Sides, strides and windows differ and leave a rest, so that no two of them can be exchanged. No
# bias goes straight into a norm: its gradient would be 0 but for rounding, which Adam blows up.
_NETS = (
    _net(
        "adam",
        (5,),
        "mean-squared-error",
        *(Dense(6), Tanh(), BatchNorm(), Dense(3)),
        classes=3,
        optimiser=Adam(0.01, beta1=0.8, beta2=0.99, epsilon=1e-3, weight_decay=0.1),
        schedule=Stairs(every=2, gamma=0.5),
    ),
    _net(
        "activations",
        (5,),
        "cross-entropy",
        Dense(6),
        Branches(
            "concat",
            (
                (Tanh(), LayerNorm(), Dropout(0.3)),
                (Sigmoid(), RmsNorm()),
                (LeakyRelu(0.2), RmsNorm(1e-2)),
                (Elu(0.7), LayerNorm(epsilon=1e-2)),
                (Elu(), Relu()),
                (Gelu(),),
                (Gelu("tanh"),),
                (Silu(),),
                (Softplus(), Dropout(0.5)),
            ),
        ),
        Dense(4),
        classes=4,
        optimiser=AdamW(0.01, weight_decay=0.1),
    ),
    _net(
        "residual",
        (3, 9, 7),
        "cross-entropy",
        *(Conv2d(4, kernel=3, padding=1, bias=False), BatchNorm(), Relu(), Dropout(0.25)),
        Residual(body=(Conv2d(4, kernel=3, padding=1, bias=False), BatchNorm())),
        Relu(),
        Residual(
            body=(
                Conv2d(6, kernel=3, stride=2, padding=1, bias=False),
                BatchNorm(epsilon=1e-2, momentum=0.3),
            ),
            shortcut=(AvgPool(1, stride=2), PadChannels(6)),
        ),
        *(Relu(), GlobalAvgPool(), Dense(4)),
        classes=4,
        optimiser=Sgd(0.1, momentum=0.9, weight_decay=0.01),
        schedule=Cosine(steps=6, warmup=2),
        label_smoothing=0.1,
    ),
    _net(
        "nesterov",
        (3, 4, 3),
        "cross-entropy",
        *(Conv2d(4, kernel=3, padding=1, bias=False), BatchNorm(), Relu(), Dropout(0.25)),
        *(Flatten(), Dense(4)),
        classes=4,
        optimiser=Sgd(
            0.5,
            momentum=0.9,
            nesterov=True,
            weight_decay=0.05,
            decay="kernels",
            clip_norm=0.5,
            accumulate=2,
            average=0.8,
        ),
        schedule=Stairs(every=1, gamma=0.5),
        last="keep",
    ),
    _net(
        "sequence",
        (2, 5, 4),
        "cross-entropy",
        *(Conv2d(3, kernel=2), Rows(), Dense(6), LayerNorm(epsilon=1e-2), Tanh(), Dropout(0.25)),
        Residual(
            body=(Residual(body=(Dense(6), Sigmoid())), LastStep()),
            shortcut=(MeanSteps(), Dense(6)),
        ),
        Dense(4),
        classes=4,
        optimiser=Sgd(0.1, momentum=0.9),
    ),
    _net(
        "attention",
        (2, 4, 8),
        "cross-entropy",
        *(Patches(2), Dense(6), Positions()),
        Residual(body=(LayerNorm(epsilon=1e-2), Attention(2))),
        *(Attention(3, bias=False, dropout=0.25), LayerNorm(), MeanSteps(), Dense(4)),
        classes=4,
        optimiser=Sgd(0.1, momentum=0.9),
    ),
    _net(
        "tokens",
        (8,),
        "cross-entropy",
        *(Embedding(11, 6, padding=3), Positions(), Positions(SINUSOIDAL)),
        *(Dropout(0.25), Attention(2, causal=True)),
        Residual(body=(LayerNorm(epsilon=1e-2), Attention(3, causal=True, dropout=0.25))),
        Dense(11),
        classes=11,
        optimiser=AdamW(0.01, weight_decay=0.1),
        label_smoothing=0.1,
        tokens=11,
    ),
    _net(
        "recurrent",
        (2, 3, 4),
        "cross-entropy",
        Branches("concat", ((Rows(),), (Tanh(), Rows()))),
        *(Lstm(3, BIDIRECTIONAL), RmsNorm(), Gru(5, REVERSE)),
        *(Branches("concat", ((MeanSteps(),), (LastStep(),))), Dense(4)),
        classes=4,
        optimiser=Adam(0.01),
    ),
    # Of inputs with mean 100 and deviation 0.3: a variance E[x^2] - E[x]^2 has no digit left.
    _net(
        "offset",
        (3, 5, 4),
        "cross-entropy",
        Branches(
            "concat",
            (
                (BatchNorm(), Tanh(), Flatten()),
                (Flatten(), BatchNorm()),
                (GroupNorm(1), Tanh(), Flatten()),
            ),
        ),
        Dense(4),
        classes=4,
        optimiser=Sgd(0.1),
    ),
    # Every way of padding, dilation, groups: sides, strides and sizes leave rests and odd elements.
    _net(
        "windows",
        (4, 19, 16),
        "cross-entropy",
        *(Conv2d(8, kernel=3, stride=2, padding="same"), Relu(), MaxPool(3, 1, padding="same")),
        *(Conv2d(8, kernel=3, padding=(0, 1, 2, 1), groups=8), Tanh()),
        AvgPool(3, stride=2, padding=(1, 0, 0, 1), ceil=True),
        *(Conv2d(6, kernel=3, padding=2, dilation=2, groups=2), Relu()),
        MaxPool(2, padding=(1, 0, 0, 0), ceil=True),
        AvgPool(3, stride=1, padding=1, count_padding=True),
        *(Tanh(), AvgPool(2, ceil=True, count_padding=True), Flatten(), Dense(4)),
        classes=4,
        optimiser=Sgd(0.1, momentum=0.9),
    ),
    _net(
        "branches",
        (3, 9, 7),
        "cross-entropy",
        *(Conv2d(4, kernel=3, padding=1), Relu(), GroupNorm(2, epsilon=1e-2)),
        Branches(
            "concat",
            (
                (Conv2d(4, kernel=1), Dropout(0.25)),
                (MaxPool(3, stride=1, padding=1), GroupNorm(4)),
                (),
            ),
        ),
        *(MaxPool(2, stride=1), AvgPool(3, stride=2)),
        Branches(
            "add",
            (
                (),
                (Conv2d(12, kernel=3, padding="same", groups=12), Tanh()),
                (Sigmoid(), Dropout(0.3)),
            ),
        ),
        *(GlobalAvgPool(), Branches("concat", ((Dense(4),), ())), GroupNorm(2), Dense(4)),
        classes=4,
        optimiser=Sgd(0.1, momentum=0.9),
    ),
    _net(
        "steps",
        (11, 4),
        "cross-entropy",
        *(Conv1d(6, kernel=3, padding="causal"), Relu()),
        *(Conv1d(6, kernel=2, stride=2, padding="same", groups=6, bias=False), Tanh()),
        Conv1d(4, kernel=2, padding=(1, 2), dilation=2, groups=2),
        *(Branches("concat", ((Conv1d(3, kernel=1),), ())), Relu(), Flatten(), Dense(3)),
        classes=3,
        optimiser=RmsProp(0.01, rho=0.8, momentum=0.9, epsilon=1e-2, clip_value=0.02, average=0.8),
    ),
)
NETS = {net.name: net for net in _NETS}

_END = Cosine(steps=2, warmup=1)  # Of STEPS, the last two are taken at a rate of 0.
_UPDATES = {
    "sgd, cosine": (Sgd(0.1), _END),
    "sgd, decay": (Sgd(0.1, weight_decay=0.01), Constant()),
    "momentum, warm-up": (Sgd(0.1, momentum=0.9), Constant(warmup=3)),
    "momentum, step": (Sgd(0.1, momentum=0.9), Stairs(every=2, gamma=0.3)),
    "momentum, cosine": (Sgd(0.1, momentum=0.9, weight_decay=0.01), _END),
    "adam, constant": (Adam(0.01), Constant()),
    "adam, cosine": (Adam(0.01, weight_decay=0.1), _END),
    "nesterov, cosine": (
        Sgd(0.1, momentum=0.9, nesterov=True, weight_decay=0.01, decay="kernels"),
        _END,
    ),
    "rmsprop, step": (
        RmsProp(0.01, momentum=0.9, weight_decay=0.1, decay="kernels", accumulate=2),
        Stairs(every=1, gamma=0.3),
    ),
    "adam, accumulated": (
        Adam(0.01, clip_norm=0.1, accumulate=2, average=0.9, weight_decay=0.1),
        Constant(warmup=3),
    ),
    "adamw, kernels": (
        AdamW(0.01, weight_decay=0.1, decay="kernels", accumulate=3, average=0.9),
        Constant(),
    ),
    "adamw, step": (AdamW(0.01, weight_decay=0.1), Stairs(every=2, gamma=0.3, warmup=1)),
}
UPDATES = {
    name: dataclasses.replace(NETS["adam"], name=name, optimiser=optimiser, schedule=schedule)
    for name, (optimiser, schedule) in _UPDATES.items()
}
"""One small net with further optimisers and schedules."""

WORKLOADS = NETS | UPDATES

FALLING = _net(
    "falling",
    (1,),
    "mean-squared-error",
    Dense(1),
    classes=1,
    optimiser=Sgd(0.1, momentum=0.9),
    schedule=Stairs(every=1, gamma=0.1),
)
