"""Everything that Squire's programs write for people and for other programs passes here and is cleaned on its way.

No other module prints, echoes, makes a console or writes CSV. Logs are no output: `observability` cleans them itself.
"""
