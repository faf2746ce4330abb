"""Tests of where weights and data sets come from."""
