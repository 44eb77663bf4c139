-- No flush asks any more which metrics came or went.
DROP INDEX billable_metric_arrival;
