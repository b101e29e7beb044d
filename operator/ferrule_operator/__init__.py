"""The Kubernetes operator of Ferrule: VpnGateway and VpnUser in, running concentrators out."""
