//! The real router on a fresh real PostgreSQL for every test.
//!
//! `make test` starts the PostgreSQL; to run these alone: `tests/with-postgres.sh cargo nextest run --test it`.

mod gzip;
mod support;
mod world;

mod audit;
mod auth;
mod billable_status;
mod bodies;
mod composite_products;
mod concurrency;
mod contract_ends;
mod contract_rate_schedule;
mod contracts;
mod credit_types;
mod custom_fields;
mod customer_with_contract;
mod customers;
mod drafts;
mod errors;
mod event_slots;
mod events_search;
mod examples;
mod frame;
mod idempotency;
mod ingest;
mod invoice_failures;
mod metrics;
mod named_schedules;
mod not_supported;
mod numbers;
mod openapi;
mod overrides;
mod packages;
mod paging;
mod previews;
mod probes;
mod products;
mod quickstart;
mod rate_cards;
mod rate_schedules;
mod rate_types;
mod reflow;
mod sandbox;
mod scheduled_charges;
mod seats;
mod sql_metrics;
mod tenancy;
mod uncounted_usage;
mod unrated;
mod usage;
mod usage_filters;
mod usage_groups;
