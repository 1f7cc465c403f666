"""Where a prediction comes from: the class activation map over the film, as a picture.

The map is exact: its mean over the grid, plus a constant of the model, is the logit. It is coarse (7 x 7 cells for 224
pixels) and says where the network's evidence lies, not whether the evidence is disease: see docs/inference.md.

References:
    Zhou et al. 2016, Learning deep features for discriminative localization, doi:10.1109/CVPR.2016.319.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pneumocli.colour_map import INFERNO
from pneumocli.core.records import NOTICE, POSITIVE_CLASS, ClassName
from pneumocli.data.images import Fit, crop_frame

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

# Longest side of the film in the picture: enough to read it, small enough to write a folder of them quickly.
_LONGEST_SIDE = 900
_SHORTEST_SIDE = 320  # smaller films are enlarged, or the caption would not fit beside them

# Evidence of less than one logit per cell is weak whatever the film; a scale that shrank with it would hide that.
_LEAST_SCALE = 1.0

_OPACITY = 0.55
_OUTSIDE = 0.55  # brightness of what the network did not see

_BAR_WIDTH, _MARGIN = 14, 12
_INK, _FAINT, _PAPER, _FRAME = (235, 235, 235), (165, 165, 165), (18, 18, 18), (90, 200, 250)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a picture's caption says of a film.

    Attributes:
        image: The film's name.
        prediction: The class.
        probability: Of pneumonia, 0-1.
        threshold: Positive if the probability is at or above it.
        warnings: In which way the film is unlike the training films.
    """

    image: str
    prediction: ClassName
    probability: float
    threshold: float
    warnings: tuple[str, ...] = ()


def evidence(cam: Floats, prediction: ClassName) -> Floats:
    """What each cell of the map contributes to the predicted class.

    Args:
        cam: Class activation maps of one film, float32 (2,h,w).
        prediction: The class.

    Returns:
        (h,w), in logits: the mean is the film's logit (its negative for NORMAL) but for the model's constant.
    """
    difference: Floats = cam[1] - cam[0]
    return difference if prediction == POSITIVE_CLASS else -difference


def scale_of(values: Floats) -> float:
    """The evidence that gets the brightest colour: the film's strongest cell, at least one logit."""
    return max(float(values.max()), _LEAST_SCALE)


def overlay(pixels: Pixels, cam: Floats, fit: Fit, prediction: ClassName) -> Pixels:
    """The film with the evidence for its prediction over it, no caption.

    Args:
        pixels: The film as read, uint8 (H,W).
        cam: Its class activation maps, float32 (2,h,w).
        fit: How the film was made square for the network.
        prediction: The class whose evidence is shown.

    Returns:
        uint8 (H',W',3) of the film's aspect, the longer side at most 900; what the network did not see is dimmed, and
        the edge of what it saw is drawn.
    """
    height, width = pixels.shape
    factor = min(_LONGEST_SIDE / max(height, width), max(1.0, _SHORTEST_SIDE / min(height, width)))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    film = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR), np.float32)
    frame = _frame_in_picture(crop_frame(height, width, fit), size[0] / width, size[1] / height)
    values = evidence(cam, prediction)
    strength, inside = _spread(np.clip(values / scale_of(values), 0, 1), frame, size)
    colours = INFERNO[np.rint(strength * 255).astype(np.uint8)].astype(np.float32)
    grey = np.where(inside, film, film * _OUTSIDE)[..., None]
    opacity = (_OPACITY * np.sqrt(strength))[..., None]  # root: the eye should not lose the moderate cells
    picture = Image.fromarray(np.rint(grey * (1 - opacity) + colours * opacity).astype(np.uint8))
    left, top, right, bottom = frame
    ImageDraw.Draw(picture).rectangle(
        (max(left, 0), max(top, 0), min(right, size[0]) - 1, min(bottom, size[1]) - 1), outline=_FRAME, width=2
    )
    return np.asarray(picture)


def _frame_in_picture(
    frame: tuple[float, float, float, float], across: float, down: float
) -> tuple[int, int, int, int]:
    left, top, right, bottom = frame
    return round(left * across), round(top * down), round(right * across), round(bottom * down)


