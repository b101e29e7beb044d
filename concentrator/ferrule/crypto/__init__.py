"""Primitives, and the only importer of `cryptography`. Pure but for key generation.

Diffie-Hellman private values come from the library's own generator (see docs/decisions/0002).
"""
