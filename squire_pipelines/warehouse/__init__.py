"""The DuckDB file that people query: schema, metrics and publication by rename."""
