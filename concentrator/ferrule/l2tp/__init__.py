"""L2TPv2 control (RFC 2661): reliable channel, tunnels, sessions, both roles (LNS and LAC).

One `L2tpEndpoint` an IKE peer, so equal tunnel ids of two clients never meet. Knows neither UDP
addresses nor PPP: octets in, effects out.
"""
