"""Where Dagster keeps runs, events and ticks: on Postgres in a schema of its own, else in files of the home."""

from pathlib import Path

SCHEMA = "dagster"

VARIABLE = "SQUIRE_DAGSTER_URL"
"""The variable from which Dagster's processes take the URL, which may have a password: no file has it."""

_OF_OUR_DRIVER_ALONE = ("prepare_threshold",)


def storage_url_of(url: str) -> str | None:
    """Return the URL by which Dagster reaches its schema in the database at `url`; None where that is no Postgres.

    Dagster's library takes psycopg2 alone, and finds its tables by the connection's `search_path`.
    """
    if not url.startswith("postgresql"):
        return None
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - only where a server is named

    parsed = make_url(url).set(drivername="postgresql+psycopg2").difference_update_query(_OF_OUR_DRIVER_ALONE)
    options = parsed.query.get("options", "")
    text = options if isinstance(options, str) else " ".join(options)
    if "search_path" not in text:
        parsed = parsed.update_query_dict({"options": f"{text} -c search_path={SCHEMA}".strip()})
    return parsed.render_as_string(hide_password=False)


def names_postgres(instance_file: Path) -> bool:
    """Return whether a `dagster.yaml` has its storage on Postgres; a person's own may have it elsewhere."""
    try:
        text = instance_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    if "postgres" not in text:
        return False
    import yaml  # type: ignore[import-untyped] # noqa: PLC0415 - seldom needed; no stubs are installed

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return False  # Dagster says what is wrong with it
    storage = content.get("storage") if isinstance(content, dict) else None
    return isinstance(storage, dict) and "postgres" in storage
