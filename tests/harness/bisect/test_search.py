"""A search comes to the release that changed something, whatever is left out on the way."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness.bisect.question import BAD, CHANGED, GOOD, UNCHANGED, Difference
from harness.bisect.search import SKIPPED, Search
from harness.outcomes import INCONCLUSIVE

SURE = Difference(-0.1, -0.12, -0.08, 5).to_dict()
UNSURE = Difference(-0.1, -0.3, 0.1, 5).to_dict()


def event(release: str | None, verdict: str, step: dict[str, Any] | None = SURE) -> dict[str, Any]:
    left_out = verdict in (INCONCLUSIVE, SKIPPED)
    return {
        "release": release,
        "verdict": verdict,
        "step": None if left_out else step,
        "reason": "it is so",
        "runs": ["a"],
        "seconds": 2.0,
    }


def names(count: int) -> list[str]:
    return [f"1.{number}" for number in range(count)]


@given(st.integers(2, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n - 1))))
def test_one_step_is_found_with_few_measurements(case: tuple[int, int]) -> None:
    count, first_bad = case
    search = Search(names(count))
    search.take(event(None, CHANGED))
    while not search.done:
        release = search.next
        assert release is not None
        search.take(event(release, BAD if int(release[2:]) >= first_bad else GOOD))
    assert search.ends == (f"1.{first_bad - 1}", f"1.{first_bad}")
    assert search.between == []
    assert search.runs <= 2 + math.log2(count)


@given(
    st.integers(3, 40).flatmap(
        lambda n: st.tuples(st.just(n), st.integers(1, n - 1), st.sets(st.integers(1, n - 2)))
    )
)
def test_what_is_left_out_lies_in_the_range_and_nothing_is_measured_twice(
    case: tuple[int, int, set[int]],
) -> None:
    count, first_bad, broken = case
    search, seen = Search(names(count)), set[str]()
    search.take(event(None, CHANGED))
    while not search.done:
        release = search.next
        assert release is not None and release not in seen
        seen.add(release)
        number = int(release[2:])
        verdict = SKIPPED if number in broken else BAD if number >= first_bad else GOOD
        search.take(event(release, verdict))
    good, bad = (int(one[2:]) for one in search.ends)
    assert good < first_bad <= bad
    assert {int(one[2:]) for one in search.between} == set(range(good + 1, bad)) <= broken


@given(st.lists(st.sampled_from([GOOD, BAD, INCONCLUSIVE, SKIPPED]), max_size=12))
def test_a_log_says_where_a_search_stands(verdicts: list[str]) -> None:
    search, events = Search(names(20)), [event(None, CHANGED)]
    search.take(events[0])
    for verdict in verdicts:
        if search.done:
            break
        events.append(event(search.next, verdict))
        search.take(events[-1])
    assert Search.replay(names(20), events) == search


def test_no_change_between_the_ends_ends_it() -> None:
    for verdict in (UNCHANGED, INCONCLUSIVE):
        search = Search(names(9))
        assert (search.done, search.next) == (False, None)
        search.take(event(None, verdict, UNSURE))
        assert (search.done, search.overall_moved) == (True, verdict)


def test_a_step_that_is_not_sure_is_measured_once_more_by_itself() -> None:
    for verdict, step in ((CHANGED, SURE), (INCONCLUSIVE, UNSURE)):
        search = Search(names(3))
        search.take(event(None, CHANGED))
        search.take(event("1.1", BAD, UNSURE))
        assert (search.done, search.next, search.ends) == (False, None, ("1.0", "1.1"))
        search.take(event(None, verdict, step))
        assert search.done
        assert search.step == Difference.of(step)
        assert search.overall == Difference.of(SURE)


def test_the_middle_of_what_is_left_is_next() -> None:
    search = Search(names(9))
    search.take(event(None, CHANGED))
    assert search.next == "1.4"
    search.take(event("1.4", SKIPPED))
    assert search.next == "1.3"
    search.take(event("1.3", GOOD))
    assert search.next in ("1.5", "1.6")


def test_an_earlier_log_says_open_for_inconclusive() -> None:
    logs = [
        [event(None, CHANGED), {**event("1.1", INCONCLUSIVE), "verdict": word}, event("1.2", BAD)]
        for word in (INCONCLUSIVE, "open")
    ]
    today, earlier = (Search.replay(names(4), events) for events in logs)
    assert earlier == today and earlier.next == "1.1"
    assert Search.replay(names(4), [event(None, "open")]).overall_moved == INCONCLUSIVE


def test_what_was_open_is_tried_again_between_nearer_ends_and_only_there() -> None:
    search = Search(names(4))
    for one in (event(None, CHANGED), event("1.1", INCONCLUSIVE), event("1.2", BAD)):
        search.take(one)
    assert (search.ends, search.next, search.done) == (("1.0", "1.2"), "1.1", False)
    search.take(event("1.1", INCONCLUSIVE))
    assert (search.candidates, search.done) == ([], True)
    search = Search(names(3))
    search.take(event(None, CHANGED))
    search.take(event("1.1", SKIPPED))
    assert (search.candidates, search.done) == ([], True)
