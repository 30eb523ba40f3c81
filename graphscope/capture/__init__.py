"""A user's own forward, backward and optimizer step -> records, without changing any of them."""
