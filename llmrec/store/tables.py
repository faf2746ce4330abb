"""The tables of the event store."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()


def _event_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("user_id", sa.String, primary_key=True),
        sa.Column("item_id", sa.String, primary_key=True),
        sa.Column("timestamp", sa.Double, primary_key=True),
        sa.Column("weight", sa.Double, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    ]


events = sa.Table("events", metadata, *_event_columns())
sa.Index("events_by_item", events.c.item_id, events.c.user_id)
staged = sa.Table("staged_events", metadata, *_event_columns())
users = sa.Table(
    "users",
    metadata,
    sa.Column("user_id", sa.String, primary_key=True),
    sa.Column("profile", sa.Text, nullable=False),
)
snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
)
explanations = sa.Table(
    "explanations",
    metadata,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
