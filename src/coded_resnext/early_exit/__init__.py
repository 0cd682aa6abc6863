"""Stopping at the first block that knows the class (section 4.4), calibrated on held-out images."""
