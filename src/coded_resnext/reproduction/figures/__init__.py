"""Every figure and table, from records alone. No torch."""
