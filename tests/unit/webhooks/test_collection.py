"""How often the receiver's process looks for unreachable cycles."""

import gc

from squire_pipelines.webhooks.serve import collect_less_often


def test_what_is_there_at_the_start_is_not_looked_at_again() -> None:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)  # Python's own: another test may have served a receiver in this process
    try:
        collect_less_often()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold()[0] > 700
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
