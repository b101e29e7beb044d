"""One builder for each child of a VpnGateway: the resource in, the object out. Pure."""
