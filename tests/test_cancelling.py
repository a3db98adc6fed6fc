from types import SimpleNamespace

import pytest

from granite_mlx import Cancelled, CancelToken, TimeLimitReached


def test_it_is_stopped_for_good() -> None:
    token = CancelToken()
    token.check()
    assert not token.is_cancelled
    token.cancel()
    assert token.is_cancelled
    with pytest.raises(Cancelled, match="stopped by its CancelToken"):
        token.check()


def test_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now_s=100.0)
    clock.monotonic = lambda: clock.now_s
    monkeypatch.setattr("granite_mlx.cancelling.time", clock)
    token = CancelToken(timeout_s=2.5)
    clock.now_s += 2.5
    token.check()
    assert not token.is_cancelled
    clock.now_s += 0.1
    assert token.is_cancelled
    with pytest.raises(TimeLimitReached, match=r"within the 2\.5 s of its CancelToken"):
        token.check()
    assert issubclass(TimeLimitReached, Cancelled)


def test_who_cancels_comes_before_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=lambda: 0.0)
    monkeypatch.setattr("granite_mlx.cancelling.time", clock)
    token = CancelToken(timeout_s=1)
    token.cancel()
    clock.monotonic = lambda: 9.0
    with pytest.raises(Cancelled) as raised:
        token.check()
    assert type(raised.value) is Cancelled


@pytest.mark.parametrize("timeout_s", [0, -1.0, float("nan")])
def test_a_limit_is_more_than_nothing(timeout_s: float) -> None:
    with pytest.raises(ValueError, match="timeout_s must be more than 0"):
        CancelToken(timeout_s)
