"""Mutations: small changes to the source that the tests must notice.

Coverage shows that a line ran, but not that a test would fail if the line were wrong. The modules
here list the mutations that would do the most harm, each with its tests, one of which must fail.
`scripts/test-mutations` runs `run.py`, which makes each mutation in a copy of the project and runs
its tests there. `scripts/test-mutations toggle` runs only mutations whose names contain `toggle`.
`test_table.py`, in the default suite, checks that every mutation can still be made. If it fails
because the code was edited, correct `old` and `new` of that mutation.

A mutation that survives means that a test is missing. Add the test; don't remove the mutation.
"""
