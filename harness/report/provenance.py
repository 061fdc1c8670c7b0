"""What stands around the numbers: where, with what and how they were measured, and warnings."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from harness.machine import host, processors
from harness.report import timing_notes
from harness.results import store, sweep, tables
from harness.results.tables import number
from harness.text import count, gibibytes, listed, plain
from workloads.places import arguments

CLOCK = (
    "training is timed from a batch in host memory to updated weights, the copy to the device"
    " included, ended by the framework's own synchronisation; inference likewise, to logits."
    " Reading, decoding and shuffling are outside; import, building and the first step are apart"
)

PARITY = (
    "before it is timed, each cell's first step (logits, loss, every gradient) and its weights and"
    " losses over {steps} steps are compared with a float64 reference, each within a bound derived"
    " from rounding, and so are slices that were timed. Undecided: a bound reaches half of the effect,"
    " so nothing was shown (docs/explanation/parity.md)"
)

_VARIABLES = 40
"""How many variables that were left out are named; the manifest has all."""

_HASHES = 2
"""How many hashes of a dataset are shown; the manifest has all."""


def warnings(record: store.Record) -> Iterator[str]:
    """What a reader must know before the first number."""
    options = record.manifest.get("options") or {}
    machine = record.manifest.get("machine") or {}
    parity_alone = arguments(record.manifest.get("command") or ())[:1] == ["parity"]
    if tables.synthetic(record.manifest) and not parity_alone:
        yield "SYNTHETIC DATA: the inputs mean nothing; speeds only, no accuracy is reported"
    if options.get("parity_steps") == 0:
        yield "numerical equivalence was not checked: --no-parity was given"
    if options.get("unused_data_dir"):
        yield "--data-dir was given, and no workload of this run reads files from it"
    if options.get("quick"):
        yield "smoke run (--quick): do not cite"
    if record.not_alone:
        yield (
            f"NOT ALONE ON ITS NODE: {plain('; '.join(record.not_alone))}; nothing is compared or ranked"
        )
    yield from _of_the_environment(record.manifest)
    yield from _of_the_processors(record)
    if record.torn:
        yield "the journal's last line was cut off and is left out"
    if times := len(record.every("run-resumed")):
        yield f"cut short and resumed {count(times, 'time')}: its launches are not of one sitting"
    load = number(next(iter(machine.get("load") or ()), None))
    cores = number(machine.get("cores_usable"))
    if load is not None and cores and load > host.BUSY * cores and not parity_alone:
        yield (
            f"the machine was busy at the start: load {load:.1f} on {cores:g} usable cores;"
            " speeds may be off"
        )


def handed_on(variables: Mapping[str, str]) -> str:
    """Say which of the user's variables the workers were given."""
    values = (f"{plain(name)}={plain(value)}" for name, value in variables.items())
    return f"--keep-env handed {listed(values)} to the workers: not comparable with a run without"


