"""Where a prediction comes from: the class activation map over the film, as a picture.

The map is exact: its mean over the grid, plus a constant of the model, is the logit. It is coarse (7 x 7 cells for 224
pixels) and shows where the network's evidence lies, not whether the evidence is disease: see docs/inference.md.

References:
    Zhou et al. 2016, Learning deep features for discriminative localization, doi:10.1109/CVPR.2016.319.
"""

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from pneumocli.core.records import NOTICE, POSITIVE_CLASS, ClassName
from pneumocli.data.film import Pixels
from pneumocli.data.images import Fit, crop_frame, fit_film
from pneumocli.inference.classifier import Classifier
from pneumocli.model.card import FINE_CELLS

Floats = NDArray[np.float32]

# Longest side of the film in the picture: enough to read it, small enough to write a folder of them quickly.
_LONGEST_SIDE = 900
_SHORTEST_SIDE = 320  # smaller films are enlarged, or the caption would not fit beside them

# Evidence of less than one logit per cell is weak whatever the film; a scale that shrank with it would hide that.
_LEAST_SCALE = 1.0

_OPACITY = 0.55
_OUTSIDE = 0.55  # brightness of what the network did not see

# What each picture says of itself near its beginning, so that it may be drawn anew and a film of the same name not.
_DRAWN_BY = ("Software", "pneumo")
_HEAD_BYTES = 256

_BAR_WIDTH, _MARGIN = 14, 12
_INK, _FAINT, _PAPER, _FRAME = (235, 235, 235), (165, 165, 165), (18, 18, 18), (90, 200, 250)
_WARNING = (255, 190, 90)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a picture's caption states about a film.

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


LARGE_CUT = 1 / 3
"""Of a film: worth a remark where the network does not see it."""


def class_activation(classifier: Classifier, pixels: Pixels) -> Floats:
    """Runs the model on one film for its class activation maps.

    Args:
        classifier: The model.
        pixels: The film as read, uint8 (H,W).

    Returns:
        float32 (2,h,w).
    """
    card = classifier.card
    cam: Floats = classifier.run(fit_film(pixels, card.image_size, card.fit)[None, None]).cam[0]
    return cam


def share_outside(pixels: Pixels, fit: Fit) -> float:
    """The share of a film that lies outside of what the network sees, 0-1."""
    height, width = pixels.shape
    left, top, right, bottom = crop_frame(height, width, fit)
    across, down = min(right, width) - max(left, 0), min(bottom, height) - max(top, 0)
    return float(1 - across * down / (height * width))


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


def is_drawn(file: Path) -> bool:
    """Whether a picture may be written to ``file``: nothing is there, or a picture that :func:`picture` made."""
    if not os.path.isfile(file):  # noqa: PTH113 - a Path raises where it may not look; what cannot be written says so
        return not os.path.lexists(file)
    try:
        with file.open("rb") as opened:
            return b"\0".join(word.encode() for word in _DRAWN_BY) in opened.read(_HEAD_BYTES)
    except OSError:
        return False


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
    left, top, right, bottom = round(left * across), round(top * down), round(right * across), round(bottom * down)
    return left, top, max(right, left + 1), max(bottom, top + 1)  # of a long strip the network sees less than a pixel


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
        answer: What the caption states.
    """
    film = overlay(pixels, cam, fit, answer.prediction)
    height, width = film.shape[:2]
    remarks = _remarks(cam.shape[1:], share_outside(pixels, fit))
    lines = _caption(answer, remarks, max(width, _SHORTEST_SIDE))
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
    about = PngInfo()
    about.add_text(*_DRAWN_BY)
    canvas.save(file, "PNG", compress_level=3, pnginfo=about)
    return file.getvalue()


_Line = tuple[str, int, tuple[int, int, int]]


def _remarks(cells: tuple[int, ...], outside: float) -> list[str]:
    """What a map of so many cells, of a film with this share outside the frame, cannot show."""
    remarks = []
    if min(cells) < FINE_CELLS:
        remarks.append(f"Coarse: {cells[0]} x {cells[1]} cells, each a large part of the lung.")
    if outside > LARGE_CUT:
        remarks.append(f"{outside:.0%} of the film lies outside the frame: train with --fit pad to have it seen.")
    return remarks


def _caption(answer: Answer, remarks: list[str], width: int) -> list[_Line]:
    lines: list[_Line] = [
        (
            f"{answer.prediction}: probability of pneumonia {answer.probability:.1%}, threshold {answer.threshold:.1%}",
            16,
            _INK,
        ),
        (f"{answer.image}", 12, _FAINT),
        *((f"Warning: {warning}", 12, _WARNING) for warning in answer.warnings),
        (f"Colour: evidence for {answer.prediction} in logits per cell. Frame: what the network saw.", 12, _FAINT),
        *((remark, 12, _WARNING) for remark in remarks),
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


_INFERNO = bytes.fromhex(
    "00000401000501010601010802010a02020c02020e03021004031204031405041706041907051b08051d09061f0a0722"
    "0b07240c08260d08290e092b10092d110a30120a32140b34150b37160b39180c3c190c3e1b0c411c0c431e0c451f0c48"
    "210c4a230c4c240c4f260c51280b53290b552b0b572d0b592f0a5b310a5c320a5e340a5f3609613809623909633b0964"
    "3d09653e0966400a67420a68440a68450a69470b6a490b6a4a0c6b4c0c6b4d0d6c4f0d6c510e6c520e6d540f6d550f6d"
    "57106e59106e5a116e5c126e5d126e5f136e61136e62146e64156e65156e67166e69166e6a176e6c186e6d186e6f196e"
    "71196e721a6e741a6e751b6e771c6d781c6d7a1d6d7c1d6d7d1e6d7f1e6c801f6c82206c84206b85216b87216b88226a"
    "8a226a8c23698d23698f24699025689225689326679526679727669827669a28659b29649d29649f2a63a02a63a22b62"
    "a32c61a52c60a62d60a82e5fa92e5eab2f5ead305dae305cb0315bb1325ab3325ab43359b63458b73557b93556ba3655"
    "bc3754bd3853bf3952c03a51c13a50c33b4fc43c4ec63d4dc73e4cc83f4bca404acb4149cc4248ce4347cf4446d04545"
    "d24644d34743d44842d54a41d74b3fd84c3ed94d3dda4e3cdb503bdd513ade5238df5337e05536e15635e25734e35933"
    "e45a31e55c30e65d2fe75e2ee8602de9612bea632aeb6429eb6628ec6726ed6925ee6a24ef6c23ef6e21f06f20f1711f"
    "f1731df2741cf3761bf37819f47918f57b17f57d15f67e14f68013f78212f78410f8850ff8870ef8890cf98b0bf98c0a"
    "f98e09fa9008fa9207fa9407fb9606fb9706fb9906fb9b06fb9d07fc9f07fca108fca309fca50afca60cfca80dfcaa0f"
    "fcac11fcae12fcb014fcb216fcb418fbb61afbb81dfbba1ffbbc21fbbe23fac026fac228fac42afac62df9c72ff9c932"
    "f9cb35f8cd37f8cf3af7d13df7d340f6d543f6d746f5d949f5db4cf4dd4ff4df53f4e156f3e35af3e55df2e661f2e865"
    "f2ea69f1ec6df1ed71f1ef75f1f179f2f27df2f482f3f586f3f68af4f88ef5f992f6fa96f8fb9af9fc9dfafda1fcffa4"
)


INFERNO: NDArray[np.uint8] = np.frombuffer(_INFERNO, np.uint8).reshape(256, 3)
"""Red, green and blue, (256,3), from dark (0) to bright (255); read-only."""
