"""OpenAPI: components that all apps share, and how operations are described."""
