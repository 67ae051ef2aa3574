"""MQTT to checked messages, durable Parquet segments, application acks and sealed tables: the lake."""
