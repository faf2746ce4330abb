"""Catalogs and logs, streamed into items and interactions."""
