"""A believable run, written through the store as a run itself would write it."""

from __future__ import annotations

import base64
from typing import Any, Self

from tests.runs import MadeUpRun

SPEEDS = {
    "pytorch/eager": 68210.0,
    "pytorch/compile": 41050.5,
    "tensorflow/eager": 9120.0,
    "tensorflow/graph": 25530.0,
    "tensorflow/xla": 38020.0,
    "mxnet/imperative": 8890.0,
    "mxnet/hybrid": 16310.0,
    "jax/eager": 1210.0,
    "jax/jit": 22340.0,
    "reference/numpy": 305.4,
}
PACKAGES = {
    "pytorch": {"torch": "2.13.0+cpu", "numpy": "2.4.6"},
    "tensorflow": {"tensorflow": "2.21.0", "keras": "3.12.0", "numpy": "2.4.6"},
    "mxnet": {"mxnet": "1.9.1", "numpy": "1.23.5"},
    "jax": {"jax": "0.10.2", "jaxlib": "0.10.2", "numpy": "2.4.6"},
    "reference": {"numpy": "2.4.6"},
}
LOSS = 2.3059871
IMAGES = {
    "shape": [24, 1, 8, 8],
    "top": 16,
    "labels": [place % 10 for place in range(24)],
    "data": base64.b64encode(bytes(place % 17 for place in range(24 * 64))).decode(),
}
NAMES = [*range(10)]


class ReportRun(MadeUpRun):
    """A run of cnn-digits with what reports show: each method writes a stage of it."""

    def begin(self, images: Any = IMAGES, inputs: str = "ab") -> None:
        self("run-started")
        for name in PACKAGES:
            self(
                "framework-ready",
                framework=name,
                title=name.title(),
                reference=name == "reference",
                origin="lock",
                python="3.11.7",
                lock="9f" * 32,
                seconds=0.4,
            )
        self(
            "dataset",
            workload="cnn-digits",
            name="digits",
            source="embedded",
            train=1437,
            test=360,
            sha256={
                "train_inputs.npy": inputs * 32,
                "train_labels.npy": "cd" * 32,
                "test_inputs.npy": "ef" * 32,
                "test_labels.npy": "01" * 32,
            },
            classes=["zero", *map(str, range(1, 10))],
            images=images,
        )

    def open_cell(self, cell: str, loss: float | None = None, log: str = "") -> None:
        """All events of a cell up to its first step."""
        framework = cell.split("/")[1]
        self("cell-started", cell, log=log or f"logs/{cell.replace('/', '-')}.log")
        self(
            "opened",
            cell,
            import_seconds=1.93,
            versions=PACKAGES.get(framework, {}),
            python="3.11.7",
            pid=4711,
            rss=210 * 2**20,
        )
        self("built", cell, seconds=0.21, settings={"threads": 2, "layout": "NCHW"})
        nudge = 1 + 1e-7 * (len(cell) % 7)
        self("first-step", cell, seconds=0.034, loss=LOSS * nudge if loss is None else loss)

    def train(self, cell: str, accuracy: float = 0.9722) -> None:
        """Training to its end, the metrics and the memory."""
        self("progress", cell, step=100, steps=675, loss=0.41)
        self("trained", cell, steps=675, seconds=4.2, losses=[2.3, 1.9, 1.2], final_loss=0.0123)
        self(
            "evaluated",
            cell,
            accuracy=accuracy,
            precision=accuracy + 0.001,
            recall=accuracy - 0.001,
            f1=accuracy,
            per_class=[],
            confusion=[],
            examples=360,
            seconds=0.05,
        )
        self("memory", cell, peak_rss=498 * 2**20, import_rss=210 * 2**20, device_peak=None)

    def time_slices(
        self, cell: str, rounds: int = 5, speed: float | None = None, launches: int = 3
    ) -> None:
        """Timed slices that vary by a percent or so from round to round and from launch to launch."""
        speed = speed or SPEEDS.get("/".join(cell.split("/")[1:3]), 1000.0)
        for launch in range(1, launches + 1):
            for number in range(1, rounds + 1):
                for kind, factor in (("train", 1.0), ("predict", 3.1)):
                    own = 1 + 0.01 * (number % 3) + 0.002 * ((launch * len(cell)) % 3)
                    seconds = 3200 / (speed * factor) * own
                    self(
                        "slice",
                        cell,
                        launch=launch,
                        round=number,
                        kind=kind,
                        steps=100,
                        samples=3200,
                        seconds=seconds,
                        cpu_seconds=seconds * 1.9,
                    )

    def fail(self, cell: str, status: str = "crashed", **more: Any) -> Self:
        usual = {
            "phase": "train",
            "signal": "SIGKILL",
            "reason": "killed by signal SIGKILL; the machine was short of memory",
            "log_tail": ["[06:31:02] operator.cc:120: | allocating 4 GiB |", "```", "Killed"],
        }
        return super().fail(cell, status, **(usual | more))

    def whole_cell(self, cell: str, **more: Any) -> None:
        self.open_cell(cell)
        self.train(cell, **more)
        self.time_slices(cell)
        self.done(cell)

    def score_classes(self, cell: str, accuracy: float) -> None:
        """Metrics with a confusion matrix and scores a class."""
        right = round(36 * accuracy)
        confusion = [
            [right if a == b else 36 - right if b == (a + 1) % 10 else 0 for b in NAMES]
            for a in NAMES
        ]
        wrong = round(10 - 10 * accuracy)  # of the first images: each taken for the next class
        predicted = [(label + (place < wrong)) % 10 for place, label in enumerate(IMAGES["labels"])]
        each = {"precision": accuracy, "recall": accuracy, "f1": accuracy, "support": 36}
        self(
            "evaluated",
            cell,
            accuracy=accuracy,
            precision=accuracy,
            recall=accuracy,
            f1=accuracy,
            per_class=[each] * 10,
            confusion=confusion,
            examples=360,
            seconds=0.05,
            predicted=predicted,
        )
