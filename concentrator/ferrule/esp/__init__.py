"""ESP (RFC 4303) as pure functions: seal and open one packet, one replay window."""
