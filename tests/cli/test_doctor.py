"""`granite-mlx doctor`: lines to paste into a report."""

import io
from collections.abc import Callable
from typing import Any

import pytest

from granite_mlx.cli.doctor import check_line, model_report, show_report, show_selftest
from granite_mlx.cli.failures import NoModelError, explain
from granite_mlx.cli.screen import Screen
from granite_mlx.doctor import Check, failed_check

GOOD = Check("encoder, 401 frames", "float32", 1.25e-6, 1e-4, True, "")
BAD = Check("decoder", "bfloat16", 0.5, 0.02, False, "at (0, 3)")


def selftest(*checks: Check) -> Callable[[Callable[[Check], None]], list[Check]]:
    def run(on_check: Callable[[Check], None]) -> list[Check]:
        for check in checks:
            on_check(check)
        return list(checks)

    return run


@pytest.fixture
def out() -> io.StringIO:
    """What goes to stdout."""
    return io.StringIO()


@pytest.fixture
def screen(out: io.StringIO) -> Screen:
    return Screen(out, io.StringIO())


def test_a_report_is_aligned(screen: Screen, out: io.StringIO) -> None:
    show_report(screen, {"mlx": "0.32.0", "machine": "Apple M4"})
    assert out.getvalue() == "mlx      0.32.0\nmachine  Apple M4\n"


def test_an_empty_report_is_nothing(screen: Screen, out: io.StringIO) -> None:
    show_report(screen, {})
    assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("checks", "code", "verdicts"),
    [
        ((GOOD, GOOD), 0, ["ok", "ok"]),
        ((GOOD, BAD), 1, ["ok", "FAIL"]),
        ((), 1, []),
    ],
)
def test_one_failed_check_fails_the_selftest(
    checks: tuple[Check, ...], code: int, verdicts: list[str], screen: Screen, out: io.StringIO
) -> None:
    assert show_selftest(screen, selftest(*checks)) == code
    *lines, summary = out.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == verdicts
    assert summary == f"{verdicts.count('ok')} of {len(checks)} checks passed"


def test_a_check_is_shown_as_soon_as_it_is_done(screen: Screen, out: io.StringIO) -> None:
    def stopped(on_check: Callable[[Check], None]) -> list[Check]:
        on_check(GOOD)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        show_selftest(screen, stopped)
    assert out.getvalue() == check_line(GOOD) + "\n"


def test_a_check_names_what_was_measured_and_its_limit() -> None:
    assert check_line(GOOD).split() == (
        "ok encoder, 401 frames float32 difference 1.25e-06 limit 0.0001".split()
    )
    assert check_line(BAD).split() == (
        "FAIL decoder bfloat16 difference 0.5 limit 0.02 at (0, 3)".split()
    )


def test_a_model_is_described_and_closed(model: Any) -> None:
    assert model_report("demo", model.load) == {
        "model": "fake",
        "dtype": "float32",
        "heard at once": "360 s",
    }
    assert model.closed == 1


def test_a_model_that_cannot_be_loaded(model: Any) -> None:
    with pytest.raises(NoModelError) as caught:
        model_report("missing", model.load)
    assert explain(caught.value) == "there is no model called missing."


def test_an_error_of_many_lines_stays_on_one(screen: Screen, out: io.StringIO) -> None:
    error = RuntimeError("[metal] cannot compile:\n  line 3\n  line 4")
    assert show_selftest(screen, selftest(failed_check("decoder", "float16", error), GOOD)) == 1
    failed, _, summary = out.getvalue().splitlines()
    assert failed.startswith("FAIL  decoder")
    assert failed.endswith("RuntimeError: [metal] cannot compile:   line 3   line 4")
    assert summary == "1 of 2 checks passed"
