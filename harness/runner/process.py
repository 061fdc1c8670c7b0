"""One worker process: started, asked, frozen, thawed, ended. It knows nothing of what it computes."""

from __future__ import annotations

import getpass
import os
import platform
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from harness import protocol
from harness.environments import user_variables
from harness.runner import replies

_LOG_LINES, _LOG_TAIL = 20, 8192
"""What of a log goes to the journal: so many of its last lines, and of its last bytes."""

MOST_LOG = 256 * 2**20
"""Bytes that a worker may print. One that prints on and on would fill the disk for all the others."""

LOOK_SECONDS = 5.0
"""How often the log of a worker that says nothing is looked at."""

_MOST_REASON = 2000
"""Letters of a reason: an error's text may hold a whole array."""

_GRACE_SECONDS = 5.0

_CAUSES = {
    "SIGKILL": " (most often: out of memory)",
    "SIGBUS": " (most often: a full disk, under a file that is mapped into memory)",
}

# By default glibc gives the memory of a freed large tensor back to the kernel, which zeroes it and
# faults it in anew at the next step: that cost one framework a fifth of its throughput, and let
# its slices vary by 9% instead of 1.5%. It keeps it, here, for everyone. 32 MiB is the largest
# threshold that glibc takes; larger blocks are still mapped and unmapped one by one.
ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": str(2**40), "MALLOC_MMAP_THRESHOLD_": str(2**25)}

ISOLATION = {"PYTHONNOUSERSITE": "1"}
"""Keeps packages of the user's out of a worker: it imports its own environment's."""


