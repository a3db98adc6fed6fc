import os

import pytest

from granite_mlx.errors import CheckpointError
from granite_mlx.model import memory
from granite_mlx.model.memory import PUBLISHED_BYTES, check_memory, has_room

from .fake_hub import MODEL_ID


def test_memory_that_suffices_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_available_bytes", lambda: 5_000_000_000)
    check_memory(4_000_000_000, MODEL_ID)
    with pytest.raises(CheckpointError):
        check_memory(4_000_000_001, MODEL_ID)


def test_memory_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_metal_info", lambda: None)
    monkeypatch.setattr(memory, "_available_bytes", lambda: 3_000_000_000)
    expected = r"needs 5\.6 GB of memory \(4\.6 GB for weights\), .* 3\.0 GB available; close"
    with pytest.raises(CheckpointError, match=expected):
        check_memory(4_626_527_776, MODEL_ID)


def test_memory_of_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    info = {"memory_size": 4_000_000_000, "max_recommended_working_set_size": 3_000_000_000}
    monkeypatch.setattr(memory, "_metal_info", lambda: info)
    with pytest.raises(CheckpointError, match=r"has 4\.0 GB, of which the GPU .* at most 3\.0 GB"):
        check_memory(4_626_527_776, MODEL_ID)


@pytest.mark.parametrize(
    ("available", "advice"),
    [
        (4_000_000_000, f"programs, take {MODEL_ID}:q8, which needs 3.5 GB, or use"),
        (3_000_000_000, f"programs, take {MODEL_ID}:q4, which needs 2.8 GB, or use"),
        (2_000_000_000, "programs, or use"),
    ],
)
def test_the_recipe_that_fits_is_advised(
    monkeypatch: pytest.MonkeyPatch, available: int, advice: str
) -> None:
    monkeypatch.setattr(memory, "_metal_info", lambda: None)
    monkeypatch.setattr(memory, "_available_bytes", lambda: available)
    with pytest.raises(CheckpointError) as caught:
        check_memory(PUBLISHED_BYTES, MODEL_ID, is_floating=True)
    assert advice in str(caught.value)


def test_a_mac_keeps_room_for_other_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    info = {"memory_size": 8_000_000_000, "max_recommended_working_set_size": 6_000_000_000}
    monkeypatch.setattr(memory, "_metal_info", lambda: info)
    with pytest.raises(CheckpointError, match=f"take {MODEL_ID}:q6, which needs 4.2 GB"):
        check_memory(7_500_000_000, MODEL_ID, is_floating=True)


def test_nothing_is_advised_for_what_is_quantised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_available_bytes", lambda: 4_000_000_000)
    with pytest.raises(CheckpointError) as caught:
        check_memory(PUBLISHED_BYTES, MODEL_ID)
    assert f"{MODEL_ID}:" not in str(caught.value)


def test_memory_of_this_machine() -> None:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 2**26 < memory._available_bytes() <= total
    check_memory(0, MODEL_ID)


def test_room_on_a_mac_is_what_other_programs_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    info = {"memory_size": 8_600_000_000, "max_recommended_working_set_size": 5_700_000_000}
    monkeypatch.setattr(memory, "_metal_info", lambda: info)
    check_memory(4_626_527_776, MODEL_ID)
    assert not has_room(4_626_527_776)
    assert has_room(2_460_000_000)
