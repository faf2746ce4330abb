"""Where weights and data sets come from."""
