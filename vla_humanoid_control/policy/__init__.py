"""The policy protocol, chunk playback, and backends."""
