"""Predicting a candidate's score from its genes."""
