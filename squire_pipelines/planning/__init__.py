"""From signals to a validated plan: prompt, schema and planners. Nothing is stored here."""
