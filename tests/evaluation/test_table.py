"""The evaluation of anybody's scores: what is read, refused, written and compared."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest

from pneumocli.cli.app import app
from pneumocli.core.config import CompareConfig, PredictionsConfig
from pneumocli.core.errors import DataError, RunError, SettingError
from pneumocli.core.events import Event, Remark
from pneumocli.data.score_table import read_score_table
from pneumocli.evaluation.compare import assignment_results, compare
from pneumocli.evaluation.evaluate import evaluate
from pneumocli.metrics.records import CALIBRATION_METRICS, Confusion, Evaluation
from pneumocli.reporting.carry_over import shifts_text
from pneumocli.run_folder import RunFolder
from tests.conftest import copy_of

pytestmark = pytest.mark.usefixtures("saved")

HEADER = "image,label,probability"
FILMS = ["a.png,NORMAL,0.1", "b.png,NORMAL,0.7", "c.png,PNEUMONIA,0.3", "d.png,PNEUMONIA,0.9", "e.png,PNEUMONIA,1"]


def table(folder: Path, rows: list[str], header: str = HEADER) -> Path:
    file = folder / "reader.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


def evaluated_table(folder: Path, rows: list[str], header: str = HEADER, **settings: object) -> Evaluation:
    file = table(folder, rows, header)
    return evaluate(PredictionsConfig(predictions=file, output=folder / "out", **settings))


def test_probabilities_get_the_whole_evaluation(tmp_path: Path):
    evaluation = evaluated_table(tmp_path, FILMS)
    assert evaluation.confusion == Confusion(tp=2, fp=1, fn=1, tn=1)
    assert evaluation.metrics["auroc"].value == pytest.approx(5 / 6)  # c is below b alone
    assert (evaluation.run, evaluation.threshold.value, evaluation.threshold.rule) == ("reader", 0.5, "0.5")
    assert evaluation.metrics["brier_score"].value == pytest.approx((0.01 + 0.49 + 0.49 + 0.01 + 0) / 5)
    written = {file.name for file in (tmp_path / "out").iterdir()}
    assert written == {
        "calibration.png", "confusion.png", "histogram.png", "metrics.json", "pr.png", "predictions.csv",
        "report.html", "roc.png",
    }  # fmt: skip
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "a table of probabilities" in page
    assert "<h1>reader</h1>" in page
    assert "How was it trained?" not in page
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["table_sha256"] == evaluation.table_sha256


def test_a_table_without_patients_is_paired_with_one_that_has_them(tmp_path: Path):
    """The same scores twice, and patients in one of them only: nothing differs, in no resample."""
    rows = [f"{number}.png,{number % 2},{(number * 37 % 100) / 100}" for number in range(60)]
    files = tmp_path / "with.csv", tmp_path / "without.csv"
    files[0].write_text("\n".join([f"{HEADER},patient", *(f"{row},p{n // 3}" for n, row in enumerate(rows))]) + "\n")
    files[1].write_text("\n".join([HEADER, *rows]) + "\n")
    tables = [evaluate(PredictionsConfig(predictions=file, output=tmp_path / file.stem)) for file in files]
    assert [one.num_patients for one in tables] == [20, 60]
    events: list[Event] = []
    for order in ((0, 1), (1, 0)):
        config = CompareConfig(runs=tuple(tmp_path / files[n].stem for n in order), output=tmp_path / "comparison")
        found = compare(config, events.append)
        assert found.num_patients == 20
        assert shifts_text(found.runs) == ""  # a table knows no films that could be shifted
        drawn = [row for row in found.differences if "bootstrap" in row.method]
        assert {(row.difference, row.low) for row in drawn} == {(0, None)}
    texts = [event.text for event in events if isinstance(event, Remark)]
    assert (
        texts
        == [
            "without lacks some patients: films that any of the compared knows to be of one patient are drawn together "
            "in all of them"
        ]
        * 2
    )


def test_of_many_long_names_the_folder_has_a_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    names = [f"{letter * 90}" for letter in "abc"]
    for name in names:
        evaluate(PredictionsConfig(predictions=table(tmp_path, FILMS), output=tmp_path / name))
    compare(CompareConfig(runs=tuple(Path(name) for name in names)))
    (written,) = (tmp_path / "comparisons").iterdir()
    assert re.fullmatch(r"a{50}-vs-2-others-[0-9a-f]{8}", written.name)
    assert (written / "comparison.json").is_file()


def test_a_probability_at_the_threshold_is_positive(tmp_path: Path):
    """0.3 as a logit and back is another number than 0.3 by the last digit."""
    evaluation = evaluated_table(tmp_path, ["a.png,1,0.3", "b.png,1,0.29", "c.png,0,0"], threshold=0.3)
    assert evaluation.confusion == Confusion(tp=1, fp=0, fn=1, tn=1)


def test_scores_need_a_threshold_and_leave_calibration_undefined(tmp_path: Path):
    rows = [f"{n}.png,{n % 2},{n % 2 * 5 + n / 10}" for n in range(8)]
    with pytest.raises(DataError, match=r"reader\.csv holds scores, which have no threshold of their own"):
        evaluated_table(tmp_path, rows, "image,label,score")
    assert not (tmp_path / "out").exists()
    evaluation = evaluated_table(tmp_path, rows, "image,label,score", threshold=4)
    assert evaluation.score_threshold == 4
    assert evaluation.confusion == Confusion(tp=4, fp=0, fn=0, tn=4)
    assert {evaluation.metrics[name].value for name in CALIBRATION_METRICS} == {None}
    assert not (tmp_path / "out" / "calibration.png").exists()
    assert "At threshold 4.000 of the scores" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("image,probability", "a.png,0.5", "lacks the column label: found image, probability"),
        ("image,label", "a.png,0", "lacks the column probability or score: found image, label"),
        ("image,label,probability,score", "a.png,0,0.1,3", "has the columns probability and score"),
        (HEADER, "x.png,0,1.2", "line 7: probability '1.2', expected a number between 0 and 1"),
        (HEADER, "x.png,0,nan", "line 7: probability 'nan', expected a number between 0 and 1"),
        (HEADER, "x.png,0,", "line 7: probability '', expected a number"),
        ("image,label,score", "x.png,0,inf", "line 7: score 'inf', expected a finite number"),
        (HEADER, "a.png,0,0.1", "line 7: 'a.png' stands in line 2 already"),
        (HEADER, "x.png,sick,0.1", "line 7: label 'sick', expected NORMAL or PNEUMONIA"),
        (HEADER, ",0,0.1", "line 7: image is empty"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_sentence(header: str, row: str, message: str, tmp_path: Path):
    rows = [*FILMS, row] if "line" in message else [row]
    with pytest.raises(DataError) as caught:
        evaluated_table(tmp_path, rows, header)
    assert message in caught.value.message
    assert not (tmp_path / "out").exists()


def test_patients_and_kinds_come_from_the_table_or_the_names(tmp_path: Path):
    file = table(tmp_path, ["a.png,0,p1,,0.1", "b.png,1,p1,virus,0.2"], "image,label,patient,kind,probability")
    rows = read_score_table(file).rows
    assert [(row.patient, row.kind) for row in rows] == [("p1", "normal"), ("p1", "virus")]
    file = table(tmp_path, ["a.png,0,0.1"])
    events: list[object] = []
    assert read_score_table(file, events.append).rows[0].patient == "film:a.png"
    assert any("do not identify the patient" in event.text for event in events if isinstance(event, Remark))
    file = table(tmp_path, ["a.png,0,virus,0.1"], "image,label,kind,probability")
    with pytest.raises(DataError, match="kind 'virus' of a film of NORMAL, expected normal"):
        read_score_table(file)


@pytest.mark.parametrize("score", ["1,250", "12,500.5", "-1,000,000", "1_000", "1e200"])
def test_scores_that_could_be_read_as_another_number_are_refused(tmp_path: Path, score: str):
    file = table(tmp_path, [f'a.png,0,"{score}"', "b.png,1,3"], "image,label,score")
    with pytest.raises(DataError, match="line 2: score"):
        read_score_table(file)


def test_decimal_commas_of_a_table_with_semicolons_are_read(tmp_path: Path):
    file = table(tmp_path, ["a.png;0;1,250", "b.png;1;-0,5"], "image;label;score")
    assert [row.value for row in read_score_table(file).rows] == [1.25, -0.5]
    file = table(tmp_path, ['a.png,0,"0,250"', "b.png,1,1"])
    assert [row.value for row in read_score_table(file).rows] == [0.25, 1]


def test_one_class_alone_is_warned_about(tmp_path: Path):
    events: list[object] = []
    file = table(tmp_path, FILMS[:2])
    evaluation = evaluate(PredictionsConfig(predictions=file, output=tmp_path / "out"), events.append)
    assert evaluation.metrics["auroc"].value is None
    assert any("all 2 films are NORMAL" in event.text for event in events if isinstance(event, Remark))


def test_a_folder_of_something_else_is_kept(trained: RunFolder, tmp_path: Path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    for output in (tmp_path / "full", trained.path):
        with pytest.raises(RunError, match="holds something else"):
            evaluate(PredictionsConfig(predictions=table(tmp_path, FILMS), output=output))


def test_a_runs_own_predictions_give_the_runs_own_numbers(evaluated: tuple[RunFolder, Evaluation], tmp_path: Path):
    """And a table stands beside the run in a comparison, where it differs in nothing."""
    run, own = evaluated
    source = run.evaluation_folder("test").predictions_file
    config = PredictionsConfig(predictions=source, output=tmp_path / "out", name="again")
    found = evaluate(config)
    assert (found.confusion, found.num_patients) == (own.confusion, own.num_patients)
    for name in ("accuracy", "auroc", "f1", "brier_score"):
        assert found.metrics[name].value == pytest.approx(own.metrics[name].value), name
    comparison = compare(CompareConfig(runs=(run.path, tmp_path / "out"), output=tmp_path / "comparison"))
    assert [described.is_table for described in comparison.runs] == [False, True]
    assert all(abs(row.difference or 0.0) < 1e-9 for row in comparison.differences)
    assert assignment_results(comparison) is None
    assert (tmp_path / "comparison" / "comparison.html").is_file()


def test_a_table_of_other_films_is_not_compared(evaluated: tuple[RunFolder, Evaluation], tmp_path: Path):
    evaluated_table(tmp_path, FILMS)
    with pytest.raises(RunError, match="were evaluated on different films"):
        compare(CompareConfig(runs=(evaluated[0].path, tmp_path / "out"), output=tmp_path / "comparison"))


def test_two_tables_are_compared_and_scores_have_no_calibration(tmp_path: Path):
    folders = []
    for name, header in (("one", HEADER), ("two", "image,label,score")):
        (tmp_path / name).mkdir()
        evaluated_table(tmp_path / name, FILMS, header, threshold=0.5)
        folders.append(tmp_path / name / "out")
    comparison = compare(CompareConfig(runs=tuple(folders), output=tmp_path / "comparison"))
    rows = {row.metric: row for row in comparison.differences if "exact" not in row.method}
    assert rows["brier_score"].b is None
    assert rows["brier_score"].difference is None
    assert [run.name for run in comparison.runs] == ["one-out", "two-out"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["evaluate"], "RUN is missing"),
        (["evaluate", "run", "--predictions", "a.csv"], "RUN cannot stand beside --predictions"),
        (["evaluate", "--predictions", "a.csv", "--data", "d"], "--data cannot stand beside --predictions"),
        (["evaluate", "run", "--output", "o"], "--output is for --predictions"),
    ],
)
def test_usage(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stopped:
        app(argv, prog_name="pneumo")
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_the_written_predictions_are_read_again(tmp_path: Path):
    evaluated_table(tmp_path, FILMS)
    with (tmp_path / "out" / "predictions.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["probability"] for row in rows] == ["0.1", "0.7", "0.3", "0.9", "1.0"]
    assert [row["prediction"] for row in rows] == ["NORMAL", "PNEUMONIA", "NORMAL", "PNEUMONIA", "PNEUMONIA"]


def test_a_tables_evaluation_takes_no_place_of_a_runs(
    evaluated: tuple[RunFolder, Evaluation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = copy_of(evaluated[0], tmp_path / "run", evaluations=True)
    own = run.evaluation_folder("test").metrics_file
    before = own.read_bytes()
    file = table(tmp_path, FILMS).rename(tmp_path / "test.csv")
    for output in (own.parent, own.parent.with_name("reader")):
        with pytest.raises(RunError, match="is the place of a run's own evaluations"):
            evaluate(PredictionsConfig(predictions=file, output=output))
    shutil.copytree(own.parent, tmp_path / "elsewhere")
    with pytest.raises(RunError, match="holds something else than the evaluation of a table"):
        evaluate(PredictionsConfig(predictions=file, output=tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path)
    Path("config.json").touch()  # of another program
    assert evaluate(PredictionsConfig(predictions=file)).name == "other-test"
    assert Path("evaluations/other-test/metrics.json").is_file()
    monkeypatch.chdir(run.path)
    with pytest.raises(RunError, match="is the place of a run's own evaluations"):
        evaluate(PredictionsConfig(predictions=file))
    assert own.read_bytes() == before


def test_a_score_below_the_threshold_is_negative_however_near_it_lies(tmp_path: Path):
    rows = [f"{n}.png,{n % 2},{1 + n % 2}e-20" for n in range(8)]
    found = evaluated_table(tmp_path, rows, "image,label,score", threshold=1.5e-20)
    assert found.confusion == Confusion(tp=4, fp=0, fn=0, tn=4)


@pytest.mark.parametrize("threshold", [0.08, 0.3, 0.9, 0.97])
def test_a_patient_whose_films_lie_at_the_threshold_is_positive(tmp_path: Path, threshold: float):
    rows = [f"{n}.png,PNEUMONIA,{threshold},p{n // 2}" for n in range(8)] + [
        "x.png,NORMAL,0.01,q",
        "y.png,NORMAL,0.02,q",
    ]
    found = evaluated_table(tmp_path, rows, f"{HEADER},patient", threshold=threshold).patients
    assert found is not None
    assert found.mean_logit.confusion == found.any_positive.confusion == Confusion(tp=4, fp=0, fn=0, tn=1)


def test_scores_of_any_size_are_evaluated(tmp_path: Path):
    rows = [f"{n}.png,{n % 2},{(-1e99, 0, 3, 1e99)[n * 7 % 4]}" for n in range(30)]
    assert evaluated_table(tmp_path, rows, "image,label,score", threshold=1).metrics["auroc"].value is not None


def test_figures_of_probabilities_go_where_scores_take_their_place(tmp_path: Path):
    evaluated_table(tmp_path, FILMS)
    assert (tmp_path / "out" / "calibration.png").is_file()
    evaluated_table(tmp_path, FILMS, "image,label,score", threshold=0.5)
    assert not (tmp_path / "out" / "calibration.png").exists()


def test_films_without_a_patient_are_counted_where_the_table_knows_some(tmp_path: Path):
    rows = ["a.png,0,0.1,1", "b.png,0,0.2,", "c.png,1,0.3,2", "d.png,1,0.4,", "e.png,1,0.5,"]
    events: list[Event] = []
    read_score_table(table(tmp_path, rows, f"{HEADER},patient"), events.append)
    assert [event.text[:40] for event in events if isinstance(event, Remark)] == [
        "3 of 5 file names do not identify the pa"
    ]


def test_tables_bring_their_films(tmp_path: Path):
    for name in ("one", "two"):
        evaluate(PredictionsConfig(predictions=table(tmp_path, FILMS), output=tmp_path / name))
    runs = (tmp_path / "one", tmp_path / "two")
    for settings, flag in (({"data": tmp_path}, "--data"), ({"split": "val"}, "--split"), ({"name": "x"}, "--name")):
        with pytest.raises(SettingError, match=f"{flag} is for runs: tables of scores bring their films"):
            compare(CompareConfig(runs=runs, output=tmp_path / "c", **settings))
    file = table(tmp_path, FILMS)
    with pytest.raises(RunError, match="is a file: expected the folder of a run"):
        compare(CompareConfig(runs=(file, tmp_path / "one"), output=tmp_path / "c"))


def test_a_comparison_is_not_written_into_a_run(evaluated: tuple[RunFolder, Evaluation], tmp_path: Path):
    run = copy_of(evaluated[0], tmp_path / "run", evaluations=True)
    with pytest.raises(RunError, match="is the folder of a run"):
        compare(CompareConfig(runs=(run.path, evaluated[0].path), output=run.path))
