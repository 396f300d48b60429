"""The fast path from a request to an endpoint, admission, and the OpenAPI document."""
