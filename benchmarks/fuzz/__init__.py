"""Damaged files of every kind that is read: each is read or refused by a `UserError`, in bounds."""
