"""The LitePose family: description, search space, layers and wiring."""
