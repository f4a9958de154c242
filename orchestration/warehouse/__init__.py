"""The warehouse: connection settings, the client, and the embedded server."""
