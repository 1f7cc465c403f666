"""What a file is, by its name and by its first bytes: the formats that are read, and those that are only known."""

import re
from pathlib import PurePosixPath

__all__ = [
    "HEAD_BYTES",
    "format_of",
    "format_of_name",
    "is_film_name",
    "is_other_picture_name",
    "what_it_is",
]

_ENDINGS: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpeg", ".jpg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "JPEG 2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf"),
    "DICOM": (".dcm", ".dicom"),
}
_FORMAT_OF_ENDING = {ending: name for name, endings in _ENDINGS.items() for ending in endings}

_OTHER_ENDINGS: dict[str, tuple[str, ...]] = {
    "WebP": (".webp",),
    "HEIC": (".heic", ".heif", ".hif"),
    "AVIF": (".avif",),
    "JPEG XL": (".jxl",),
    "JPEG XR": (".jxr", ".wdp", ".hdp"),
    "GIF": (".gif",),
    "Photoshop": (".psd", ".psb"),
    "portable pixmap": (".pgm", ".ppm", ".pbm", ".pnm", ".pam", ".pfm"),
    "camera raw": (
        *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".raf", ".pef"),
        *(".srw", ".x3f", ".iiq", ".3fr", ".raw"),
    ),
    "NIfTI": (".nii", ".nii.gz"),
    "NRRD": (".nrrd", ".nhdr"),
    "MetaImage": (".mha", ".mhd"),
    "NumPy": (".npy", ".npz"),
    "OpenEXR": (".exr",),
    "Targa": (".tga",),
    "FITS": (".fits",),
    "Quick OK Image": (".qoi",),
    "vector graphics": (".svg", ".svgz", ".emf", ".wmf", ".eps"),
}
_OTHER_OF_ENDING = {ending: name for name, endings in _OTHER_ENDINGS.items() for ending in endings}

HEAD_BYTES = 1024
"""So much of a file's beginning is enough for :func:`format_of` and :func:`what_it_is`."""

_READ = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"BM", "BMP"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
)

