"""Socket.IO and presence for the web client that exists."""
