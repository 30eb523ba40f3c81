"""The networks the trainer knows by name, each an ordinary nn.Module one can read in a minute."""
