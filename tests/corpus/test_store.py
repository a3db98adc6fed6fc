import json
from pathlib import Path
from types import ModuleType

import pytest

from granite_mlx.corpus.errors import CorpusError
from granite_mlx.corpus.items import Named
from granite_mlx.corpus.merging import merge
from granite_mlx.corpus.rows import Row, line_of, renamed, row_of
from granite_mlx.corpus.shards import FORMATS, Format, read_rows, shards_in, write_shard
from granite_mlx.corpus.store import OPEN, Store, rows_in

ASKED = {"model": "demo", "language": None}


@pytest.fixture
def rows(archives: ModuleType) -> list[Row]:
    return [
        row_of(Named(f"n{n}", f"/n{n}", reference="yes"), archives.outcome(f"{n:064x}"))
        for n in range(7)
    ]


def failure(name: str) -> dict[str, object]:
    return {"manifest_version": 1, "input": f"/{name}", "error": "it is damaged."}


@pytest.mark.parametrize("shard_format", FORMATS)
def test_rows_fill_shards_and_come_back(
    tmp_path: Path, rows: list[Row], shard_format: Format
) -> None:
    with Store(tmp_path, ASKED, shard_format, 3) as store:
        for row in rows:
            store.add(row)
        store.add(rows[0])
        assert len(shards_in(tmp_path)) == 2
        assert store.row(rows[1]["sha256"]) == rows[1]
        assert store.row(rows[6]["sha256"]) == rows[6]
        store.finish()
    assert [path.suffix for path in shards_in(tmp_path)] == [f".{shard_format}"] * 3
    assert list(rows_in(tmp_path)) == rows


@pytest.mark.parametrize("shard_format", FORMATS)
def test_a_store_goes_on_where_a_crash_left_it(
    tmp_path: Path, rows: list[Row], shard_format: Format
) -> None:
    store = Store(tmp_path, ASKED, shard_format, 3)
    for row in rows[:5]:
        store.add(row)
    store.close()  # without finish, as when the process is killed; and a line is cut off
    with open(tmp_path / OPEN, "ab") as file:
        file.write(line_of(rows[5])[:-9])
    with Store(tmp_path, ASKED, shard_format, 3) as store:
        assert [store.has(row["sha256"], row["id"]) for row in rows] == [True] * 5 + [False] * 2
        for row in rows[5:]:
            store.add(row)
        store.finish()
    assert list(rows_in(tmp_path)) == rows


def test_a_crash_between_shard_and_open_file_doubles_nothing(
    tmp_path: Path, rows: list[Row]
) -> None:
    with Store(tmp_path, ASKED, "parquet", 100) as store:
        for row in rows:
            store.add(row)
        write_shard(tmp_path / "shard-00001.parquet", rows)
    with Store(tmp_path, ASKED, "parquet", 100) as store:
        store.finish()
    assert list(rows_in(tmp_path)) == rows


