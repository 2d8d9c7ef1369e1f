"""The shared record of a search: storage, trials, workers."""