class WorkerFailed(RuntimeError):
    """A worker did not do its job: what happened, in the words that go to the cell's record."""

    def __init__(
        self,
        status: str,
        reason: str,
        signal_name: str | None = None,
        log_tail: Iterable[str] = (),
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.signal_name = signal_name
        self.log_tail = list(log_tail)


class WorkerProcess:
    """A running worker. Its process group is its own, so that all it starts is ended with it."""

    def __init__(
        self,
        python: Path,
        root: Path,
        log: Path,
        variables: Mapping[str, str],
        cpus: Iterable[int] | None = None,
    ) -> None:
        """Start ``python -P root/harness/worker.py``, standard output and error going to `log`.

        `variables` are set on top of what of this process's environment is handed on; `cpus` are the
        processors that the worker may use, in force before its first instruction.
        """
        near_end, far_end = socket.socketpair()
        self.log = log
        self._log_before = self._log_size()
        self._channel = protocol.Channel(near_end)
        self._jobs = 0
        self._frozen = False
        command = [str(python), "-P", str(root / "harness" / "worker.py"), str(far_end.fileno())]
        environment = worker_environment(variables)
        with log.open("ab") as output, far_end, _affinity(cpus):
            self._process = subprocess.Popen(
                command,
                cwd=log.parent,  # its children may import from it: never the root's own neighbours
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[far_end.fileno()],
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def ask(
        self,
        job: str,
        timeout: float,
        on_event: Callable[[dict[str, Any]], None] | None = None,
        **arguments: Any,
    ) -> dict[str, Any]:
        """Have one job done and return its result; `timeout` seconds may pass between two events.

        Raises:
            WorkerFailed: it crashed, was killed, hung, wrote garbage, or says that it failed.
        """
        self._jobs += 1
        try:
            self._channel.send({"job": job, "id": self._jobs, **arguments})
            while True:
                event = self._receive(job, timeout)
                if event.get("id") != self._jobs:
                    raise protocol.ProtocolError(f"an unexpected message: {str(event)[:80]}")
                if wrong := replies.misfit(job, event):
                    raise protocol.ProtocolError(wrong)
                if event["event"] == "done":
                    return event["result"]
                if event["event"] == "failed":
                    raise self._failure(event["status"], event["reason"])
                if on_event:
                    on_event(event)
        except TimeoutError:
            self.kill()
            reason = f"{job}: no response for {timeout:g} s; worker killed (timeout)"
            raise self._failure("timed out", reason) from None
        except protocol.Closed:
            raise self._obituary(job) from None
        except protocol.ProtocolError as error:
            self.kill()
            raise self._failure("crashed", f"{job}: garbage on the channel: {error}") from None

    def _receive(self, job: str, timeout: float) -> dict[str, Any]:
        """Wait for the next message, and look at the log's size meanwhile.

        Raises WorkerFailed where the log is too long, and what `protocol.Channel.receive` raises.
        """
        deadline = time.monotonic() + timeout
        while True:
            left = max(0.0, deadline - time.monotonic())
            try:
                event = self._channel.receive(min(left, LOOK_SECONDS))
            except TimeoutError:
                self._check_log(job)
                if left <= LOOK_SECONDS:
                    raise
            else:
                self._check_log(job)
                return event

    def _check_log(self, job: str) -> None:
        """Kill a worker that has printed too much, and keep the end of that. Raises WorkerFailed."""
        printed = self._log_size() - self._log_before
        if printed <= MOST_LOG:
            return
        self.kill()
        end = self._log_end()
        os.truncate(self.log, self._log_before)
        with self.log.open("ab") as log:
            log.write(end)
        amounts = f"{printed / 2**20:,.0f} MiB, {MOST_LOG / 2**20:,.0f} MiB are the most"
        raise self._failure("failed", f"{job}: the worker printed {amounts}; worker killed")

    def _failure(self, status: str, reason: str, signal_name: str | None = None) -> WorkerFailed:
        return WorkerFailed(status, reason[:_MOST_REASON], signal_name, self.log_tail())

    def _obituary(self, job: str) -> WorkerFailed:
        """Say how a worker that closed its channel ended."""
        try:
            code = self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._failure("crashed", f"{job}: the worker closed its channel and did not end")
        self.kill()
        if code >= 0:
            return self._failure("crashed", f"{job}: the worker ended with exit status {code}")
        name = _signal_name(-code)
        cause = _CAUSES.get(name, "")
        return self._failure("crashed", f"{job}: the worker was killed by {name}{cause}", name)

    def log_tail(self) -> list[str]:
        """Return the last lines of the log."""
        return self._log_end().decode("utf-8", "replace").splitlines()[-_LOG_LINES:]

    def _log_end(self) -> bytes:
        """Return the log's last bytes; it may be longer than memory."""
        with self.log.open("rb") as log:
            log.seek(max(0, self._log_size() - _LOG_TAIL))
            return log.read(_LOG_TAIL)

    def _log_size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    @contextmanager
    def moved(self, cpus: Sequence[int], home: Sequence[int]) -> Iterator[None]:
        """Have all threads of the worker use `cpus` meanwhile, and then `home`, where it started."""
        if cpus != home:
            self._move(cpus)
        yield
        if cpus != home:
            self._move(home)

    def _move(self, cpus: Sequence[int]) -> None:
        for thread in Path(f"/proc/{self.pid}/task").glob("*"):
            with suppress(ProcessLookupError):  # it has just ended
                os.sched_setaffinity(int(thread.name), set(cpus))

    def freeze(self) -> None:
        """Stop the whole process group; it uses no processor until it is thawed."""
        self._signal(signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        """Let a frozen process group go on."""
        if self._frozen:
            self._signal(signal.SIGCONT)
            self._frozen = False

    def close(self) -> None:
        """End the worker: it is given a moment to go by itself, then killed with all it started."""
        self.thaw()
        self._channel.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Kill the process group at once, and wait until the process is gone."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._channel.close()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def worker_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return what of this process's environment every worker is given, with `variables`.

    The allocator's settings are the same in all workers.
    """
    return {
        **user_variables.allowed(os.environ),
        **ISOLATION,
        **_user_name(),
        **variables,
        **_allocator(),
    }


def _signal_name(number: int) -> str:
    """The name of a signal; most real-time ones have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _user_name() -> dict[str, str]:
    """A name for users who have none, as in containers: some frameworks name folders by it, or fail."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        return {"LOGNAME": f"uid-{os.getuid()}"}
    return {}


def _allocator() -> dict[str, str]:
    """Return how the C library is to keep freed memory; nothing where it is not glibc."""
    return ALLOCATOR if platform.libc_ver()[0] == "glibc" else {}


@contextmanager
def _affinity(cpus: Iterable[int] | None) -> Iterator[None]:
    """Have children started meanwhile use `cpus` only, from their first instruction."""
    if not cpus or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(cpus))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