def _spread(cells: Floats, frame: tuple[int, int, int, int], size: tuple[int, int]) -> tuple[Floats, NDArray[np.bool_]]:
    """Cells 0-1 enlarged to their frame, and which pixels of the picture lie inside it; both (H',W')."""
    left, top, right, bottom = frame
    width, height = size
    enlarged = np.asarray(
        Image.fromarray(cells.astype(np.float32)).resize(
            (max(1, right - left), max(1, bottom - top)), Image.Resampling.BICUBIC
        )
    )
    strength = np.zeros((height, width), np.float32)
    inside = np.zeros((height, width), bool)
    # A padded film's frame is larger than the picture, a cropped one's smaller.
    rows, columns = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
    part = enlarged[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    strength[rows, columns] = np.clip(part, 0, 1)
    inside[rows, columns] = True
    return strength, inside


def picture(pixels: Pixels, cam: Floats, fit: Fit, answer: Answer) -> bytes:
    """The film with its explanation and a caption, as PNG.

    Args:
        pixels: The film as read, uint8 (H,W).
        cam: Its class activation maps, float32 (2,h,w).
        fit: How the film was made square for the network.
        answer: What the caption says.
    """
    film = overlay(pixels, cam, fit, answer.prediction)
    height, width = film.shape[:2]
    lines = _caption(answer, max(width, _SHORTEST_SIDE))
    bar_height = max(height, 120)
    canvas = Image.new(
        "RGB",
        (max(width, _SHORTEST_SIDE) + _MARGIN * 3 + _BAR_WIDTH + 54, bar_height + _MARGIN * 2 + _depth(lines)),
        _PAPER,
    )
    canvas.paste(Image.fromarray(film), (_MARGIN, _MARGIN))
    draw = ImageDraw.Draw(canvas)
    scale = scale_of(evidence(cam, answer.prediction))
    _draw_bar(canvas, draw, (canvas.width - _BAR_WIDTH - 54, _MARGIN, bar_height), scale)
    top = bar_height + _MARGIN + 8
    for text, size, ink in lines:
        draw.text((_MARGIN, top), text, fill=ink, font=_font(size))
        top += size + 6
    file = io.BytesIO()
    canvas.save(file, "PNG", compress_level=3)
    return file.getvalue()


_Line = tuple[str, int, tuple[int, int, int]]


def _caption(answer: Answer, width: int) -> list[_Line]:
    lines: list[_Line] = [
        (
            f"{answer.prediction}: probability of pneumonia {answer.probability:.1%}, threshold {answer.threshold:.1%}",
            16,
            _INK,
        ),
        (f"{answer.image}", 12, _FAINT),
        *((f"Warning: {warning}", 12, (255, 190, 90)) for warning in answer.warnings),
        (f"Colour: evidence for {answer.prediction} in logits per cell. Frame: what the network saw.", 12, _FAINT),
        (NOTICE, 12, _FAINT),
    ]
    return [piece for line in lines for piece in _wrapped(line, width)]


def _wrapped(line: _Line, width: int) -> list[_Line]:
    """A line broken where it is wider than the picture; control characters become visible."""
    text, size, ink = line
    text = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    font = _font(size)
    pieces = [""]
    for word in text.split(" "):
        longer = f"{pieces[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            pieces[-1] = longer
        else:
            pieces.append(_shortened(word, size, width))
    return [(piece, size, ink) for piece in pieces if piece]


def _shortened(word: str, size: int, width: int) -> str:
    """A word too long for a line, such as a path, with its end kept: the end names the film."""
    font = _font(size)
    if font.getlength(word) <= width:
        return word
    while len(word) > 1 and font.getlength("..." + word) > width:
        word = word[max(1, len(word) // 8) :]
    return "..." + word


def _depth(lines: list[_Line]) -> int:
    return sum(size + 6 for _, size, _ in lines) + 8


def _draw_bar(canvas: Image.Image, draw: ImageDraw.ImageDraw, place: tuple[int, int, int], scale: float) -> None:
    """The colour bar: how much evidence a colour stands for."""
    left, top, height = place
    ramp = np.repeat(INFERNO[np.linspace(255, 0, height).astype(np.uint8)][:, None], _BAR_WIDTH, axis=1)
    canvas.paste(Image.fromarray(np.ascontiguousarray(ramp)), (left, top))
    draw.rectangle((left, top, left + _BAR_WIDTH - 1, top + height - 1), outline=_FAINT)
    for share in (0.0, 0.5, 1.0):
        middle = top + round((height - 12) * (1 - share))
        draw.text((left + _BAR_WIDTH + 4, middle - 2), f"{scale * share:.3g}", fill=_INK, font=_font(12))


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType")
    return font
