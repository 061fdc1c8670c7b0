"""Executes a run: schedule, worker sessions, interleaved rounds, stopping rule."""
