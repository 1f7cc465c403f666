"""The section of a page on whether films are like the training films."""

from pneumocli.core.shift_records import PropertyShift, Shift
from pneumocli.reporting.shift_section import shift_figure, shift_section

SHIFT = Shift(
    detected=True, sentence="They differ.", strength="strong", num_films=50, num_compared=50, num_reference=200,
    error_rate=0.01, auroc=0.99, p_value=0.008, unlike_share=0.5, prevalence_estimate=0.7,
    properties=(
        PropertyShift(name="size", here=512, reference=224, distance=1, p_value=0.008, moved=True, word="larger"),
        PropertyShift(name="encoder", here=None, reference=None, distance=0.2, p_value=0.4, moved=False),
    ),
)  # fmt: skip


def test_the_section_lists_every_property_with_its_word():
    section = shift_section(SHIFT)
    assert section is not None
    assert section["rows"] == [
        ["size, pixels", "512", "224", "1.00", "0.008", "larger"],
        ["program or device", "", "", "0.20", "0.400", ""],
    ]


def test_what_has_moved_is_drawn_in_another_colour():
    (axes,) = shift_figure(SHIFT).axes
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == [0.2, 1.0]
    assert axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()


def test_the_figure_fills_the_page_without_filling_the_screen():
    width, height = shift_figure(SHIFT).get_size_inches()
    assert height < width / 3


def test_films_that_were_not_compared_have_no_section():
    assert shift_section(None) is None
