"""Measures Gom beside hand-written SQL. The program is `benches/run`."""
