"""A real Slurm of two nodes on this machine, begun and ended by the test that needs it.

All of it lies in one folder: its own munge, configuration, ports, state and logs. No accounting runs.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")

CONF = """
ClusterName=samestep
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
SlurmctldPort={port}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/linear
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=2,batch_sched_delay=0
SlurmdTimeout=10
KillWait=5
ReturnToService=2
MinJobAge=300
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MpiDefault=none
NodeName=n1 NodeAddr=127.0.0.1 NodeHostname={host} Port={n1} CPUs=1 RealMemory=1000 State=UNKNOWN
NodeName=n2 NodeAddr=127.0.0.1 NodeHostname={host} Port={n2} CPUs=1 RealMemory=1000 State=UNKNOWN
PartitionName=low Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=high Nodes=n1,n2 MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def missing() -> str:
    """Why no cluster can run here; nothing where one can."""
    absent = [name for name in PROGRAMS if _program(name) is None]
    if absent:
        return f"no {', '.join(absent)} here: install slurm-wlm and munge"
    return "" if os.getuid() == 0 else "slurmd has to be started by root"


class Cluster:
    """The running cluster; `variables` reach it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self.variables = {"SLURM_CONF": str(self.conf)}
        (folder / "state").mkdir(parents=True)
        ports = dict(zip(("port", "n1", "n2"), _free_ports(3), strict=True))
        host, user = socket.gethostname().partition(".")[0], getpass.getuser()
        self.conf.write_text(CONF.format(folder=folder, host=host, user=user, **ports))

    def begin(self) -> None:
        """Start munge, the controller and both nodes, and wait until they are idle."""
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed"}
        options = [f"--{option}={self.folder}/munge.{file}" for option, file in files.items()]
        self.call("munged", "--force", f"--log-file={self.folder}/munge.log", *options)
        self.begin_controller()
        for node in ("n1", "n2"):
            self.begin_node(node)
        self.wait(lambda: self.call("sinfo", "-h", "-t", "idle", "-o", "%D").strip() == "2")

    def begin_controller(self) -> None:
        """Start the controller, again with what it knew."""
        self.call("slurmctld", "-f", str(self.conf))

    def begin_node(self, node: str) -> None:
        """Start a node's daemon."""
        self.call("slurmd", "-f", str(self.conf), "-N", node)

    def kill(self, daemon: str) -> None:
        """Kill a daemon, of slurmctld, slurmd-n1 and slurmd-n2, without a word of warning."""
        os.kill(int((self.folder / f"{daemon}.pid").read_text()), signal.SIGKILL)

    def call(self, program: str, *arguments: str) -> str:
        """Return what a program of Slurm prints."""
        command = [str(_program(program)), *arguments]
        environment = {**os.environ, **self.variables}
        completed = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60
        )
        assert completed.returncode == 0, completed.stderr
        return completed.stdout

    def end(self) -> None:
        """End all that was started: every process that was told of this configuration."""
        began_here = [process for process in psutil.process_iter() if self._is_ours(process)]
        for process in began_here:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        for process in psutil.wait_procs(began_here, timeout=60)[1]:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            told = process.environ().get("SLURM_CONF")
        except psutil.Error:
            return False
        return told == str(self.conf) and process.pid != os.getpid()

    def wait(self, condition: Callable[[], object], seconds: float = 120) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                queue, nodes = self.call("squeue"), self.call("sinfo", "--list-reasons")
                raise AssertionError(f"it did not happen in time:\n{queue}\n{nodes}")
            time.sleep(0.2)


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
