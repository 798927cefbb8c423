"""Alembic's entry: migrations run on the connection, and in the transaction, of `database.prepare`."""

from alembic import context

from feedsync.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
