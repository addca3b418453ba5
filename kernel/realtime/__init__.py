"""WebSockets: the hub, publications, connection writers, quotas."""
