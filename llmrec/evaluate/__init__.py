"""How good a ranking is: splits by time, metrics with intervals, baselines beside, and a report."""
