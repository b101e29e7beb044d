"""The packet path: tables and counters. It never decides; `ferrule.gateway` does.

`interface.py` is what a plane is; `python.py` is the reference; `tun.py`, `routing.py` and `nft.py`
are the host's side.
"""
