"""The machine that a unit of a matrix runs on: its name, who else is there, and what reaches the run."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path

_FOREIGN_NAMES = """
    OMP_* GOMP_* KMP_* MKL_* OPENBLAS_* BLIS_* NUMEXPR_* MALLOC_* LD_PRELOAD
    CUDA_VISIBLE_DEVICES GPU_DEVICE_ORDINAL ROCR_VISIBLE_DEVICES HIP_VISIBLE_DEVICES ZE_AFFINITY_MASK
    SBATCH_* SRUN_* SLURM_CPU_BIND*
"""
_FOREIGN = _FOREIGN_NAMES.split()
"""Variables that engines set for jobs of theirs: threads, allocators, and cards by a numbering that holds
for a part of a machine. A unit has the whole one."""

_HABITS = ("SBATCH_*", "SQUEUE_*", "SCANCEL_*", "SCONTROL_*", "SLURM_TIME_FORMAT")
"""Variables by which users change what Slurm's programs do: SQUEUE_USERS would hide a neighbour."""

UNIT = "SAMESTEP_UNIT"
"""The variable by which a run knows that it is a unit's: MATRIX/NUMBER."""

_LAST_SECONDS = 150.0
"""Slurm may send its signal up to a minute before the time that was asked for."""


def host() -> str:
    """This machine's name."""
    return socket.gethostname()


def name() -> str:
    """This node's name, as its engine has it; elsewhere the machine's."""
    return os.environ.get("SLURMD_NODENAME") or host()


def unit() -> str | None:
    """The unit of a matrix that this process runs, as MATRIX/NUMBER; None of any other run."""
    return os.environ.get(UNIT)


def job() -> str | None:
    """The engine's own name for this job; None outside of an engine that is known."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{word}") for word in ("JOB_ID", "TASK_ID"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def environment(environ: Mapping[str, str], keep: Iterable[str]) -> dict[str, str]:
    """What of `environ` the run is started with; `keep` are names that `--keep-env` asks for."""
    kept_names = {*keep}
    return {
        variable: value
        for variable, value in environ.items()
        if variable in kept_names or not any(fnmatchcase(variable, pattern) for pattern in _FOREIGN)
    }


def for_slurm() -> dict[str, str]:
    """The environment for Slurm's programs, without what changes what they do or print."""
    return {
        variable: value
        for variable, value in os.environ.items()
        if not any(fnmatchcase(variable, pattern) for pattern in _HABITS)
    }


def neighbours() -> list[str] | None:
    """The other jobs on this node, as "4711 of ann"; None where no engine can say."""
    own_job, node = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURMD_NODENAME")
    if not (own_job and node):
        return None
    text = _output("squeue", "--noheader", f"--nodelist={node}", "--format=%A|%u|%T")
    if text is None:
        return None
    rows = [line.strip().split("|") for line in text.splitlines() if line.count("|") == 2]
    busy = ("RUNNING", "SUSPENDED", "COMPLETING", "STOPPED")
    return [
        f"{job_id} of {user}" for job_id, user, state in rows if job_id != own_job and state in busy
    ]


def why_terminated() -> str:
    """What an engine ends this job for, in its own word, asked at the moment of its signal."""
    own_job = os.environ.get("SLURM_JOB_ID")
    text = _output("scontrol", "show", "job", own_job, "--oneliner") if own_job else None
    fields = dict(re.findall(r"(\w+)=(\S*)", text or ""))
    state = fields.get("JobState", "")
    if state not in ("", "RUNNING", "COMPLETING"):
        return state
    try:
        left = datetime.fromisoformat(fields.get("EndTime", "")).timestamp() - time.time()
    except ValueError:
        left = float("inf")
    return "TIMEOUT" if left < _LAST_SECONDS else "SIGTERM"


def scratch() -> Path:
    """A folder on this machine's own disk: $TMPDIR, or /tmp."""
    return Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - a fresh folder is made in it


def _output(*command: str | None) -> str | None:
    """What a program prints; None where there is none, or it fails."""
    try:
        completed = subprocess.run(
            [str(word) for word in command],
            env=for_slurm(),
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return completed.stdout
