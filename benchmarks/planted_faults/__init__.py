"""A framework whose modes are an honest adapter's faults: copied into a project's frameworks/."""
