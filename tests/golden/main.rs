//! Numbers that must come out: every worked example of the reference whose features exist, under its own label,
//! and the cases that a careful finance person would try. All of them through the HTTP API, on a sandbox clock.

#[path = "../it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the other binary, which needs more of it")]
mod support;

mod balances;
mod commit_payments;
mod composites;
mod contracts;
mod credits;
mod credits_order;
mod credits_over_time;
mod credits_rollover;
mod custom_units;
mod desk;
mod explanations;
mod invoicing;
mod invoicing_balances;
mod metering;
mod overrides;
mod pricing;
mod pricing_balances;
mod quantity;
mod sql_metrics;
