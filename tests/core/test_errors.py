"""Errors keep their hint on the way between processes."""

import pickle

from pneumocli.core.errors import RunError


def test_an_error_from_a_worker_process_keeps_its_hint():
    sent = pickle.loads(pickle.dumps(RunError("no run", "pneumo train")))
    assert (type(sent), sent.message, sent.hint) == (RunError, "no run", "pneumo train")
