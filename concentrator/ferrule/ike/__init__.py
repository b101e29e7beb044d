"""IKEv1 (RFC 2407, 2408, 2409, 3706, 3947): both roles, Main Mode with a pre-shared key.

Stranger to ESP, L2TP and PPP: it says which SAs exist, `ferrule.gateway` acts on it.
"""
