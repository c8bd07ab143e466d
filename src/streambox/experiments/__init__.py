"""Several runs at once: repeats, sweeps, comparisons, and what they show beyond chance."""
