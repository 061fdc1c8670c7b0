"""Write what docs/ says of the summary's columns from the registry of metrics: `python docs/columns.py`.

That is the table of metrics in docs/reference/run-folder.md and the cells in
docs/reference/schema/report.schema.json. A test holds both against the registry.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from harness.results.metric import Metric  # noqa: E402
from harness.results.metrics import BY_NAME, METRICS  # noqa: E402
from harness.results.tables import LABELS  # noqa: E402

RESULTS = ROOT / "docs" / "reference" / "run-folder.md"
SCHEMA = ROOT / "docs" / "reference" / "schema" / "report.schema.json"

BEGIN, END = "<!-- metrics -->\n\n", "\n<!-- end of metrics -->\n"
"""What the generated table stands between."""

_HEAD = ("column", "metric", "on a terminal", "compared by", "meaning")

_PARTS = ("low", "high", "slices", "p90")
"""Metrics that say more of another one, whose name theirs begins with: they share its row."""


def results(text: str) -> str:
    """Return docs/reference/run-folder.md with the table of metrics made anew."""
    before, rest = text.split(BEGIN)
    rows = [_HEAD, ("---",) * len(_HEAD)]
    rows += [_row(metric) for metric in METRICS if not _is_part(metric)]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return f"{before}{BEGIN}{table}{END}{rest.split(END)[1]}"


def _is_part(metric: Metric) -> bool:
    name, _, part = metric.name.rpartition("-")
    return part in _PARTS and name in BY_NAME


def _row(metric: Metric) -> tuple[str, ...]:
    parts = (BY_NAME.get(f"{metric.name}-{part}") for part in _PARTS)
    columns = [metric.column, *(part.column for part in parts if part)]
    commands = {
        "`check`": metric.gate,
        "`history`": metric.history,
        "`bisect`": metric.bisect,
        "`compare`": metric.compare,
    }
    compared = [name for name, compares in commands.items() if compares]
    return (
        ", ".join(f"`{column}`" for column in columns),
        metric.name,
        "" if metric.priority is None else metric.short,
        "all" if len(compared) == len(commands) else ", ".join(compared),
        metric.meaning,
    )


def schema(text: str) -> str:
    """Return the JSON Schema of the report with the cells' columns made anew."""
    cell = json.loads(text)["$defs"]["cell"]
    columns = {name: cell["properties"][name] for name in LABELS} | {
        metric.column: {"type": [metric.type, "null"], "description": metric.title}
        for metric in METRICS
    }
    required = ",\n".join(f'        "{name}"' for name in columns)
    properties = ",\n".join(f'        "{name}": {json.dumps(columns[name])}' for name in columns)
    head = '      "required": [\n'
    return (
        f'{text.split(head)[0]}{head}{required}\n      ],\n      "properties": {{\n{properties}\n'
        "      }\n    }\n  }\n}\n"
    )


if __name__ == "__main__":
    for path, write in ((RESULTS, results), (SCHEMA, schema)):
        path.write_text(write(path.read_text(encoding="utf-8")), encoding="utf-8")
