"""The command line: turns arguments into configs, events into progress, results into tables."""

import atexit
import gc
import sys

# Imports make some 200,000 objects that stay; the collector would look through them dozens of times, and once more at
# the end. Looking rarely, and not at the end, takes a sixth off a short command.
gc.set_threshold(50_000, 20, 100)


@atexit.register
def _skip_the_last_collection() -> None:
    if "torch" not in sys.modules:  # its bindings count what was not collected, and print it
        gc.freeze()
