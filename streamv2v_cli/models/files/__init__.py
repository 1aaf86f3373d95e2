"""What model files hold: kinds, layouts, weights, and whether they are sound."""
