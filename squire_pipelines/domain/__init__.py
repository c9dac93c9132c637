"""The words of Squire as types, and the pure rules about them. No I/O, no clock, no import of ours."""
