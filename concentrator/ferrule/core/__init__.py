"""Vocabulary that every layer shares: codec, ids, reasons, deadlines, transition tables.

Pure: nothing in here reads a clock, a socket, a file or randomness.
"""
