"""The item table and the event store."""
