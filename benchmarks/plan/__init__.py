"""Estimates of the time and disk usage of trainings, before any is started."""
