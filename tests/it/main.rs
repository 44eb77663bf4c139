//! The real router on a fresh real PostgreSQL for every test.
//!
//! `make test` starts the PostgreSQL; to run these alone: `tests/with-postgres.sh cargo nextest run --test it`.

mod support;

mod quickstart;
