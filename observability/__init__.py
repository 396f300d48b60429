"""The service's reports about itself: the log, the times of slow requests, and OpenTelemetry."""
