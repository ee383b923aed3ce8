"""The program behind ``make demo``: one memory, two frameworks, no network."""
