"""Training (section 4.1): one resumable run, its parameters, its checkpoint and, afterwards, its data."""
