"""Receiving deliveries: signature, limits, inbox. Acknowledged is durable."""
