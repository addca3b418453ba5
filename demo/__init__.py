"""A catalogue to try the service with: invented shows at real venues, some of them always on sale."""
