"""Answers of models that became no plan."""

from squire_pipelines.domain.plan_making import RefusedAnswer
from squire_pipelines.ledger import plan_answers, plans
from squire_pipelines.ledger.store import Ledger
from tests.support.ledgers import TRACE, Clock, forget, plan


def answer(number: int = 1, text: str = "no plan") -> RefusedAnswer:
    return RefusedAnswer(provider="p", model="m", number=number, reason="it is no JSON", text=text, chars=len(text))


def save(ledger: Ledger, *answers: RefusedAnswer) -> str:
    with ledger.write() as tx:
        made = plan().model_copy(update={"refused": answers})
        return plans.save(tx, made, (), trace_id=TRACE, run_id=None).id


def kept(ledger: Ledger, plan_id: str) -> tuple[RefusedAnswer, ...]:
    with ledger.read() as tx:
        return plan_answers.of_plan(tx, plan_id)


def test_answers_are_kept_with_their_plan_in_their_order(ledger: Ledger) -> None:
    answers = answer(1), answer(2, "\x00 and 'quotes'")
    plan_id = save(ledger, *answers)
    assert [one.number for one in kept(ledger, plan_id)] == [1, 2]
    assert kept(ledger, plan_id)[0] == answers[0]
    assert kept(ledger, save(ledger)) == ()


def test_they_are_forgotten_when_they_are_old(ledger: Ledger, clock: Clock) -> None:
    old = save(ledger, answer())
    clock.forward(3600)
    new = save(ledger, answer())
    assert forget(ledger, 1800)["plan_answers"] == 1
    assert (len(kept(ledger, old)), len(kept(ledger, new))) == (0, 1)


def test_there_are_never_more_than_the_newest(ledger: Ledger) -> None:
    first = save(ledger, answer())
    for _ in range(plan_answers.MAX_KEPT // 100):
        last = save(ledger, *(answer(number) for number in range(1, 101)))
    assert kept(ledger, first) == ()
    assert len(kept(ledger, last)) == 100
