"""Verify a token: its form and claims (`verifier.py`), and the keys of its issuer."""
