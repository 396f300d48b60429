"""What the service says about itself: the log, the times of slow requests, and OpenTelemetry."""
