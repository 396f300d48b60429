"""How workers share connections."""

import os

from serving.balance import Balance


def test_workers_see_what_the_others_report() -> None:
    first, second = Balance(2).shares
    assert first.report(400) == 0  # there is no other
    if (pid := os.fork()) == 0:
        second.report(0)
        os._exit(0)
    os.waitpid(pid, 0)
    assert first.report(400) == 200


def test_a_worker_that_ended_has_no_share() -> None:
    first, second = Balance(2).shares
    second.report(0)
    second.leave()
    assert first.report(400) == 0


def test_small_differences_are_left_alone() -> None:
    first, second = Balance(2).shares
    second.report(180)
    assert first.report(220) == 0
    assert first.report(240) == 30
    second.report(0)
    assert first.report(8) == 0
