"""``compare()``: two or more runs on the same films, with intervals of their differences."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import combinations
from pathlib import Path

import numpy as np

from pneumocli.core.config import CompareConfig, EvaluateConfig
from pneumocli.core.errors import RunError, SettingError, first_few
from pneumocli.core.events import FileWritten, Listener, Remark, ignore
from pneumocli.core.files import write_bytes, write_json, write_text
from pneumocli.core.multiple_tests import holm
from pneumocli.evaluation.evaluate import Evaluated, evaluate_films
from pneumocli.evaluation.store import current_evaluation, stored_evaluations
from pneumocli.evaluation.subject import subject_of
from pneumocli.evaluation.table import TableEvaluation, read_table_evaluation
from pneumocli.inference.classifier import Classifier, card_of_run
from pneumocli.metrics.classification import MAIN_METRICS, spread
from pneumocli.metrics.paired_tests import (
    Floats,
    bootstrap_differences,
    delong_difference,
    drawn_values,
    joined_patients,
    mcnemar_differences,
    values_of,
)
from pneumocli.metrics.records import (
    CALIBRATION_METRICS,
    AssignmentResults,
    ComparedRun,
    Comparison,
    Difference,
    SeedGroup,
)
from pneumocli.metrics.scores import Compared, ScoreArrays
from pneumocli.reporting.comparison_figures import comparison_figures
from pneumocli.reporting.comparison_page import ComparisonReport, comparison_page
from pneumocli.reporting.comparison_verdict import comparison_verdict
from pneumocli.reporting.figures import png
from pneumocli.reporting.html import link
from pneumocli.reporting.text import listed
from pneumocli.run_folder import EvaluationFolder, RunFolder, is_table_evaluation, refuse_table_file

_LONGEST_NAME = 200  # file systems take 255 bytes


def compare(config: CompareConfig, listener: Listener = ignore) -> Comparison:
    """Compares runs on the films of a split and writes the comparison's folder.

    A run is evaluated first where its predictions are missing, or were made of other films or by another model.

    Args:
        config: The runs, the split, and where to.
        listener: Gets progress and warnings.

    Raises:
        RunError: A run has not finished, the same run is named twice, or the runs were evaluated on different films.
    """
    folders = [_member(path) for path in config.runs]
    _refuse_what_is_of_runs(config, folders)
    names = _unique_names(folders)
    runs = [_compared(name, run, config, listener) for name, run in zip(names, folders, strict=True)]
    for other in runs[1:]:
        _check_same_films(runs[0], other)
    runs = _with_joined_patients(runs, listener)
    drawn = [drawn_values(run.scores, run.threshold, config.seed) for run in runs]
    values = [_values(run) for run in runs]
    differences: list[Difference] = []
    for a, b in combinations(range(len(runs)), 2):
        differences += _pair(runs[a], runs[b], (values[a], values[b]), (drawn[a], drawn[b]))
    adjusted = _holm_p_values(names, differences)
    comparison = Comparison(
        runs=tuple(run.described for run in runs),
        split=config.split,
        name=_place_name(runs),
        num_images=len(runs[0].films),
        num_patients=len(np.unique(runs[0].scores.patients)),
        data_fingerprint=runs[0].evaluation.data_fingerprint,
        sentence=comparison_verdict(names, differences, adjusted),
        differences=tuple(differences),
        holm_p_values=adjusted,
        seed_groups=tuple(_seed_groups(names, folders, values)),
        bootstrap_seed=config.seed,
    )
    models = {
        name: cache(partial(Classifier.of_run, run))  # opened only if films changed sides
        for name, run in zip(names, folders, strict=True)
        if isinstance(run, RunFolder)
    }
    _write(config.output or _default_folder(names), comparison, runs, models, listener)
    return comparison


def _default_folder(names: Sequence[str]) -> Path:
    """Named after the runs; of names that are too long together, after the first, their number and a hash of all."""
    name = "-vs-".join(names)
    if len(name.encode()) > _LONGEST_NAME:
        name = f"{names[0][:50]}-vs-{len(names) - 1}-others-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return Path("comparisons") / name


def _refuse_what_is_of_runs(config: CompareConfig, members: Sequence[RunFolder | TableEvaluation]) -> None:
    """Refuses films for tables of scores, which bring their own, and a run's folder for what is written.

    Raises:
        SettingError: There is no run that a setting could be for.
        RunError: The folder is a run's.
    """
    given = {"--data": config.data, "--manifest": config.manifest, "--name": config.name}
    named = [flag for flag, value in given.items() if value is not None] + ["--split"] * (config.split != "test")
    if named and not any(isinstance(member, RunFolder) for member in members):
        raise SettingError(f"{named[0]} is for runs: tables of scores bring their films", f"leave {named[0]} out")
    if config.output is not None and RunFolder(config.output).is_there:
        raise RunError(f"{config.output} is the folder of a run", "choose another --output")


def _place_name(runs: Sequence[Compared]) -> str:
    """The name of the films: of another place for at least one of the runs; of tables alone the first one's."""
    names = [run.evaluation.name for run in runs if not run.described.is_table]
    return next(filter(None, names), "") if names else runs[0].evaluation.name


