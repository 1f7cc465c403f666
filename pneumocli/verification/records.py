"""What ``verify-data`` finds, as records: the document that ``--json`` prints."""

from typing import Annotated, Literal

from pydantic import Field

from pneumocli.core.records import ClassName, Count, Finite, Fraction, Kind, Record, Split

RecognisedRelease = Literal["kaggle", "mendeley", "phantom", "foreign"]
"""``foreign``: other films in the same layout, or from a table."""

DuplicateKind = Literal["bytes", "pixels", "near"]
"""Identical files; different files with identical pixels; pictures that look the same."""


class Finding(Record):
    """One problem or note."""

    code: str
    """Stays the same from version to version: ``missing``, ``moved`` ..."""
    text: str
    """One sentence."""
    images: tuple[str, ...] = ()
    """Every film or file that it concerns, relative to the data folder."""
    detail: Annotated[dict[str, str], Field(default_factory=dict)]
    """Details of single films, by image."""


class Cell(Record):
    """The films of one split and class."""

    split: Split
    label: ClassName
    num_images: Count
    num_patients: Count
    kinds: dict[Kind, Count]
    expected: Count | None
    """Films that the recognised release has here."""
    num_files: Count
    """All files in the folder, films or not: what a count by ``ls`` gives."""


class Spread(Record):
    """How a number is distributed over films."""

    least: Finite
    median: Finite
    mean: Finite
    most: Finite


class Properties(Record):
    """What the films of one split and class look like."""

    split: Split
    label: ClassName
    num_images: Count
    width: Spread
    """Pixels."""
    height: Spread
    """Pixels."""
    aspect: Spread
    """Width / height."""
    brightness: Spread
    """Mean grey value of a film with its short side reduced to 256 pixels, 0-255."""
    contrast: Spread
    """Standard deviation of the grey values there."""
    sharpness: Spread
    """Mean absolute difference of vertical neighbours there, in grey values."""
    num_bytes: Spread
    """File size."""
    modes: dict[str, Count]
    """How the files store their pixels, in Pillow's words."""
    formats: dict[str, Count]
    """What the files are, whatever their names end in."""
    num_coloured: Count
    """Films with true colour."""
    num_sides_of_eight: Count
    """Films whose sides are multiples of 8, as programs leave that cut along the blocks of JPEG."""


class EncoderCell(Record):
    """The films of one split and class that the same software made."""

    encoder: str
    """``JPEG Q-sum 330, JFIF 72x72``: format, sum of the luminance quantisation table, markers; or a DICOM device."""
    split: Split
    label: ClassName
    num_images: Count
    expected: Finite
    """Films that there would be if encoder and class were independent within the split."""
    residual: Finite | None
    """Adjusted Pearson residual: (films - expected) / its standard deviation under independence; ``None`` where the
    split has one class or one encoder only."""
    stands_out: bool
    """Whether the residual is 3 or more in size: by chance in about one of 370 cells."""


class DuplicateGroup(Record):
    """Films that show the same picture."""

    kind: DuplicateKind
    images: tuple[str, ...]
    distance: Count
    """Largest number of differing bits, of 256, between the perceptual hashes of two linked films; 0 for identical."""
    across_splits: bool
    across_classes: bool


class ShortcutProbe(Record):
    """How well the label can be predicted without looking at the lungs."""

    auroc: Fraction | None
    """Of a logistic regression, cross-validated by patient; ``None`` where it could not be fitted."""
    folds: Count
    split: Split
    """The films that it was fitted on."""
    num_images: Count
    num_patients: Count
    features: dict[str, Fraction | None]
    """AUROC of each property by itself, in the direction that favours it (0.5-1); ``encoder`` cross-validated."""


class Verification(Record):
    """What a data folder is, and what is wrong with it."""

    schema_version: Literal[1] = 1
    folder: str
    manifest: str | None
    """The table that the films were listed from, if any."""
    quick: bool
    release: RecognisedRelease
    complete: bool
    """Whether every film of the release is there, in its place, and nothing else."""
    resized: bool | None
    """Whether the films are a resized copy of the release; ``None`` where they were not decoded."""
    title: str
    """What it is, in words."""
    num_images: Count
    num_patients: Count
    cells: tuple[Cell, ...]
    problems: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    class_weights: dict[ClassName, Finite] | None
    """Weights that balance the training films: n / (2 n of the class); ``None`` where a class is missing."""
    properties: tuple[Properties, ...] = ()
    duplicates: tuple[DuplicateGroup, ...] = ()
    shortcut_probe: ShortcutProbe | None = None
    encoders: tuple[EncoderCell, ...] = ()
    """By encoder, the most frequent first, then split and class, zeros included."""

    @property
    def against_release(self) -> bool:
        """Whether there is a release to count the films against."""
        return any(cell.expected is not None for cell in self.cells)

    @property
    def named_kinds(self) -> tuple[Kind, ...]:
        """Of bacteria and virus those that the films' names tell: none for films of other names."""
        told: tuple[Kind, ...] = ("bacteria", "virus")
        return tuple(kind for kind in told if any(cell.kinds.get(kind) for cell in self.cells))

    @property
    def doubt(self) -> str:
        """What to think of although nothing is wrong with files and splits; empty where there is nothing."""
        codes = {note.code for note in self.notes}
        return "how the films were made tells their class" if codes & {"encoder", "shortcut-property"} else ""
