"""lstm-digits in plain PyTorch, as its tutorials write it: what the adapter is held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from frameworks.pytorch.plain import adam_loop, cross_entropy


class Net(nn.Module):
    """Each row of an 8x8 image is a step; the last step decides."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 64, batch_first=True)
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Any) -> Any:
        """Return the logits; x is (batch, 1, 8, 8)."""
        outputs, _ = self.lstm(x.squeeze(1))
        return self.fc(outputs[:, -1])


def build(mode: str) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return the training loop; `mode` is eager or compile."""
    return adam_loop(mode, Net(), cross_entropy, lr=0.003)
