"""TensorBoard as another listener."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pneumocli.core.errors import PneumoError
from pneumocli.core.events import EpochFinished, Event, Listener


@contextmanager
def tensorboard_listener(folder: Path, first_epoch: int, also: Listener) -> Iterator[Listener]:
    """A listener that writes TensorBoard event files and passes every event on.

    Args:
        folder: For the event files.
        first_epoch: Epochs already done; what TensorBoard holds after them is dropped.
        also: Gets every event, too.

    Raises:
        PneumoError: The tensorboard package is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise PneumoError(
            "--tensorboard needs the tensorboard package", "pip install 'pneumocli[tensorboard]'"
        ) from error

    with SummaryWriter(str(folder), purge_step=first_epoch + 1) as writer:

        def listen(event: Event) -> None:
            if isinstance(event, EpochFinished):
                for name, value in event.record.model_dump(exclude={"epoch"}).items():
                    if value is not None:
                        writer.add_scalar(name, value, event.record.epoch)
                writer.flush()
            also(event)

        yield listen
