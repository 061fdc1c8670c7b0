"""A framework for tests of the laboratory itself: copied into a project's frameworks/."""
