"""What keeps a home from growing for ever, apart from the ledger's own retention."""
