"""The ledger's schema, step by step. A published migration is never edited."""
