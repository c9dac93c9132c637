"""Alerts of one home: from conditions and the ledger's facts to messages, and their way to people."""
