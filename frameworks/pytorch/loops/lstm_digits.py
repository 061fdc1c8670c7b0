"""lstm-digits in plain PyTorch, as its tutorials write it: what the adapter is held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn


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
    net = Net()
    model = torch.compile(net) if mode == "compile" else net
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.003)

    def train(batches: Sequence[Any]) -> Sequence[float]:
        losses = []
        for inputs, labels, _ in batches:
            inputs, labels = torch.from_numpy(inputs), torch.from_numpy(labels)
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    return train
