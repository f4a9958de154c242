"""The embedded server: ClickHouse's HTTP interface in front of the engine that runs in this process."""
