"""Ferrule: a user-space L2TP/IPsec concentrator. Start reading at ARCHITECTURE.md."""

__version__ = "0.1.0"
