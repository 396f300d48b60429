"""Harnesses for a coverage-guided fuzzer (atheris, which uses libFuzzer).

A harness is a module here with a function `check(data)`, which raises any exception if the service
handles these bytes wrongly. `run.py` calls it with bytes from the fuzzer. Its folder in `corpus/`
has the initial inputs, and the inputs that once found a fault. `test_corpus.py` checks these in the
default suite, where atheris is not installed.

To add a harness, add its module, a folder in `corpus/` with a few inputs, and a line in `run.py`.
"""
