"""The command line: turns arguments into configs, events into progress, results into tables."""

import gc

# Imports make some 200,000 objects that stay; the collector would look through them dozens of times. Looking rarely
# takes a tenth off the start of every command.
gc.set_threshold(50_000, 20, 100)
