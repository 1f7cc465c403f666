"""What can be downloaded, from where, under which licence, and what to cite.

The addresses stand here and nowhere else, so that a test can point a source at a server of its own.
"""

from dataclasses import dataclass
from typing import Literal

SourceName = Literal["kaggle", "mendeley", "phantom"]

LICENCE = "CC BY 4.0"

CITATION = (
    "Kermany, Goldbaum, Cai et al. (2018): Identifying Medical Diagnoses and Treatable Diseases by Image-Based Deep "
    "Learning. Cell 172(5):1122-1131. doi:10.1016/j.cell.2018.02.010; data: doi:10.17632/rscbjbr9sj"
)


@dataclass(frozen=True, slots=True)
class RemoteArchive:
    """A zip on the network.

    Attributes:
        title: For people.
        file_name: What the zip is called on disk.
        page: Where a person can look at the source and fetch the zip by hand.
        urls: Where the zip is fetched from, the next one where one no longer has it; empty where a client library
            knows.
        dataset: Kaggle's name of the data set, ``owner/name``; empty elsewhere.
        num_bytes: Size of the zip; ``None`` where the source may change it.
        sha256: Of the zip; ``None`` where the source may change it.
        unpacked_share: Bytes of the films / bytes of the zip, rounded up; for the check of the free space.
    """

    title: str
    file_name: str
    page: str
    urls: tuple[str, ...] = ()
    dataset: str = ""
    num_bytes: int | None = None
    sha256: str | None = None
    unpacked_share: float = 1.1


KAGGLE = RemoteArchive(
    title="Kaggle",
    file_name="chest-xray-pneumonia.zip",
    page="https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia",
    dataset="paultimothymooney/chest-xray-pneumonia",
    unpacked_share=0.6,  # the zip holds the set twice, and JPEG does not shrink
)

MENDELEY = RemoteArchive(
    title="Mendeley Data",
    file_name="ChestXRay2017.zip",
    page="https://data.mendeley.com/datasets/rscbjbr9sj/2",
    urls=(
        "https://data.mendeley.com/public-files/datasets/rscbjbr9sj/files/"
        "f12eaf6d-6023-432f-acc9-80c9d7393433/file_downloaded",
        "https://data.mendeley.com/datasets/rscbjbr9sj/2/files/41d542e7-7f91-47f6-9ff2-dd8e5a5a7861/ChestXRay2017.zip",
    ),
    num_bytes=1_235_512_464,
    sha256="13efc055629733dbab07877f8b3c9f81097840dbcdaa326a8542322c2281ce36",
)

KAGGLE_TOKEN_PAGE = "https://www.kaggle.com/settings/api"  # noqa: S105 - the page where a user makes a token
