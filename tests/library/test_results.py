"""Results show themselves: one line as text, HTML in which nothing is taken for markup, a table where pandas is."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import pneumocli as pneumo
from pneumocli.library.display import result_html
from pneumocli.library.quantized import Quantized
from pneumocli.library.results import Comparison
from pneumocli.library.tuned import Tuned
from pneumocli.metrics.records import Evaluation
from pneumocli.model.card import GroupFigure, Int8Card, Int8Proof
from pneumocli.run_folder import RunFolder
from pneumocli.tuning.records import Repeats
from tests.conftest import copy_of

EVIL = "<img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    """The tags of a document, and whether each that opens is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag not in ("img", "br", "meta"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def results(evaluated: tuple[RunFolder, Evaluation], phantoms: Path, tmp_path_factory) -> dict[str, object]:
    """One result of each verb that needs no training of its own."""
    folder = tmp_path_factory.mktemp("results")
    run = copy_of(evaluated[0], folder / "runs" / "a", evaluations=True)
    copy_of(evaluated[0], folder / "runs" / "b_2", evaluations=True)
    shown = pneumo.RunFolder(run)
    return {
        "run": shown,
        "evaluation": shown.evaluation(),
        "comparison": pneumo.compare(run, folder / "runs" / "b_2", output=folder / "comparison"),
        "predictions": pneumo.predict(phantoms / "test", run=run),
        "verification": pneumo.verify_data(phantoms, quick=True),
        "runs": pneumo.runs(folder / "runs"),
        "doctor": pneumo.doctor(),
        "tuned": TUNED,
    }


TUNED = Tuned(
    study="search", objective="hard", folds=3, data_fingerprint="0" * 64, num_complete=12, num_pruned=3, num_failed=0,
    best_trial=7, best_value=0.91, settings={"epochs": 4, "schedule": EVIL},
    repeats=Repeats(num_seeds=3, mean=0.88, sd=0.02, low=0.86, high=0.9), importances={"epochs": 0.7},
    command="pneumo train --epochs 4",
)  # fmt: skip

NAMES = ["run", "evaluation", "comparison", "predictions", "verification", "runs", "doctor", "tuned"]


@pytest.mark.parametrize("name", NAMES)
def test_every_result_is_one_line_of_text(results: dict[str, object], name: str):
    assert "\n" not in repr(results[name])
    assert repr(results[name]) == str(results[name])
    assert 20 < len(repr(results[name])) < 500


@pytest.mark.parametrize("name", NAMES)
def test_every_result_shows_itself_as_whole_html_with_the_notice(results: dict[str, object], name: str):
    html = results[name]._repr_html_()
    assert Tags(html).open == []
    assert "Not a medical device" in html
    assert "script" not in Tags(html).seen
    assert len(html) < 1_000_000


def test_the_html_holds_the_verdict_and_the_four_numbers_with_intervals_and_a_picture(results):
    html = results["evaluation"]._repr_html_()
    assert re.search(r"It misses \d+ of 100 pneumonias, alarms on \d+ of 100 healthy\.", html)
    for label in ("accuracy", "sensitivity", "specificity", "AUROC"):
        assert re.search(rf"<td[^>]*>{label}</td><td[^>]*><strong>[\d.]+%</strong>", html)
    assert html.count("<svg") == 4
    assert results["comparison"].sentence in results["comparison"]._repr_html_()
    assert "AUROC, b_2" in results["comparison"]._repr_html_()
    assert "<polyline" in results["run"]._repr_html_()


def test_a_comparison_shows_auroc_by_the_method_of_its_sentence(results: dict[str, object]):
    comparison = results["comparison"]
    assert isinstance(comparison, Comparison)
    rows = [
        row.model_copy(update={"difference": 0.149, "low": 0.072 if "DeLong" in row.method else 0.082, "high": 0.226})
        for row in comparison.differences
        if row.metric == "auroc"
    ]
    assert len(rows) > 1
    html = comparison.model_copy(update={"differences": tuple(rows)})._repr_html_()
    assert "+7.2 to +22.6" in html
    assert "+8.2" not in html


def test_predictions_show_films_and_still_hand_them_all_out(trained: RunFolder, phantoms: Path):
    found = pneumo.predict(phantoms / "test", run=trained)
    html = found._repr_html_()
    assert html.count("<img") == 12
    assert "data:image/jpeg;base64," in html
    assert "and 28 more: .to_frame() has all" in html
    assert "40 answers kept" in repr(found)
    assert len(list(found)) == 40
    assert list(found) == []


def test_what_a_stranger_named_is_escaped():
    html = result_html(EVIL, EVIL, rows=[[EVIL]], columns=[EVIL], notes=[EVIL],
                       films=[{"source": None, "alt": EVIL, "lines": [EVIL]}])  # fmt: skip
    assert "img" not in Tags(html).seen
    assert html.count("&lt;img") == 7


def test_results_become_tables_where_pandas_is(results: dict[str, object], evaluated: tuple[RunFolder, Evaluation]):
    frames = {name: result.to_frame() for name, result in results.items()}
    measured = evaluated[1].metrics["auroc"]
    assert frames["evaluation"].loc["auroc", "value"] == measured.value
    assert list(frames["evaluation"].columns) == ["value", "low", "high", "method"]
    assert list(frames["run"].index) == [1, 2]
    assert set(frames["comparison"]["metric"]) >= {"accuracy", "auroc"}
    assert len(frames["predictions"]) == 40
    assert frames["verification"]["num_images"].sum() == 120
    assert list(frames["runs"]["test_auroc"]) == [measured.value] * 2
    assert "pneumo" in frames["doctor"].index
    assert frames["tuned"].loc["epochs", "importance"] == 0.7


def test_a_search_shows_what_to_expect_before_its_best_trial():
    assert repr(TUNED) == (
        "<Tuned search: 12 whole trials, 3 pruned, 0 failed, balanced accuracy on hard films 88.0% ± 2.0% "
        "over 3 other seeds, trial 7>"
    )
    html = TUNED._repr_html_()
    assert html.index("88.0%") < html.index("91.0%, too good by chance")
    assert "pneumo train --epochs 4" in html


def test_without_pandas_one_sentence_names_it(results: dict[str, object], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(pneumo.PneumoError, match="needs pandas, which is not installed here") as caught:
        results["evaluation"].to_frame()
    assert caught.value.hint == "pip install pandas"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_notebook_draws_progress_and_results(trained: RunFolder, phantoms: Path, tmp_path: Path):
    """The cells of a real notebook: bars while it works, the verdict below."""
    import nbformat
    from nbclient import NotebookClient

    run = copy_of(trained, tmp_path / "run")
    code = [
        "import pneumocli as pneumo",
        f"pneumo.evaluate({str(run.path)!r})",
        f"pneumo.train(data={str(phantoms)!r}, run_dir={str(tmp_path / 'new')!r}, epochs=1, image_size=32, "
        "device='cpu', batch_size=16, val_fraction=0.25)",
        f"pneumo.evaluate({str(tmp_path / 'none')!r})",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in code])
    NotebookClient(notebook, timeout=120, allow_errors=True).execute()
    html = ["".join(str(item.get("data", {}).get("text/html", "")) for item in cell.outputs) for cell in notebook.cells]
    plain = [str([dict(item) for item in cell.outputs]) for cell in notebook.cells]
    assert "of 100 healthy" in html[1]
    assert "report.html" in plain[1]
    assert "AUROC" in plain[2]
    assert "RunFolder" in plain[2]
    assert "pneumo train makes one" in plain[3]
    assert "ipywidgets" not in "".join(plain)


def test_a_model_on_integers_shows_what_it_changes():
    proof = Int8Proof(
        num_films=977, mean_difference=0.05, largest_difference=0.4, num_changed=3, map_correlation=0.999, speed=3.05,
        auroc=GroupFigure(value=0.0002, low=-0.0002, high=0.0006),
    )  # fmt: skip
    card = Int8Card(package_version="1", parent_sha256="0" * 64, num_calibration_films=64, proof=proof)
    found = Quantized(file="runs/a/model-int8.onnx", size_bytes=11_600_000, parent_size_bytes=45_000_000, card=card)
    assert found.to_frame().loc["num_changed", "value"] == card.proof.num_changed
    assert "3 of 977 films change sides" in repr(found)
    assert "\n" not in repr(found)
    html = found._repr_html_()
    assert Tags(html).open == []
    assert "+0.02 points (-0.02 to +0.06)" in html
