"""The one door of an agent's container: model calls with the key put in here and tokens counted."""
