"""A data set's name or a user's own data -> batches of tensors."""
