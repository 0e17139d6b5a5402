"""Whatever comes from outside ends in a value or in an error of the product's own, soon, and leaves nothing behind.

`make test` runs the same few thousand inputs each time; `make fuzz` twenty times as many, new ones at each run.
"""
