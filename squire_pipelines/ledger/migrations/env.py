"""Alembic's entry: runs on the connection that `squire_pipelines.ledger.migrate` hands over."""

from alembic import context

from squire_pipelines.ledger.tables import full_metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=full_metadata(),
    transactional_ddl=False,
    render_as_batch=True,
)
context.run_migrations()
