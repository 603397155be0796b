"""The training algorithm: schedule, losses, loop."""
