"""Faults that the tests must notice, each a small change of the source.

Coverage says that a line ran, and nothing about what would happen without it. `table.py` names the
faults that would hurt most, and the tests that must fail on each. `run.py` makes each change in a
copy of the project and runs these tests there: `scripts/test-mutations`, or with a part of a name
`scripts/test-mutations toggle`. `test_table.py` checks in the default suite that every change can
still be made. When it can't, because the code was edited, correct `old` and `new` in the table.

A change that survives means that a test is missing. Add the test; don't remove the change.
"""