def _member(path: Path) -> RunFolder | TableEvaluation:
    refuse_table_file(path)
    return read_table_evaluation(path) if is_table_evaluation(path) else RunFolder.open_finished(path)


def _values(run: Compared) -> dict[str, float | None]:
    """The compared metrics; those that ask for probabilities are undefined for a table of scores."""
    found = values_of(run.scores, run.threshold)
    if run.evaluation.score_threshold is None:
        return found
    return {name: None if name in CALIBRATION_METRICS else value for name, value in found.items()}


def _unique_names(runs: Sequence[RunFolder | TableEvaluation]) -> list[str]:
    """Folder names; with their parents' where two are equal."""
    places = [run.path.resolve() for run in runs]
    for one, other in combinations(places, 2):
        if one == other:
            raise RunError(f"the run {one.name} is named twice", "name two or more different runs")
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [f"{place.parent.name}-{place.name}" for place in places]
    if len(set(names)) < len(names):
        names = [f"{name}-{number}" for number, name in enumerate(names, start=1)]
    return names


def _compared(name: str, run: RunFolder | TableEvaluation, config: CompareConfig, listener: Listener) -> Compared:
    if isinstance(run, TableEvaluation):
        return _compared_table(name, run)
    subject = subject_of(run, config, listener)
    place = subject.name or config.split
    stored = current_evaluation(run, subject.films, place)
    if stored is None:
        listener(Remark(f"evaluating {run.path} on {place}: its predictions are missing or stale"))
        settings = EvaluateConfig(run=run.path, split=config.split)
        evaluated = evaluate_films(run, subject, settings, listener)
    else:
        evaluated = Evaluated(*stored, card_of_run(run))
    ordered = tuple(sorted(evaluated.films, key=lambda film: film.image))
    scores = ScoreArrays.of(ordered, evaluated.evaluation.temperature)
    return Compared(
        _described(name, run, evaluated),
        run.history(),
        evaluated.evaluation,
        ordered,
        scores,
        subject.films.folder,
        tuple(stored_evaluations(run, evaluated.evaluation.model_sha256)),
    )


def _compared_table(name: str, table: TableEvaluation) -> Compared:
    evaluation = table.evaluation
    ordered = tuple(sorted(table.films, key=lambda film: film.image))
    described = ComparedRun(
        name=name,
        path=table.path.as_posix(),
        initial_weights="",
        seed=0,
        metrics={metric: evaluation.metrics[metric] for metric in MAIN_METRICS},
        subgroups=evaluation.subgroups,
        is_table=True,
    )
    scores = ScoreArrays.of(ordered, evaluation.temperature, as_given=True)
    return Compared(described, (), evaluation, ordered, scores, Path())


def _check_same_films(a: Compared, b: Compared) -> None:
    """Refuses runs whose films, labels or content differ: a paired comparison needs the same films."""
    ours = {film.image: film.label for film in a.films}
    theirs = {film.image: film.label for film in b.films}
    faults = {
        f"only {a.name} has": sorted(ours.keys() - theirs.keys()),
        f"only {b.name} has": sorted(theirs.keys() - ours.keys()),
        "labelled differently:": sorted(name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]),
    }
    found = [f"{what} {len(images)} ({first_few(images)})" for what, images in faults.items() if images]
    has_films = not (a.described.is_table or b.described.is_table)  # a table holds names and labels alone
    if not found and has_films and a.evaluation.data_fingerprint != b.evaluation.data_fingerprint:
        found = ["films of the same names have another content"]
    if found:
        raise RunError(
            f"{a.name} and {b.name} were evaluated on different films: {'; '.join(found)}",
            "pneumo compare RUN RUN --data DIR, or --manifest FILE.csv, evaluates both on the same films; runs with "
            "other validation films can be compared on --split test only",
        )


