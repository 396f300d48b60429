"""How workers share connections."""

import os

from serving.balance import Balance


def test_workers_see_each_others_reports() -> None:
    first, second = Balance(2).shares
    assert first.report(400) == 0  # no other worker has reported yet
    if (pid := os.fork()) == 0:
        second.report(0)
        os._exit(0)
    os.waitpid(pid, 0)
    assert first.report(400) == 200


def test_a_worker_that_has_ended_has_no_share() -> None:
    first, second = Balance(2).shares
    second.report(0)
    second.leave()
    assert first.report(400) == 0


def test_small_differences_are_ignored() -> None:
    first, second = Balance(2).shares
    second.report(180)
    assert first.report(220) == 0
    assert first.report(240) == 30
    second.report(0)
    assert first.report(8) == 0
