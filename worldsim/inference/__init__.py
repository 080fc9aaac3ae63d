"""The stages of a step: predict, associate, surprise, correct, lifecycle; and forecasts from the belief."""
