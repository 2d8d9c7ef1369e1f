"""Looking a data set over before trusting it."""
