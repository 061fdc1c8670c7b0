"""The commands of `cli.py`: options, errors in one line, progress."""
