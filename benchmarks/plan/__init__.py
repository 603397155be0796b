"""What trainings will take: a model of their time, and what they write, before any is started."""
