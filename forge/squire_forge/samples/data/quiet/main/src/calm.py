"""Breathing, by the numbers."""


def breath(inhale=4, hold=7, exhale=8):
    """Return the seconds of one breath."""
    return inhale + hold + exhale
