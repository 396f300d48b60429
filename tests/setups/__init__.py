"""Wrong set-ups, and what the service logs and responds in each. `scripts/setups` runs them."""