def _with_joined_patients(runs: Sequence[Compared], listener: Listener) -> list[Compared]:
    """The runs with one view of who is whose film, so that the same patients are drawn for each."""
    patients = joined_patients([run.scores.patients for run in runs])
    others = [run.name for run in runs if len(np.unique(run.scores.patients)) != len(np.unique(patients))]
    if others:
        listener(
            Remark(
                f"{listed(others)} {'lacks' if len(others) == 1 else 'lack'} some patients: films that any of the "
                "compared knows to be of one patient are drawn together in all of them"
            )
        )
    return [replace(run, scores=replace(run.scores, patients=patients)) for run in runs]


def _pair(
    a: Compared,
    b: Compared,
    values: tuple[dict[str, float | None], dict[str, float | None]],
    drawn: tuple[dict[str, Floats], dict[str, Floats]],
) -> list[Difference]:
    names = (a.name, b.name)
    truth = a.scores.labels == 1
    right_a = (a.scores.probabilities >= a.threshold) == truth
    right_b = (b.scores.probabilities >= b.threshold) == truth
    return [
        *bootstrap_differences(names, values, drawn),
        *mcnemar_differences(names, a.scores.labels, right_a, right_b),
        *delong_difference(names, a.scores, b.scores),
    ]


def _described(name: str, run: RunFolder, evaluated: Evaluated) -> ComparedRun:
    return ComparedRun(
        name=name,
        path=run.path.as_posix(),
        initial_weights=evaluated.card.initial_weights,
        seed=run.config().seed,
        metrics={metric: evaluated.evaluation.metrics[metric] for metric in MAIN_METRICS},
        subgroups=evaluated.evaluation.subgroups,
        shift=evaluated.evaluation.shift,
    )


def _holm_p_values(names: Sequence[str], differences: Sequence[Difference]) -> dict[str, float] | None:
    if len(names) <= 2:
        return None
    rows = [
        row for row in differences if row.metric == "accuracy" and row.p_value is not None and "bootstrap" in row.method
    ]
    adjusted = holm([row.p_value for row in rows if row.p_value is not None])
    return {row.pair: p for row, p in zip(rows, adjusted, strict=True)}


def _seed_groups(
    names: Sequence[str], folders: Sequence[RunFolder | TableEvaluation], values: Sequence[dict[str, float | None]]
) -> list[SeedGroup]:
    """Runs whose settings are equal but for the seed and the folder; one seed trained twice is no group."""
    groups: dict[str, list[int]] = defaultdict(list)
    settings = {index: run.config() for index, run in enumerate(folders) if isinstance(run, RunFolder)}
    for index, setting in settings.items():
        groups[setting.model_dump_json(exclude={"seed", "run_dir", "device", "workers"})].append(index)
    found = []
    for members in groups.values():
        if len({settings[index].seed for index in members}) < 2:
            continue
        spreads = {metric: spread([values[index][metric] for index in members]) for metric in MAIN_METRICS}
        known = {metric: value for metric, value in spreads.items() if value is not None}
        found.append(SeedGroup(runs=tuple(names[index] for index in members), metrics=known))
    return found


def _report_of(run: Compared) -> Path:
    path = Path(run.described.path)
    if run.described.is_table:
        return EvaluationFolder(path).report_file
    return RunFolder(path).evaluation_folder(run.evaluation.place).report_file


def _write(
    folder: Path,
    comparison: Comparison,
    runs: Sequence[Compared],
    models: Mapping[str, Callable[[], Classifier]],
    listener: Listener,
) -> None:
    page = folder / "comparison.html"
    links = tuple((f"{run.name} on {comparison.place}", link(_report_of(run), page)) for run in runs)
    report = ComparisonReport(comparison, tuple(runs), comparison_figures(comparison, runs), links, models)
    write_bytes(folder / "comparison.png", png(report.figures["overview"]))
    results = assignment_results(comparison)
    if results is not None:
        write_json(folder / "results.json", results)
    write_json(folder / "comparison.json", comparison)
    write_text(page, comparison_page(report))
    listener(FileWritten(folder / "comparison.html", "comparison"))


def assignment_results(comparison: Comparison) -> AssignmentResults | None:
    """The assignment's three numbers, in percent; ``None`` unless the two runs are one of each kind."""
    if len(comparison.runs) != 2 or any(run.is_table for run in comparison.runs):
        return None
    by_kind = {run.initial_weights == "scratch": run for run in comparison.runs}
    if len(by_kind) != 2:
        return None
    scratch, transfer = (by_kind[kind].metrics["accuracy"].value for kind in (True, False))
    if scratch is None or transfer is None:
        return None
    return AssignmentResults(
        from_scratch_accuracy=round(scratch * 100, 2),
        transfer_learning_accuracy=round(transfer * 100, 2),
        improvement=round((transfer - scratch) * 100, 2),
    )
