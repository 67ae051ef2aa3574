"""Policies, claims and driver periods to premium factors, with reasons and receipts."""
