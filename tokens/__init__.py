"""Verify tokens: their form and claims (`verifier.py`), with the keys of their issuer."""
