"""Progress of the library's functions: drawn in a notebook unless switched off, elsewhere where it is asked for."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pneumocli.core.errors import PneumoError
from pneumocli.core.events import Listener, ignore


def in_notebook() -> bool:
    """Whether the program is a cell of a notebook: Jupyter, Colab, Kaggle, VS Code."""
    ipython = sys.modules.get("IPython")  # a notebook has loaded it
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


@contextmanager
def shown(listener: Listener | None, *, progress: bool | None) -> Iterator[Listener]:
    """The listener of a call; an error's hint becomes a note below it, which a traceback prints.

    Args:
        listener: The caller's own, which replaces every other.
        progress: Whether to draw progress and print remarks; ``None`` for: in a notebook.
    """
    with hinted():
        if listener is not None:
            yield listener
        elif progress or (progress is None and in_notebook()):
            from pneumocli.cli.output import Output  # rich: silent calls do without

            with Output(json=False, quiet=False, debug=False) as output:
                yield output.listener
        else:
            yield ignore


@contextmanager
def hinted() -> Iterator[None]:
    """An error's hint becomes a note below it, which a traceback prints."""
    try:
        yield
    except PneumoError as error:
        if error.hint and not getattr(error, "__notes__", None):
            error.add_note(f"hint: {error.hint}")
        raise
