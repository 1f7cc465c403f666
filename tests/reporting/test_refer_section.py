"""The section of a page on a model that refers films."""

from pneumocli.metrics.records import Evaluation
from pneumocli.reporting.refer_section import refer_section, risk_figure
from pneumocli.run_folder import RunFolder
from tests.reporting.test_refer_text import FOUND


def test_the_section_counts_what_is_referred_and_wrong(evaluated: tuple[RunFolder, Evaluation]):
    section = refer_section(evaluated[1].model_copy(update={"refer": FOUND}))
    assert section is not None
    assert section["rows"] == [
        ["coverage of NORMAL", "94.0% (90.0% to 97.0%)"],
        ["coverage of PNEUMONIA", "95.0%"],
        ["referred (10 of 40; 0 possible for neither class)", "25.0%"],
        ["wrong among the answered (3 of 30)", "10.0%"],
    ]


def test_the_ring_is_the_stored_model():
    (axes,) = risk_figure(FOUND).axes
    curve, ring = axes.lines
    assert list(curve.get_xdata()) == [0.5, 1.0]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (0.75, 0.1)


def test_a_model_without_limits_has_no_section(evaluated: tuple[RunFolder, Evaluation]):
    assert refer_section(evaluated[1]) is None
