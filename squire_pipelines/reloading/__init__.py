"""Settings that change under running processes: noticed, checked, taken or refused, and who has taken which."""
