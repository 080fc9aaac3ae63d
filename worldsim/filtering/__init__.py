"""The Bayes filter on rows: predict, correct and weigh, for tracked objects and for hypotheses alike."""
