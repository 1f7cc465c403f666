"""Films as a whole against the model's validation films: phantoms of the style it has learnt, and of another."""

import html
import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image, ImageFilter

from pneumocli.core.config import EvaluateConfig, PredictConfig
from pneumocli.core.errors import SettingError
from pneumocli.core.events import Event, Remark
from pneumocli.core.files import sha256_of
from pneumocli.core.settings import validated
from pneumocli.data.acquisition import read_acquisition
from pneumocli.data.images import fit_film, read_film
from pneumocli.data.manifest import scan, with_hashes
from pneumocli.data.phantom import write_phantoms
from pneumocli.evaluation.evaluate import evaluate
from pneumocli.inference.classifier import Classifier, logit_of
from pneumocli.inference.folder_shift import ShiftFile
from pneumocli.inference.predict import predict
from pneumocli.model.onnx_file import REFERENCE_KEY
from pneumocli.run_folder import RunFolder
from pneumocli.shift.detection import detect_shift
from pneumocli.shift.reference import reference_of
from tests.conftest import copy_of


def remarks(events: list[Event]) -> list[Remark]:
    return [event for event in events if isinstance(event, Remark) and "training films" in event.text]


def predicted(run: RunFolder, *inputs: Path, **settings: object) -> list[Remark]:
    events: list[Event] = []
    list(predict(PredictConfig(inputs=tuple(map(str, inputs)), run=run.path, **settings), events.append))
    return remarks(events)


def change_reference(run: RunFolder, text: str | None) -> None:
    """Gives the model file of a copied run another reference, or none, as models of version 0.1.0."""
    model = onnx.load(run.onnx_file)
    rest = [(item.key, item.value) for item in model.metadata_props if item.key != REFERENCE_KEY]
    model.ClearField("metadata_props")
    for key, value in [*rest, *([] if text is None else [(REFERENCE_KEY, text)])]:
        model.metadata_props.add(key=key, value=value)
    run.onnx_file.write_bytes(model.SerializeToString())
    result = run.result()
    run.write_result(
        result.model_copy(update={"sha256": result.sha256 | {run.onnx_file.name: sha256_of(run.onnx_file)}})
    )


