"""PPP (RFC 1661 and its options): one `Link` a session, both roles.

Knows neither L2TP nor accounts: frames and answers in, effects out.
"""
