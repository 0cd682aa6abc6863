"""What regenerates the paper with the library: records, figures, measurements and notebooks.

No library room imports it.
"""
