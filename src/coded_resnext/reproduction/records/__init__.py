"""What is run and what came out: presets, records, kinds of runs, intervals, the paper's numbers. No torch."""
