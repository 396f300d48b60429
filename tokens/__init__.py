"""What makes a token good: its form and claims (`verifier.py`), and the keys of its issuer."""
