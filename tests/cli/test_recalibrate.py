"""What ``pneumo recalibrate`` shows."""

import io

from rich.console import Console

from pneumocli.cli.recalibrate import recalibration_tables
from pneumocli.evaluation.recalibrate import Recalibrated
from pneumocli.metrics.recalibration import sample_sizes
from pneumocli.model.card import GroupFigure, Recalibration


def test_before_and_after_stand_side_by_side_with_the_sample_sizes():
    def figure(value: float) -> GroupFigure:
        return GroupFigure(value=value, low=value - 0.05, high=value + 0.05)

    record = Recalibration(
        name="b", num_normal=70, num_pneumonia=210, num_normal_patients=65, num_pneumonia_patients=123, folds=5,
        old_temperature=1, old_offset=0, old_threshold=0.5, old_sensitivity=figure(0.95), old_specificity=figure(0.1),
        old_log_loss=figure(1.6), sensitivity=figure(0.85), specificity=figure(0.63), log_loss=figure(0.416),
        auroc=GroupFigure(value=0.825, low=None, high=None), data_fingerprint="", films=(),
    )  # fmt: skip
    done = Recalibrated(
        run="my runs/b", rule="youden", threshold=0.652, temperature=2, offset=-3, recalibration=record,
        sample_sizes=sample_sizes(0.85, 0.63),
    )  # fmt: skip
    console = Console(file=io.StringIO(), width=80)
    console.print(recalibration_tables(done))
    lines = console.file.getvalue().splitlines()
    (sensitivity,) = [line for line in lines if "sensitivity" in line and "90.0%" in line]
    assert "95.0% (90.0% to 100.0%)" in sensitivity
    assert "85.0% (80.0% to 90.0%)" in sensitivity
    assert any("AUROC" in line and "82.5% " in line for line in lines)
    assert any("│ 100" in line and "± 7.0%" in line for line in lines)
    assert "pneumo evaluate 'my runs/b' --data DIR scores other films with it" in lines
