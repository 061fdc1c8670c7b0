"""Hints: which known mistake fits the answers of a cell that is not equivalent."""

from harness.diagnosis.hints import hint

__all__ = ["hint"]
