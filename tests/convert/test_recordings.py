from pathlib import Path

import pytest

from granite_mlx.convert.recordings import packaged_recordings, read_recordings
from granite_mlx.errors import ConversionError


def test_texts_lie_beside_their_recordings(tmp_path: Path) -> None:
    for name in ("b.flac", "a.WAV", ".hidden.wav", "notes.txt", "cover.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "b.txt").write_text("\ufeff l'été\n", encoding="utf-8")
    found = read_recordings(tmp_path)
    assert [(r.name, r.audio, r.reference) for r in found] == [
        ("a.WAV", tmp_path / "a.WAV", None),
        ("b.flac", tmp_path / "b.flac", "l'été"),
    ]


def test_the_packaged_ones_all_have_texts() -> None:
    found = packaged_recordings()
    assert len(found) >= 3
    assert all(recording.reference for recording in found)


def test_nothing_to_listen_to(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("alone")
    with pytest.raises(ConversionError, match=r"holds no recordings.*NAME\.txt"):
        read_recordings(tmp_path)
    with pytest.raises(ConversionError, match=r"absent cannot be read \(No such file"):
        read_recordings(tmp_path / "absent")


def test_a_text_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "a.txt").write_bytes("été".encode("latin-1"))
    with pytest.raises(ConversionError, match=r"a\.txt is not UTF-8"):
        read_recordings(tmp_path)