# What stands where films are expected. Order matters: the longer signature first.
_PICTURES = (
    (rb"RIFF....WEBP", "WebP"),
    (rb"....ftyp(avif|avis)", "AVIF"),
    (rb"....ftyp(hei[cxsm]|hev[cxms]|mif1|msf1)", "HEIC"),
    (rb"....ftypcrx ", "a camera's raw file"),
    (rb"FUJIFILMCCD-RAW|II(RO|RS|U\x00)|MMOR|II\x1a\x00\x00\x00HEAPCCDR|FOVb", "a camera's raw file"),
    (rb"GIF8[79]a", "GIF"),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
    (rb"II\xbc\x01", "JPEG XR"),
    (rb"8BPS", "a Photoshop file"),
    (rb"P[1-7]\s|P[fF]\n", "a portable pixmap (PNM)"),
    (rb"qoif", "QOI"),
    (rb"v/1\x01", "OpenEXR"),
    (rb"DDS |\x00\x00[\x01\x02]\x00[^\x00]\x00|icns", "an icon or a texture"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript"),
)
_ARRAYS = (
    (rb".{344}(n\+1|ni1)\x00|.{4}n\+2\x00", "NIfTI"),
    (rb"NRRD000", "NRRD"),
    (rb"ObjectType\s*=", "MetaImage"),
    (rb"SIMPLE  =", "FITS"),
    (rb"\x93NUMPY", "a NumPy array"),
)
_NO_PICTURES = (
    (rb"%PDF", "a PDF document (pdfimages -png FILE film takes pictures out of it)"),
    (rb"\s*(\xef\xbb\xbf)?\s*<(!doctype\s+html|html)", "a web page (HTML), perhaps of a failed download"),
    (rb"\s*(\xef\xbb\xbf)?\s*(<\?xml.{0,500})?<svg", "a vector graphic (SVG)"),
    (rb"\s*(\xef\xbb\xbf)?\s*<\?xml", "an XML document"),
    (rb"version https://git-lfs", "a Git LFS pointer, whose picture was not fetched (git lfs pull)"),
    (rb"/annex/objects/|(\.\./)*\.git/annex/", "a git-annex pointer, whose picture was not fetched (git annex get)"),
    (rb"\x00\x05\x16[\x00\x07]", "a macOS side file (AppleDouble)"),
    (rb"PK(\x03\x04|\x05\x06)", "a zip archive"),
    (rb"\x1f\x8b", "a gzip archive"),
    (rb"Rar!|7z\xbc\xaf\x27\x1c|\xfd7zXZ|BZh[1-9]|\x28\xb5\x2f\xfd", "an archive"),
    (rb"\x89HDF", "an HDF5 file"),
    (rb"SQLite format 3", "a database"),
    (rb"....ftyp|RIFF....AVI |\x1aE\xdf\xa3", "a video"),
    (rb"RIFF....WAVE|OggS|ID3", "a sound recording"),
    (rb"\xd0\xcf\x11\xe0", "an Office document"),
    (rb"MZ|\x7fELF", "a program"),
    (rb"\x00{16}", "no picture: it begins with zeros, as an interrupted copy does"),
    (rb"[\t\n\r\x20-\x7e]{16}", "text"),
)

# The first element of a data set without preamble: group 2 or 8, a type of two letters or a short length.
_DICOM_START = re.compile(
    rb"DICM|[\x02\x08]\x00.\x00([A-Z]{2}|..\x00\x00)|\x00[\x02\x08]\x00.([A-Z]{2}|\x00\x00)", re.DOTALL
)
_EXPECTED = "JPEG, PNG, TIFF, BMP, JPEG 2000 or DICOM"


def is_film_name(name: str) -> bool:
    """Whether a file's name is that of a film; ``._x.jpeg``, which macOS leaves beside files, is none."""
    return format_of_name(name) is not None and not name.startswith(".")


def is_other_picture_name(name: str) -> bool:
    """Whether a file's name is that of a picture in a format that is not read, such as ``x.webp`` or ``x.nii.gz``.

    Such a file is no film; but where a folder holds it, the folder does not hold nothing: name the file, and
    :func:`what_it_is` of its content.
    """
    lower = name.lower()
    return not name.startswith(".") and any(lower.endswith(ending) for ending in _OTHER_OF_ENDING)


def format_of_name(name: str) -> str | None:
    """The format that a file name's ending promises: ``JPEG``, ``PNG``, ``DICOM`` ...; ``None`` for other endings."""
    return _FORMAT_OF_ENDING.get(PurePosixPath(name).suffix.lower())


def format_of(head: bytes) -> str | None:
    """The format of a file, of those that are read, by its first :data:`HEAD_BYTES` bytes.

    DICOM without its preamble is recognised by a first element that is plausible, so that a few files of other kinds
    pass; reading them decides.
    """
    if head[128:132] == b"DICM":
        return "DICOM"
    known = next((name for signature, name in _READ if head.startswith(signature)), None)
    return known or ("DICOM" if _DICOM_START.match(head) and what_it_is(head) is None else None)


def what_it_is(head: bytes) -> str | None:
    """Why a file that is none of the formats read is no film, by its first :data:`HEAD_BYTES` bytes.

    Returns:
        ``"is WebP, expected JPEG, PNG ...: convert it ..."``; ``None`` for what is not recognised.
    """
    for pattern, name in _PICTURES:
        if re.match(pattern, head, re.DOTALL):
            return f"is {name}, expected {_EXPECTED}: convert it to PNG (magick FILE film.png)"
    for pattern, name in _ARRAYS:
        if re.match(pattern, head, re.DOTALL):
            return f"is {name}, expected {_EXPECTED}: write the array as a 16-bit PNG or TIFF"
    for pattern, name in _NO_PICTURES:
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            return f"is {name}, expected {_EXPECTED}"
    return None