@pytest.fixture(scope="module")
def run(trained: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The trained run with a reference as more validation films would have left it: other phantoms of its style."""
    folder = tmp_path_factory.mktemp("reference")
    write_phantoms(folder / "data", num_train=2, num_val=2, num_test=120, short_sides=(90, 130), seed=5)
    films = with_hashes(scan(folder / "data").of("test"))
    made = [read_acquisition(films.path(row).read_bytes()) for row in films.rows]
    squares = [fit_film(read_film(films.path(row)).pixels, 64, "crop") for row in films.rows]
    classifier = Classifier.of_run(trained, throughput=True)
    output = classifier.run(np.stack(squares)[:, None])
    coordinates = classifier.familiarity.coordinates(output.features)
    reference = reference_of(films.rows, made, squares, coordinates, logit_of(output.logits))
    assert reference is not None
    copy = copy_of(trained, folder / "run")
    change_reference(copy, reference.model_dump_json())
    return copy


def in_another_style(source: Path, target: Path) -> None:
    """A film darker and blurred, saved by another program."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(source) as film:
        dark = film.convert("L").point(lambda value: int(255 * (value / 255) ** 2.2))
        dark.filter(ImageFilter.GaussianBlur(1.5)).save(target, quality=60)


@pytest.fixture(scope="module")
def other_style(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test phantoms in another style, under names that show no patient."""
    folder = tmp_path_factory.mktemp("other")
    for number, path in enumerate(sorted((phantoms / "test").rglob("*.jpeg"))):
        in_another_style(path, folder / f"anonymous-{number:03}.jpeg")
    return folder


def test_films_of_the_style_that_was_learnt_are_not_flagged(run: RunFolder, phantoms: Path):
    (remark,) = predicted(run, phantoms / "test")
    assert remark.level == "note"
    assert "40 films do not differ" in remark.text


def test_films_of_another_style_are_flagged_in_a_sentence(run: RunFolder, other_style: Path):
    (remark,) = predicted(run, other_style)
    assert remark.level == "warning"
    assert remark.text.startswith("These 40 films differ")
    assert "darker" in remark.text
    assert "made by other software" in remark.text


def test_few_films_are_not_compared(run: RunFolder, other_style: Path):
    assert predicted(run, *sorted(other_style.iterdir())[:19]) == []


def test_the_file_holds_the_result_and_the_sample_whatever_the_batches(
    run: RunFolder, other_style: Path, tmp_path: Path
):
    for size in (3, 16):
        predicted(run, other_style, shift=tmp_path / f"{size}.json", batch_size=size)
    found = [ShiftFile.model_validate_json((tmp_path / f"{size}.json").read_bytes()) for size in (3, 16)]
    assert found[0].shift is not None
    assert found[0].shift.detected
    assert found[0].sample.num_films == 40
    assert found[0].sample.keys == found[1].sample.keys
    assert found[0].model_sha256 == run.model_sha256
    assert "anonymous" not in (tmp_path / "3.json").read_text()


@pytest.mark.slow
def test_the_samples_of_shards_join_to_that_of_the_whole(run: RunFolder, other_style: Path, tmp_path: Path):
    for part in (1, 2):
        (remark,) = predicted(run, other_style, shard=f"{part}/2", shift=tmp_path / f"{part}.json")
        assert remark.text.endswith(f"This is about shard {part}/2 alone.")
    predicted(run, other_style, shift=tmp_path / "whole.json")
    one, two, whole = (
        ShiftFile.model_validate_json((tmp_path / f"{name}.json").read_bytes()) for name in ("1", "2", "whole")
    )
    assert (one.shard, whole.shard) == ("1/2", None)
    joined = one.sample.sample().join([two.sample.sample()])
    classifier = Classifier.of_run(run)
    shift = detect_shift(joined, classifier.reference, classifier.card)
    assert shift is not None
    assert whole.shift is not None
    assert shift.sentence == whole.shift.sentence
    assert joined.num_films == 40


def test_a_file_asked_for_few_films_shows_that_there_is_no_result(run: RunFolder, other_style: Path, tmp_path: Path):
    predicted(run, sorted(other_style.iterdir())[0], shift=tmp_path / "one.json")
    assert json.loads((tmp_path / "one.json").read_text())["shift"] is None


def test_a_page_shows_the_sentence_and_every_property(run: RunFolder, other_style: Path, tmp_path: Path):
    (remark,) = predicted(run, other_style, shift=tmp_path / "shift.html")
    page = html.unescape((tmp_path / "shift.html").read_text(encoding="utf-8"))
    assert remark.text in page
    assert page.count('class="moved"') >= 2
    medians = re.findall(r'data-label="here, median">([^<]*)<', page)
    assert len(medians) >= 6  # on a phone each stands beside its column's name
    assert all(len(re.sub(r"\D", "", value.lstrip("-0."))) <= 4 and "e" not in value for value in medians)
    assert "program or device" in page
    assert "default-src 'none'" in page


def test_a_page_for_few_films_shows_that_there_is_no_result(run: RunFolder, other_style: Path, tmp_path: Path):
    (remark,) = predicted(run, sorted(other_style.iterdir())[0], shift=tmp_path / "one.html")
    assert remark.text.endswith("was not checked: 1 film to compare, one of each patient, expected 20 or more")
    assert "Not compared" in (tmp_path / "one.html").read_text(encoding="utf-8")


def test_another_ending_is_refused():
    with pytest.raises(SettingError, match=r"--shift: expected a name that ends in \.json or \.html"):
        validated(PredictConfig, {"inputs": ("x",), "shift": "shift.csv"})


@pytest.mark.slow
def test_an_evaluation_carries_the_shift_of_its_films(run: RunFolder, phantoms: Path, tmp_path: Path):
    own_run = copy_of(run, tmp_path / "run")
    own = evaluate(EvaluateConfig(run=own_run.path))
    assert own.shift is not None
    assert not own.shift.detected
    assert own.shift.num_compared == own.num_patients
    for path in sorted((phantoms / "test").rglob("*.jpeg")):
        in_another_style(path, tmp_path / "elsewhere" / "test" / path.parent.name / path.name)
    events: list[Event] = []
    other = evaluate(EvaluateConfig(run=own_run.path, data=tmp_path / "elsewhere"), events.append)
    assert other.shift is not None
    assert other.shift.detected
    assert [remark.level for remark in remarks(events)] == ["warning"]
    stored = json.loads(own_run.evaluation_folder("elsewhere").metrics_file.read_text())
    assert stored["shift"]["sentence"] == other.shift.sentence


def test_a_model_without_a_reference_reports_that_nothing_was_checked(
    trained: RunFolder, other_style: Path, tmp_path: Path
):
    old = copy_of(trained, tmp_path / "run")
    change_reference(old, None)
    assert Classifier.of_run(old).reference is None
    (remark,) = predicted(old, other_style)
    assert "was not checked" in remark.text
