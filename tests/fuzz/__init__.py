"""Harnesses for a fuzzer that looks for new paths through the code (atheris, by libFuzzer).

A harness is a module here with a function `check(data)`. It raises an exception, whichever, if the
service does with these bytes what it must not. `run.py` feeds it with bytes that the fuzzer makes.
Its folder in `corpus/` holds the bytes to begin with, and those that once found a fault;
`test_corpus.py` checks these in the default suite, where atheris is not installed.

To add a harness: its module, a folder in `corpus/` with a seed or two, a line in `run.py`.
"""
