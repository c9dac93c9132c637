import pytest

from squire_pipelines.domain.signals import ManualTask
from squire_pipelines.ledger import collections, deliveries
from tests.support.cli import REPOSITORY, SampleData, Squire


def test_a_request_is_recorded_as_a_signal_and_a_collection_is_asked_for(squire: Squire, samples: SampleData) -> None:
    squire.config(f'repositories = ["{REPOSITORY}"]\n')
    request = squire.json(
        "tasks", "new", "https://github.com/Acme/Shop", "--title", "Tidy", "--prompt", "Tidy \x1b[1mup"
    )
    (signal,) = samples.read(collections.active_signals, REPOSITORY)
    assert (signal.ref, signal.title) == (request["signal"], "Tidy")
    assert isinstance(signal.details, ManualTask)
    assert signal.details.body == "Tidy up"
    with samples.ledger.write() as tx:
        (delivery,) = deliveries.take_for_collection(tx, retry_after_s=60)
    assert (delivery.source, delivery.repository, delivery.trace_id) == ("cli", REPOSITORY, request["trace_id"])


def test_the_title_is_the_prompts_first_line(squire: Squire, samples: SampleData) -> None:
    samples.reading()
    squire.ok("tasks", "new", "ACME/shop", "--prompt", "-", stdin="\n  " + "long " * 40 + "\nmore\n")
    request = samples.read(collections.active_signals, REPOSITORY)[-1]
    assert request.title.endswith("…")
    assert len(request.title) == 80


def test_two_requests_of_the_same_words_are_two(squire: Squire, samples: SampleData) -> None:
    squire.config(f'repositories = ["{REPOSITORY}"]\n')
    for _ in range(2):
        squire.ok("tasks", "new", REPOSITORY, "--prompt", "Again")
    assert len(samples.read(collections.active_signals, REPOSITORY)) == 2


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("acme/none", "--prompt", "x"), 3, "not one of Squire's repositories"),
        (("nonsense", "--prompt", "x"), 2, "is not a repository name"),
        ((REPOSITORY, "--prompt", " \n"), 2, "the prompt is empty"),
        ((REPOSITORY, "--prompt", "x" * 50_001), 2, "more than 50000 characters"),
        ((REPOSITORY, "--prompt", "x", "--title", " "), 2, "the title is empty"),
        ((REPOSITORY, "--prompt", "x", "--title", "t" * 201), 2, "more than 200 characters"),
        ((REPOSITORY,), 2, "--prompt"),
    ],
)
def test_a_request_that_is_refused_leaves_the_ledger_as_it_was(
    squire: Squire, samples: SampleData, words: tuple[str, ...], code: int, reason: str
) -> None:
    squire.config(f'repositories = ["{REPOSITORY}"]\n')
    assert reason in squire.fails(code, "tasks", "new", *words)
    assert samples.read(collections.active_signals, REPOSITORY) == ()
    assert squire.json("webhooks", "list") == []
