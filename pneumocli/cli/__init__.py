"""The command line: turns arguments into configs, events into progress, results into tables."""
