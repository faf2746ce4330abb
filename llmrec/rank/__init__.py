"""Channels and the scorer that combines them."""
