"""The surrogate of a reward: features of images, a model of the reward over them, and the climb through a pipeline."""
