"""The tables of shards become the table of one run, or a sentence says why not."""

import csv
import shutil
import tracemalloc
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pneumocli.cli.app import app
from pneumocli.core.config import MergeConfig, PredictConfig
from pneumocli.core.errors import RunError
from pneumocli.core.events import Event, Remark
from pneumocli.core.files import sha256_of, write_json
from pneumocli.inference.csv_output import COLUMNS
from pneumocli.inference.folder_shift import ShiftFile
from pneumocli.inference.merge import MergedTable, ShardMark, merge
from pneumocli.inference.predict import predict
from pneumocli.inference.shards import mark_of
from pneumocli.run_folder import RunFolder
from tests.conftest import change_card, copy_of


def write_shard(films: Path, run: RunFolder, table: Path, shard: str | None, **settings: object) -> Path:
    """Has predict write a table; returns it."""
    for _ in predict(PredictConfig(inputs=(str(films),), run=run.path, csv=table, shard=shard, **settings)):
        pass
    return table


@pytest.fixture(scope="module")
def films(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven films, one of them damaged, one with a line feed in its name."""
    folder = tmp_path_factory.mktemp("films") / "films"
    folder.mkdir()
    for number, film in enumerate(sorted((phantoms / "test").rglob("*.jpeg"))[::7]):
        shutil.copy(film, folder / ("a\nb.jpeg" if number == 3 else f"{number}.jpeg"))
    (folder / "broken.png").write_bytes(b"no film")
    return folder


@pytest.fixture(scope="module")
def shards(films: Path, trained: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The tables of three shards: read them, never change them."""
    folder = tmp_path_factory.mktemp("shards")
    return [write_shard(films, trained, folder / f"part-{number}.csv", f"{number}/3") for number in (1, 2, 3)]


def merged(out: Path, *parts: Path) -> MergedTable:
    return merge(MergeConfig(merge=out, inputs=parts))


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_shards_in_any_order_are_the_table_of_one_run(
    films: Path, trained: RunFolder, shards: list[Path], tmp_path: Path
):
    found = merged(tmp_path / "all.csv", shards[2], shards[0], shards[1])
    whole = write_shard(films, trained, tmp_path / "whole.csv", None)
    expected, actual = rows(whole), rows(tmp_path / "all.csv")
    for row in (*expected, *actual):
        row["probability"] = row["probability"][:6]  # batches of other films: the last bits differ
    assert actual == expected
    assert len(actual) == 7
    assert (found.num_parts, found.num_films, found.num_errors) == (3, 7, 1)
    assert sum(found.classes.values()) == 6
    assert not mark_of(whole).exists()


@pytest.mark.slow
def test_more_shards_than_films(films: Path, trained: RunFolder, tmp_path: Path):
    parts = [write_shard(films, trained, tmp_path / f"{number}.csv", f"{number}/8") for number in range(1, 9)]
    assert merged(tmp_path / "all.csv", *parts).num_films == 7


def refused(out: Path, *parts: Path) -> str:
    """Why the shards are not joined; nothing is left beside what was there."""
    before = sorted(out.parent.iterdir())
    with pytest.raises(RunError) as error:
        merged(out, *parts)
    assert sorted(out.parent.iterdir()) == before
    assert error.value.hint or "--merge" in error.value.message
    return error.value.message


def test_a_missing_and_a_doubled_shard(shards: list[Path], tmp_path: Path):
    out = tmp_path / "all.csv"
    assert refused(out, *shards[:2]) == "1 of 3 shards missing: 3/3"
    assert refused(out, shards[0], shards[0]) == f"{shards[0]} is named twice"
    copy = tmp_path / "copy.csv"
    shutil.copy(shards[0], copy)
    shutil.copy(mark_of(shards[0]), mark_of(copy))
    assert refused(out, *shards, copy) == f"{shards[0]} and {copy} are both shard 1/3"
    assert refused(out, tmp_path / "none.csv") == f"no shard at {tmp_path / 'none.csv'}"
    assert "the table to write" in refused(shards[0], *shards)


def test_an_unfinished_shard_is_refused_until_it_is_continued(
    films: Path, trained: RunFolder, shards: list[Path], tmp_path: Path
):
    part = write_shard(films, trained, tmp_path / "part.csv", "3/3")
    content = part.read_bytes()
    stopped = predict(PredictConfig(inputs=(str(films),), run=trained.path, csv=part, shard="3/3", batch_size=1))
    next(stopped)
    stopped.close()
    assert part.read_bytes() != content
    message = refused(tmp_path / "all.csv", *shards[:2], part)
    assert message == f"{part} is unfinished, or no shard: there is no part.csv.shard.json beside it"
    write_shard(films, trained, part, "3/3", resume=True)
    assert merged(tmp_path / "all.csv", *shards[:2], part).num_films == 7


def test_a_changed_shard(shards: list[Path], tmp_path: Path):
    part = tmp_path / "part.csv"
    part.write_text(shards[2].read_text(encoding="utf-8").replace(",NORMAL,", ",PNEUMONIA,"), encoding="utf-8")
    shutil.copy(mark_of(shards[2]), mark_of(part))
    part.write_bytes(part.read_bytes()[:-5])
    assert "was changed after it was finished" in refused(tmp_path / "all.csv", *shards[:2], part)
    mark_of(part).write_text("{")
    assert "is damaged" in refused(tmp_path / "all.csv", *shards[:2], part)


def test_shards_of_other_settings(films: Path, trained: RunFolder, shards: list[Path], tmp_path: Path):
    out = tmp_path / "all.csv"
    part = write_shard(films, trained, tmp_path / "part.csv", "3/3", threshold=0.25)
    assert refused(out, *shards[:2], part) == f"{part} was written at threshold 0.25, {shards[0]} 0.5"
    write_shard(films, trained, part, "3/4")
    assert refused(out, *shards[:2], part) == f"{part} is a shard of 4, {shards[0]} 3"
    write_shard(films / "broken.png", trained, part, "3/3")
    assert refused(out, *shards[:2], part).startswith(f"{part} belongs to a list of so many films: 1, {shards[0]} 7")
    run = copy_of(trained, tmp_path / "run")
    change_card(run, temperature=2.0)
    write_shard(films, run, part, "3/3")
    assert f"{part} was written with model {sha256_of(run.onnx_file)[:12]}" in refused(out, *shards[:2], part)


def test_overlapping_films_are_another_list(films: Path, trained: RunFolder, shards: list[Path], tmp_path: Path):
    others = tmp_path / "films"
    shutil.copytree(films, others)
    part = write_shard(others, trained, tmp_path / "part.csv", "3/3")
    assert "belongs to a list of other films" in refused(tmp_path / "all.csv", *shards[:2], part)


def test_a_shard_continued_after_a_film_has_gone_cannot_be_merged(films: Path, trained: RunFolder, tmp_path: Path):
    others = tmp_path / "films"
    shutil.copytree(films, others)
    part = write_shard(others, trained, tmp_path / "part.csv", "1/1")
    (others / "0.jpeg").unlink()
    seen: list[object] = []
    config = PredictConfig(inputs=(str(others),), run=trained.path, csv=part, shard="1/1", resume=True)
    assert list(predict(config, seen.append)) == []
    assert not mark_of(part).exists()
    assert any("1 film that the inputs no longer name" in getattr(event, "text", "") for event in seen)


def test_memory_does_not_grow_with_the_rows(tmp_path: Path):
    def peak(num_rows: int) -> int:
        parts = [tmp_path / f"{number}-{num_rows}.csv" for number in (1, 2)]
        for number, part in enumerate(parts, 1):
            row = "film,0.5,PNEUMONIA,0.5,,,abc\n"
            part.write_text(",".join(COLUMNS) + "\n" + row * (num_rows // 2))
            mark = ShardMark(
                shard=f"{number}/2", num_listed=num_rows, list_sha256="l", model_sha256="m", threshold=0.5,
                table_sha256=sha256_of(part),
            )  # fmt: skip
            write_json(mark_of(part), mark)
        tracemalloc.start()
        assert merged(tmp_path / "all.csv", *parts).num_films == num_rows
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    assert peak(20_000) < peak(2_000) + 50_000


def test_the_command(shards: list[Path], tmp_path: Path):
    out = tmp_path / "all.csv"
    done = CliRunner().invoke(app, ["predict", "--merge", str(out), *map(str, shards)])
    assert done.exit_code == 0
    assert "7 films of 3 shards" in done.stdout
    assert "1 could not be read" in done.stdout
    wrong = CliRunner().invoke(app, ["predict", "--merge", str(out), str(shards[0]), "--threshold", "0.5"])
    assert wrong.exit_code == 2
    assert "--threshold cannot stand beside --merge" in wrong.stderr
    missing = CliRunner().invoke(app, ["predict", "--merge", str(out), str(shards[0])])
    assert missing.exit_code == 1
    assert "2 of 3 shards missing: 2/3, 3/3" in missing.stderr
    assert "--shard 2/3" in missing.stderr
    assert CliRunner().invoke(app, ["predict", "--merge", str(out)]).exit_code == 2


@pytest.fixture(scope="module")
def of_many(phantoms: Path, trained: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The tables of two shards of 40 films, which are enough to be compared: read them, never change them."""
    folder = tmp_path_factory.mktemp("many")
    return [write_shard(phantoms / "test", trained, folder / f"part-{n}.csv", f"{n}/2") for n in (1, 2)]


def sampled(phantoms: Path, run: RunFolder, out: Path) -> ShiftFile:
    """What one run over the same films compares."""
    list(predict(PredictConfig(inputs=(str(phantoms / "test"),), run=run.path, shift=out)))
    return ShiftFile.model_validate_json(out.read_bytes())


def test_the_films_of_all_shards_are_compared_as_those_of_one_run(
    phantoms: Path, trained: RunFolder, of_many: list[Path], tmp_path: Path
):
    whole = sampled(phantoms, trained, tmp_path / "whole.json")
    for model in ({"run": trained.path}, {"model": trained.onnx_file}):
        merge(MergeConfig(merge=tmp_path / "all.csv", inputs=of_many, shift=tmp_path / "all.json", **model))
        joined = ShiftFile.model_validate_json((tmp_path / "all.json").read_bytes())
        assert joined.sample.keys == whole.sample.keys
        assert joined.sample.num_films == whole.sample.num_films == 40
        assert joined.shard is None


def test_shards_of_another_model_are_not_compared(of_many: list[Path], trained: RunFolder, tmp_path: Path):
    other = copy_of(trained, tmp_path / "other")
    change_card(other, temperature=2.0)
    with pytest.raises(RunError, match="the tables were written with model"):
        merge(MergeConfig(merge=tmp_path / "all.csv", inputs=of_many, model=other.onnx_file))
    assert not (tmp_path / "all.csv").exists()


def test_what_was_scored_before_a_resume_is_named(
    phantoms: Path, trained: RunFolder, of_many: list[Path], tmp_path: Path
):
    part = tmp_path / "part.csv"
    whole = of_many[0].read_bytes().splitlines(keepends=True)
    write_shard(phantoms / "test", trained, part, "1/2")
    part.write_bytes(b"".join(whole[:6]))
    write_shard(phantoms / "test", trained, part, "1/2", resume=True)
    events: list[Event] = []
    merge(MergeConfig(merge=tmp_path / "all.csv", inputs=(part, of_many[1]), run=trained.path), events.append)
    assert any("35 of 40 films are compared" in event.text for event in events if isinstance(event, Remark))


def test_a_comparison_needs_the_model(tmp_path: Path):
    result = CliRunner().invoke(app, ["predict", "--merge", "all.csv", "a.csv", "--shift", str(tmp_path / "x.html")])
    assert result.exit_code == 2
    assert "needs the model that wrote the tables: add --run RUN" in " ".join(result.stderr.split())