def test_a_shard_appears_whole_or_not_at_all(tmp_path: Path, rows: list[Row]) -> None:
    bad = [*rows, {**rows[0], "duration_s": float("nan")}]
    with pytest.raises(ValueError, match="Out of range"):
        write_shard(tmp_path / "shard-00001.jsonl", bad)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_shard_is_told(tmp_path: Path) -> None:
    (tmp_path / "shard-00001.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(CorpusError, match=r"shard-00001\.jsonl is damaged"):
        list(read_rows(tmp_path / "shard-00001.jsonl"))


def test_a_byte_that_is_no_utf8_stays_apart(tmp_path: Path, rows: list[Row]) -> None:
    odd = [renamed(rows[0], Named("\udcff.wav", "/\udcff.wav"))]
    write_shard(tmp_path / "shard-00001.jsonl", odd)
    assert list(read_rows(tmp_path / "shard-00001.jsonl")) == odd
    write_shard(tmp_path / "shard-00002.parquet", odd)
    assert [row["id"] for row in read_rows(tmp_path / "shard-00002.parquet")] == ["\\udcff.wav"]


def test_other_settings_and_a_second_process_are_refused(tmp_path: Path) -> None:
    with Store(tmp_path, ASKED), pytest.raises(CorpusError, match="another process"):
        Store(tmp_path, ASKED)
    with pytest.raises(CorpusError, match="asked with another language"):
        Store(tmp_path, {**ASKED, "language": "fr"})


def test_what_failed_is_told_until_it_is_done(tmp_path: Path, rows: list[Row]) -> None:
    with Store(tmp_path, ASKED) as store:
        store.set_aside(failure("n0"))
        store.set_aside(failure("n1"))
    with Store(tmp_path, ASKED) as store:
        store.add(rows[0])
        store.finish()
    told = [json.loads(line) for line in (tmp_path / "failed.jsonl").read_bytes().splitlines()]
    assert told == [failure("n1")]
    with Store(tmp_path, ASKED) as store:
        store.add(rows[1])
        store.finish()
    assert not (tmp_path / "failed.jsonl").exists()


def filled(folder: Path, rows: list[Row], *failed: str) -> Path:
    with Store(folder, ASKED) as store:
        for row in rows:
            store.add(row)
        for name in failed:
            store.set_aside(failure(name))
        store.finish()
    return folder


def test_parts_merge_into_one_folder(tmp_path: Path, rows: list[Row]) -> None:
    a = filled(tmp_path / "a", rows[:4], "n5", "x")
    again = {**rows[3], "transcribe_s": 9.0, "worker": "other:2"}
    b = filled(tmp_path / "b", [again, *rows[4:]])
    assert merge([a, b], tmp_path / "all", "parquet", 4) == (7, 1)
    assert list(rows_in(tmp_path / "all")) == rows
    names = {path.name for path in (tmp_path / "all").iterdir()}
    assert names == {
        "failed.jsonl", "settings.json", "shard-00001.parquet", "shard-00002.parquet",
    }  # fmt: skip
    with Store(tmp_path / "all", ASKED) as store:  # and goes on as any other
        assert store.has(rows[6]["sha256"], "n6")


def test_a_part_whose_command_was_killed_merges_without_its_cut_off_row(
    tmp_path: Path, rows: list[Row]
) -> None:
    with Store(tmp_path / "a", ASKED) as store:
        for row in rows[:3]:
            store.add(row)
    with open(tmp_path / "a" / OPEN, "ab") as file:
        file.write(line_of(rows[3])[:-9])
    assert merge([tmp_path / "a"], tmp_path / "all") == (3, 0)
    assert list(rows_in(tmp_path / "all")) == rows[:3]


def test_a_folder_at_work_is_not_merged(tmp_path: Path, rows: list[Row]) -> None:
    with Store(tmp_path / "a", ASKED) as store:
        store.add(rows[0])
        with pytest.raises(CorpusError, match="a: another process is at work there"):
            merge([tmp_path / "a"], tmp_path / "all")
    assert merge([tmp_path / "a"], tmp_path / "all") == (1, 0)


def test_nothing_failed_where_nothing_was_begun(tmp_path: Path) -> None:
    with Store(tmp_path, ASKED):  # as when the workers cannot be started
        pass
    assert not (tmp_path / "failed.jsonl").exists()


def test_a_failure_after_one_that_a_crash_has_cut_off(tmp_path: Path) -> None:
    (tmp_path / "failed.jsonl").write_bytes(line_of(failure("n0"))[:-9])
    with Store(tmp_path, ASKED) as store:
        store.set_aside(failure("n1"))
    with Store(tmp_path, ASKED) as store:
        assert list(store.failures) == ["/n1"]


def test_two_results_of_one_content_are_refused(
    tmp_path: Path, rows: list[Row], archives: ModuleType
) -> None:
    a = filled(tmp_path / "a", rows)
    other = row_of(Named("other", "/other"), archives.outcome(rows[2]["sha256"], "no"))
    b = filled(tmp_path / "b", [other])
    with pytest.raises(CorpusError, match="two different results for one recording"):
        merge([a, b], tmp_path / "all")
    assert not (tmp_path / "all").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


def test_two_recordings_of_one_name_are_refused(tmp_path: Path, rows: list[Row]) -> None:
    a = filled(tmp_path / "a", rows[:1])
    b = filled(tmp_path / "b", [{**rows[1], "id": rows[0]["id"]}])
    with pytest.raises(CorpusError, match="two recordings called n0"):
        merge([a, b], tmp_path / "all")


def test_merging_refuses_other_settings_and_folders_in_use(tmp_path: Path, rows: list[Row]) -> None:
    a = filled(tmp_path / "a", rows)
    with pytest.raises(CorpusError, match="not empty"):
        merge([a], a)
    with Store(tmp_path / "b", {**ASKED, "model": "other"}):
        pass
    with pytest.raises(CorpusError, match="asked with another model"):
        merge([a, tmp_path / "b"], tmp_path / "all")
    with pytest.raises(CorpusError, match="that granite-mlx corpus has written"):
        merge([a, tmp_path], tmp_path / "all")
