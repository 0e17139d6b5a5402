"""The real decisions and jobs on gateways in memory, under one scheduler that a seed drives.

`world.py` is what surrounds the bot and runs its looks one call at a time, `people.py` and `machinery.py` are what can
happen, `oracle.py` knows independently of the bot what may be live, `invariants.py` compares after each effect and
`promises.py` at the end, of chaos too; `schedule.py` draws a schedule from a seed, runs it and shortens one that fails.
"""
