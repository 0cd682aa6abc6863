"""Notebooks run strictly, a preset in order, and their outputs published."""
