"""What pages, cards and tables show of films of another place and of patients with several films."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from pneumocli.cli.evaluate import evaluation_tables, patient_tables
from pneumocli.evaluation.measure import Choices, Origin, evaluate_predictions
from pneumocli.evaluation.store import evaluation_report
from pneumocli.inference.classifier import Classifier
from pneumocli.metrics.records import Evaluation, Metric, ScoredFilm
from pneumocli.model.card import ModelCard, OperatingPoint
from pneumocli.model.weights import load_best
from pneumocli.reporting.carry_over import places_rows
from pneumocli.reporting.evaluation_page import evaluation_page
from pneumocli.reporting.model_card import model_card
from pneumocli.run_folder import RunFolder
from tests.conftest import scored_film


@pytest.fixture(scope="module")
def card(trained: RunFolder) -> ModelCard:
    point = OperatingPoint(threshold=0.5, rule="0.5", chosen_on="fixed", sensitivity=0.95, specificity=0.9)
    return load_best(trained.best_file)[1].model_copy(update={"temperature": 1.0, "operating_point": point})


@pytest.fixture(scope="module")
def films() -> list[ScoredFilm]:
    """Forty patients with two films each; the healthy look ill, as at another hospital."""
    rng = np.random.default_rng(0)
    return [
        scored_film(f"{n}.png", "PNEUMONIA" if n % 4 < 2 else "NORMAL", float(rng.normal(1.5)), f"p{n // 2}")
        for n in range(80)
    ]


@pytest.fixture(scope="module")
def elsewhere(card: ModelCard, films: list[ScoredFilm]) -> Evaluation:
    origin = Origin("x", "test", name="nih", assumed_prevalence=0.7)
    return evaluate_predictions(films, card, origin, Choices(by="patient"))


def printed(tables: object) -> str:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(tables)
    return " ".join(console.export_text().split())


def test_the_terminal_shows_what_the_stored_sensitivity_costs_elsewhere(elsewhere: Evaluation):
    text = printed(evaluation_tables(elsewhere))
    assert "Fitted on these very films" in text
    assert "by the answers, 70.0% at the training" in text
    own = elsewhere.model_copy(update={"name": ""})
    assert "Fitted on these very films" not in printed(evaluation_tables(own))


def test_a_threshold_that_would_call_everyone_ill_is_no_offer(elsewhere: Evaluation):
    found = elsewhere.at_stored_sensitivity
    assert found is not None
    useless = found.model_copy(update={"specificity": Metric(value=0.02, low=0.0, high=0.06, method="")})
    text = printed(evaluation_tables(elsewhere.model_copy(update={"at_stored_sensitivity": useless})))
    assert "No threshold helps here" in text
    assert "(specificity 2.0% (0.0 to 6.0))" in text
    assert "the threshold would be" not in text


@pytest.mark.slow
def test_a_ranking_below_chance_is_named(trained: RunFolder, elsewhere: Evaluation, films: list[ScoredFilm], tmp_path):
    area = Metric(value=0.184, low=0.1, high=0.27, method="DeLong")
    upside_down = elsewhere.model_copy(update={"metrics": elsewhere.metrics | {"auroc": area}})
    words = "It ranks these films the wrong way round: AUROC 18.4% (10.0% to 27.0%), 50% is chance."
    assert words in printed(evaluation_tables(upside_down))
    assert words in evaluation_page(
        evaluation_report(trained, Classifier.of_run(trained), upside_down, films, tmp_path)
    )
    assert "wrong way round" not in printed(evaluation_tables(elsewhere))
    unsure = {"auroc": area.model_copy(update={"high": 0.51})}
    assert "wrong way round" not in printed(
        evaluation_tables(elsewhere.model_copy(update={"metrics": elsewhere.metrics | unsure}))
    )


def test_the_terminal_by_patient(elsewhere: Evaluation):
    text = printed(patient_tables(elsewhere))
    assert "40 patients (20 NORMAL, 20 PNEUMONIA), 40 of them with several films, up to 2" in text
    assert "By the mean of a patient's logits it misses" in text
    assert f"{elsewhere.patients.any_positive.confusion.fp} of 20" in text


@pytest.mark.slow
def test_the_page_has_every_section(trained: RunFolder, elsewhere: Evaluation, films: list[ScoredFilm], tmp_path):
    report = evaluation_report(trained, Classifier.of_run(trained), elsewhere, films, tmp_path)
    own = elsewhere.model_copy(update={"name": "", "by": "film"})
    page = evaluation_page(replace(report, places=(own, elsewhere)))
    for words in (
        "other films than the run's own, shift: not measured",
        "The stored sensitivity on these films",
        "fitted here for 95.0%",
        "Another prevalence",
        "By patient",
        "All evaluations of this run",
        "(patients, by the mean of their films&#39; logits)",
    ):
        assert words in page, words
    alone = evaluation_page(replace(report, evaluation=own, places=(own,)))
    assert "All evaluations of this run" not in alone
    assert "(patients, by the mean" not in alone


def test_the_card_carries_every_evaluation_and_marks_other_places(trained: RunFolder, card: ModelCard, elsewhere):
    own = elsewhere.model_copy(update={"name": ""})
    text, page = model_card(trained, card, [own, elsewhere])
    assert [row[:3] for row in places_rows([own, elsewhere])] == [
        ["test", "the run", "80"], ["nih", "another place", "80"],
    ]  # fmt: skip
    assert "| nih | another place | 80 |" in text
    assert text.count("Fitted on these very films") == 1, "of the other place alone"
    assert "<td>another place</td>" in page
    assert text.count("By patient: 40 patients") == 2
