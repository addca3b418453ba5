"""`make bench-live`: what it costs to deliver each change to many open sockets, next to servers that do nothing else."""
