"""The vocabulary of layers. `KINDS` has every layer by its word in a spec."""

from workloads.layers.activations import (
    Activation,
    Elu,
    Gelu,
    LeakyRelu,
    Relu,
    Sigmoid,
    Silu,
    Softplus,
    Tanh,
)
from workloads.layers.attention import Attention, Patches
from workloads.layers.base import AT_EQUALS, AT_ZERO, Layer, Shape
from workloads.layers.blocks import Block, Branches, Residual, changed
from workloads.layers.convolutions import Conv1d, Conv2d, Convolution
from workloads.layers.images import AvgPool, GlobalAvgPool, MaxPool, PadChannels, Pool
from workloads.layers.norms import BatchNorm, GroupNorm, LayerNorm, RmsNorm
from workloads.layers.plain import Dense, Dropout, Flatten
from workloads.layers.sequences import (
    BIDIRECTIONAL,
    FORWARD,
    REVERSE,
    Gru,
    LastStep,
    Lstm,
    MeanSteps,
    Recurrent,
    Rows,
)
from workloads.layers.tokens import LEARNED, SINUSOIDAL, Embedding, Positions, sinusoids
from workloads.reading import by_kind

__all__ = [
    "AT_EQUALS",
    "AT_ZERO",
    "BIDIRECTIONAL",
    "FORWARD",
    "KINDS",
    "LEARNED",
    "REVERSE",
    "SINUSOIDAL",
    "Activation",
    "Attention",
    "AvgPool",
    "BatchNorm",
    "Block",
    "Branches",
    "Conv1d",
    "Conv2d",
    "Convolution",
    "Dense",
    "Dropout",
    "Elu",
    "Embedding",
    "Flatten",
    "Gelu",
    "GlobalAvgPool",
    "GroupNorm",
    "Gru",
    "LastStep",
    "Layer",
    "LayerNorm",
    "LeakyRelu",
    "Lstm",
    "MaxPool",
    "MeanSteps",
    "PadChannels",
    "Patches",
    "Pool",
    "Positions",
    "Recurrent",
    "Relu",
    "Residual",
    "RmsNorm",
    "Rows",
    "Shape",
    "Sigmoid",
    "Silu",
    "Softplus",
    "Tanh",
    "changed",
    "sinusoids",
]

KINDS = by_kind(Layer)
