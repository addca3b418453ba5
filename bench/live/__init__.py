"""`make bench-live`: what it costs to tell a crowd of open sockets of each change, next to servers that do nothing else."""
