"""What a download did, as a result that shows itself."""

from typing import TYPE_CHECKING

from pneumocli.core.amounts import size
from pneumocli.library.results import Verification
from pneumocli.release.download import DownloadResult

if TYPE_CHECKING:
    import pandas as pd


class Downloaded(DownloadResult):
    """What a download did."""

    def __repr__(self) -> str:
        how = "was there" if self.already_complete else f"{size(self.num_bytes_fetched)} fetched"
        return f"<Downloaded into {self.folder}: {how}, {self._check!r}>"

    __str__ = __repr__

    @property
    def _check(self) -> Verification:
        return Verification.model_construct(**dict(self.check))

    def to_frame(self) -> "pd.DataFrame":
        """As that of the check: one split and class per row."""
        return self._check.to_frame()

    def _repr_html_(self) -> str:
        return self._check._repr_html_()
