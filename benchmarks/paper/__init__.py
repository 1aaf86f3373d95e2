"""The tables of the StreamV2V paper, measured on DAVIS and printed beside what was published."""
