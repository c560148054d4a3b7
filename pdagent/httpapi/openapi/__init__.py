"""`GET /openapi.json`."""
