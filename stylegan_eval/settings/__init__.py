"""Settings of all measurements: the only home of names, defaults and help texts.

Imports nothing heavy: command lines build their options from these classes.
"""
