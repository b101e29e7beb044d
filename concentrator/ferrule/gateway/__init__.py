"""Joins the layers: one remote host is one client. The only place that sees IKE, L2TP and PPP."""
