"""Mutations: small changes of the source that the tests must notice.

Coverage shows that a line ran, but not that a test would fail without it. `table.py` lists the
faults that would do the most harm, with the tests that must fail on each. `scripts/test-mutations`
runs `run.py`, which makes each change in a copy of the project and runs these tests there. With an
argument, as in `scripts/test-mutations toggle`, it runs only mutations whose name contains it.
`test_table.py` checks in the default suite that every change can still be made. If it fails because
the code was edited, correct `old` and `new` in the table.

A mutation that survives means that a test is missing. Add the test; don't remove the mutation.
"""
