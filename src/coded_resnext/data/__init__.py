"""Images (section 4.1): data sets by name, and the batches that training and evaluation see."""
