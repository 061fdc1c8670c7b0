"""The harness: runs, judges, reports. Packages import one way; see tests/test_architecture.py."""
