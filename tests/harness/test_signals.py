"""SIGTERM, SIGHUP and the like end a command as Ctrl-C does, once."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from harness.signals import ENDING, Terminated, terminated_by_signals


@pytest.mark.parametrize("number", ENDING)
def test_the_first_signal_ends_and_the_next_do_not_disturb_the_end(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in ENDING]
    ended: list[str] = []
    with pytest.raises(Terminated) as end, terminated_by_signals():
        try:
            os.kill(os.getpid(), number)
        finally:
            for each in ENDING:
                os.kill(os.getpid(), each)
            ended.append("whole")
    assert end.value.number == number and str(end.value) == number.name
    assert ended == ["whole"]
    assert [signal.getsignal(each) for each in ENDING] == before


def test_whoever_catches_ctrl_c_catches_it() -> None:
    assert issubclass(Terminated, KeyboardInterrupt)


def test_a_signal_that_is_ignored_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
    try:
        with terminated_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_sets_no_handler() -> None:
    seen: list[object] = []

    def work() -> None:
        with terminated_by_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
