"""The moments at which a run shows its speed, and the words for times."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from i2i.engine.pace import Pace, end, span


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def reports(each, steps, start=0, evaluation=0.0):
    """Train ``steps`` steps of ``each`` seconds; return (seconds since the first step was done, step, speed)."""
    clock = Clock()
    pace = Pace(start, steps, clock)
    clock.now += 1000  # preparations
    pace.restart()
    found = []
    for step in range(start + 1, steps + 1):
        clock.now += each
        pace.waited += each / 4
        if step == start + 1:
            first = clock.now
        if pace.due(step):
            found.append((clock.now - first, step, pace.read(step)))
        if evaluation and step % 10 == 0:
            clock.now += evaluation
            pace.left_out(evaluation)
    return found


@pytest.mark.parametrize("each", [0.001, 0.3, 2.4, 2.6, 40.0, 900.0])
def test_something_is_seen_within_five_seconds_of_the_first_step(each):
    steps = 20_000 if each < 0.1 else 400
    (since, step, speed), *_ = reports(each, steps)
    assert since <= 5
    assert speed.step == pytest.approx(each)
    assert speed.waited == pytest.approx(0.25)
    assert speed.left == pytest.approx((steps - step) * each)


def test_reports_follow_the_clock_and_become_rarer():
    times = [since for since, _, _ in reports(0.5, 2000)][:-1]
    assert times[:4] == pytest.approx([2, 12, 24, 48])
    assert {round(b - a) for a, b in pairwise(times[4:])} == {60}


def test_the_last_step_is_always_reported():
    assert [step for _, step, _ in reports(0.001, 7)] == [7]
    assert [step for _, step, _ in reports(0.001, 1)] == [1]
    assert [step for _, step, _ in reports(0.001, 7, start=6)] == [7]


def test_evaluations_count_for_the_end_but_not_for_a_step():
    *_, last, _ = reports(1.0, 1000, evaluation=10.0)
    assert last[2].step == pytest.approx(1.0)
    assert last[2].left == pytest.approx((1000 - last[1]) * 2, rel=0.05)


def test_durations_have_two_digits_in_the_unit_that_fits():
    seconds = (0.0123, 0.5, 9.31, 75, 300, 7300, 86_400, 200_000, 57 * 86_400)
    assert [span(each) for each in seconds] == [
        "12 ms", "500 ms", "9.3 s", "75 s", "5.0 min", "2.0 h", "24 h", "2.3 days", "57 days"
    ]  # fmt: skip


def test_an_end_on_another_day_has_its_date():
    assert len(end(0)) == 5
    assert end(57 * 86_400).startswith((datetime.now() + timedelta(days=57)).strftime("%d %b %Y, "))
    assert end(1e15) == "in the distant future"
