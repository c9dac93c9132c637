"""How often sensors are evaluated, as the daemon does it.

Dagster's daemon looks at its sensors every 5 seconds, and passes over one whose last tick began less than its interval
ago. A tick begins a moment after the look, so that an interval of 5 would mean every second look, and 10 every third.
`dispatch` also waits within its tick, since people wait for what it starts.
"""

WORK_INTERVAL_S = 4
"""Each look, 5 seconds apart: for what tasks wait for. It is less where somebody watches, see `dagster_program`."""

NEWS_INTERVAL_S = 9
"""Each second look, 10 seconds apart, or less likewise: for the warehouse."""

SENSOR_INTERVAL_S = 4
"""Each look, 5 seconds apart: for what people wait for."""

SLOW_SENSOR_INTERVAL_S = 9
"""Each second look, 10 seconds apart."""

TICK_S = 45.0
"""How long a tick may take. Dagster gives it 60 seconds, and records nothing of one that takes longer."""

PAUSE_S = 0.25
"""Between two looks of a tick that waits for something."""

ENGINE_S = 12.0
"""How much of a tick may pass with waiting for the container engine, however much is asked of it."""
