"""HTTP: limits, requests and answers."""
