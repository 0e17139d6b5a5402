"""The real decisions and jobs on gateways in memory, under one scheduler that a seed drives.

`world.py` is what surrounds the bot, `workers.py` runs its looks one call at a time, `people.py` and `faults.py` are
what can happen, `oracle.py` knows independently of the bot what may be live, `invariants.py` compares, `schedule.py`
draws a schedule from a seed, runs it and shortens one that fails.
"""
