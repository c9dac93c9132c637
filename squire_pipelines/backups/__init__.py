"""Backups of a whole home: ledger, settings, sealed secrets and archive together in one file, and their way back."""