def _of_the_environment(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Which of the user's variables reached the workers, and which did not and might have mattered."""
    if variables := (manifest.get("options") or {}).get("kept_variables"):
        yield handed_on(variables)
    if names := manifest.get("variables_left_out"):
        shown = [*map(plain, names[:_VARIABLES])]
        shown += [f"{len(names) - _VARIABLES} more in {store.MANIFEST}"] * (len(names) > _VARIABLES)
        yield (f"set here and not handed to workers: {listed(shown)}; --keep-env NAME hands one on")


def _of_the_processors(record: store.Record) -> Iterator[str]:
    """That a quota holds the workers to fewer threads, and that another run was under way."""
    machine_of_run, options = (record.manifest.get(key) or {} for key in ("machine", "options"))
    quota, usable = (
        number(machine_of_run.get("cores_quota")),
        number(machine_of_run.get("cores_affinity")),
    )
    if quota is not None and usable is not None and quota < usable:
        threads = f"{count(options['threads'], 'thread')} a worker" if "threads" in options else ""
        short = "even one thread is halted at times" if quota < 1 else threads
        yield f"a CPU quota of {quota:g} of {count(int(usable), 'core')} holds here: {short}"
    for event in record.every("processors"):
        if taken := event.get("others"):
            yield (
                f"another run had processors {processors.in_words(taken)} meanwhile: caches, memory and"
                " the clock were shared with it"
            )


def refusals(record: store.Record) -> Iterator[str]:
    """The workloads that were refused, a sentence each: their cells are in no table of a report."""
    for workload, reason in tables.refused(record.events).items():
        yield plain(f"{workload} was refused, and none of its cells was started: {reason}")


def shortened(record: store.Record, workload: str) -> str:
    """Say how little a workload was trained, where that was less than it asks for; else nothing."""
    options = record.manifest.get("options") or {}
    spec = (record.manifest.get("workloads") or {}).get(workload) or {}
    planned = number((options.get("own_epochs") or {}).get(workload))
    epochs = number((spec.get("data") or {}).get("epochs"))
    if steps := options.get("steps"):
        return f"after {plain(steps)} steps"
    if epochs is not None and planned is not None and epochs < planned:
        return f"after {epochs:g} of its {planned:g} epochs"
    point = sweep.point_of(record.manifest, workload)
    if point and not point.as_declared:
        return f"at {plain(point.over)} {point.value:g}, for which nothing was tuned"
    # Older runs do not record how many a workload asks for.
    return "after one epoch" if options.get("quick") and planned is None else ""


def entries(record: store.Record, table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Pairs of a word and a sentence, in the order of a report's foot."""
    manifest = record.manifest
    options = manifest.get("options") or {}
    yield "clock", CLOCK
    yield "speeds", timing_notes.measured(record, table)
    yield "energy", timing_notes.energy(record)
    if not tables.synthetic(manifest) and table["examples"].notna().any():
        yield "scores", "on test data; precision, recall and F1 are plain means over the classes"
    yield "memory", _memory(table)
    if options.get("parity_steps"):
        yield "parity", PARITY.format(steps=plain(options["parity_steps"]))
    chosen = [f"{key} {plain(options[key])}" for key in ("threads", "seed") if key in options]
    if swept := sweep.Sweep.read(manifest):
        values = listed(f"{value:g}" for value in sorted({point.value for point in swept.points}))
        chosen.append(f"a sweep over {swept.over} {values}")
    chosen += [
        f"on processors {processors.in_words(event['processors'])}"
        + (
            f", after {waited:.0f} s of waiting for another run"
            if (waited := event.get("waited"))
            else ""
        )
        for event in record.every("processors")
        if event.get("processors")
    ]
    chosen += (
        ["deterministic algorithms, which may be slower"] if options.get("deterministic") else []
    )
    if chosen:
        yield "options", ", ".join(chosen)
    yield "machine", machine(manifest.get("machine") or {})
    yield from _versions(record).items()
    yield from _data(record)
    yield from _epochs(record)
    commit = manifest.get("git_commit")
    origin = [f"samestep {plain(manifest.get('samestep', '(unknown version)'))}"]
    origin += [f"commit {_short(plain(commit))}"] if commit else []
    origin += [f"started {plain(manifest['started'])[:19]} UTC"] if "started" in manifest else []
    yield "made by", ", ".join(origin)


def _memory(table: pd.DataFrame) -> str:
    """What the columns of memory mean, those that are there."""
    words = [
        "the largest resident set of the worker's process, the framework's own included; the floor is"
        " counted from the spec: weights, gradients, optimiser, every layer's output"
    ]
    if table["device_peak_bytes"].notna().any():
        words.append("on a GPU, the peak is reported by the framework's own allocator")
    if table["device_used_bytes"].notna().any():
        words.append(
            "held on it is what the driver (NVML) reports for the process at the end of training, its"
            " context and what the allocator keeps included"
        )
    return "; ".join(words)


def settings(record: store.Record) -> Iterator[tuple[str, str]]:
    """Every cell with the settings in force, as its worker read them back."""
    for event in record.every("built"):
        pairs = (event.get("settings") or {}).items()
        yield plain(event.get("cell")), ", ".join(f"{plain(k)} {plain(v)}" for k, v in pairs)


def command(record: store.Record) -> str:
    """The command line that makes the run again, or nothing where it is unknown."""
    return plain(shlex.join(map(str, record.manifest.get("command") or ())))


def workload(spec: Mapping[str, Any]) -> str:
    """A workload in a line: its data, portions, loss and optimiser, with all that was set in it."""
    data, optimiser = spec.get("data") or {}, spec.get("optimiser") or {}
    parameters = ", ".join(f"{key} {value}" for key, value in optimiser.items() if key != "kind")
    augment = " ".join(_augmentation(table) for table in data.get("augment") or ())
    words = [
        str(data.get("dataset", "")),
        f"augmented by {augment}" if augment else "",
        f"batch {data['batch']}" if "batch" in data else "",
        count(data["epochs"], "epoch") if isinstance(data.get("epochs"), int) else "",
        str(spec.get("loss", "")),
        f"{optimiser.get('kind', '')} {parameters}".strip(),
    ]
    return plain(", ".join(filter(None, words)))


def _augmentation(table: Mapping[str, Any]) -> str:
    values = " ".join(f"{key} {value}" for key, value in table.items() if key != "kind")
    kind = str(table.get("kind", ""))
    return f"{kind}({values})" if values else kind


def machine(described: Mapping[str, Any]) -> str:
    """A machine in a line; what is unknown is left out."""
    memory, total = number(described.get("memory_limit")), number(described.get("memory_total"))
    sizes = [size for size in (memory, total) if size is not None]
    gpus = [gpu.get("name") for gpu in described.get("gpus") or () if isinstance(gpu, Mapping)]
    cores = described.get("cores_usable"), described.get("cores_logical")
    words = [
        described.get("cpu"),
        f"{cores[0]:g} of {cores[1]} logical cores" if None not in cores else None,
        f"{gibibytes(min(sizes))} memory" if sizes else None,
        described.get("os"),
        f"kernel {described['kernel']}" if described.get("kernel") else None,
        f"virtualised ({described['virtualised']})" if described.get("virtualised") else None,
        f"frequency governor {described['governor']}" if described.get("governor") else None,
        f"load {described['load'][0]:.1f} at the start" if described.get("load") else None,
        ", ".join(map(str, gpus)) if gpus else None,
    ]
    return plain(", ".join(str(word) for word in words if word)) or "not described"


def _short(commit: str) -> str:
    """A commit's first digits; a "+" at its end says that files differed from it."""
    return f"{commit[:12]} with changes" if commit.endswith("+") else commit[:12]


def _versions(record: store.Record) -> dict[str, str]:
    """Each framework's versions, as its first worker reported them."""
    versions: dict[str, str] = {}
    ready = record.every("framework-ready")
    external = {event.get("framework") for event in ready if event.get("origin") == "given"}
    for event in record.every("opened"):
        name = tables.split(str(event.get("cell", "")))["framework"]
        named = dict(event.get("versions") or {})
        named |= {key: event[key] for key in ("numpy", "python") if event.get(key)}
        words = [f"{key} {version}" for key, version in named.items()]
        words += ["in an interpreter given, not built from the lock"] if name in external else []
        versions.setdefault(plain(name), plain(", ".join(words)))
    return versions


def _data(record: store.Record) -> Iterator[tuple[str, str]]:
    seen: set[tuple[str, ...]] = set()
    for event in record.every("dataset"):
        name = plain(event.get("name", "?"))
        contents = (name, *(event.get("sha256") or {}).values())
        if contents in seen:  # users' files may have one name and other contents
            continue
        seen.add(contents)
        hashes = [
            f"{key} {str(digest)[:12]}" for key, digest in (event.get("sha256") or {}).items()
        ]
        sizes = [
            f"{event[part]:,} {part}"
            for part in ("train", "test")
            if isinstance(event.get(part), int)
        ]
        unshown = [f"{len(hashes) - _HASHES} more in {store.MANIFEST}"] if hashes[_HASHES:] else []
        shown = f"sha256 {', '.join(hashes[:_HASHES] + unshown)}" if hashes else ""
        words = [str(event.get("source", "")), *sizes, shown]
        yield f"data {name}", plain(", ".join(filter(None, words)))


def _epochs(record: store.Record) -> Iterator[tuple[str, str]]:
    """What becomes of each workload's last batch of an epoch, where it is short."""
    for event in record.every("dataset"):
        name = str(event.get("workload", ""))
        data = ((record.manifest.get("workloads") or {}).get(name) or {}).get("data") or {}
        batch, examples = data.get("batch"), event.get("train")
        if not isinstance(batch, int) or not isinstance(examples, int) or not examples % batch:
            continue
        remainder = examples % batch
        words = {
            "drop": f"its last {count(remainder, 'example')} of {examples:,} are left out",
            "keep": f"its last batch has {count(remainder, 'example')}",
            "wrap": f"its last batch is filled up with its first {count(batch - remainder, 'example')}",
        }
        yield f"epoch of {plain(name)}", words.get(str(data.get("last", "drop")), "")
