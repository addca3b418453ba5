"""What is on sale, where and when; seat layouts; search."""
