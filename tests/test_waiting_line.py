"""Places in the order in which they were asked for."""

import threading
import time

import pytest

from granite_mlx.waiting_line import WAIT_S, WaitingLine

ENOUGH_S = 60


def nothing() -> None:
    pass


def in_line(line: WaitingLine, n_waiting: int) -> None:
    latest_s = time.monotonic() + ENOUGH_S
    while len(line._waiting) < n_waiting:
        assert time.monotonic() < latest_s
        time.sleep(0.001)


def test_who_comes_first_is_first_however_long_it_takes() -> None:
    """Also where new ones come all the time."""
    line, served = WaitingLine(1), []

    def come(number: int) -> None:
        line.enter(nothing)
        served.append(number)
        if number < 5:  # somebody new, at the moment in which the place is free
            newcomers.append(threading.Thread(target=come, args=(number + 10,)))
            newcomers[-1].start()
        line.leave()

    newcomers: list[threading.Thread] = []
    line.enter(nothing)
    callers = [threading.Thread(target=come, args=(number,)) for number in range(10)]
    for n, caller in enumerate(callers):
        caller.start()
        in_line(line, n + 1)
    time.sleep(2.5 * WAIT_S)
    line.leave()
    for caller in callers:
        caller.join(ENOUGH_S)
    for caller in newcomers:
        caller.join(ENOUGH_S)
    assert served[:10] == list(range(10))
    assert sorted(served[10:]) == list(range(10, 15))
    assert line.n_free == 1


def test_who_gives_up_is_not_waited_for() -> None:
    line, has_to_go, served = WaitingLine(1), threading.Event(), []

    def check() -> None:
        if has_to_go.is_set():
            raise TimeoutError

    def go() -> None:
        with pytest.raises(TimeoutError):
            line.enter(check)

    def stay() -> None:
        line.enter(nothing)
        served.append("place")
        line.leave()

    line.enter(nothing)
    first, second = threading.Thread(target=go), threading.Thread(target=stay)
    first.start()
    in_line(line, 1)
    second.start()
    in_line(line, 2)
    has_to_go.set()
    first.join(ENOUGH_S)
    line.leave()
    second.join(ENOUGH_S)
    assert (served, line.n_free) == (["place"], 1)


def test_a_place_that_came_too_late_is_passed_on() -> None:
    line = WaitingLine(1)
    line.enter(nothing)

    def check() -> None:
        line.leave()  # at this very moment
        raise TimeoutError

    with pytest.raises(TimeoutError):
        line.enter(check)
    assert line.n_free == 1
