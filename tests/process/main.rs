//! The binary as a process: how it starts, stops, is killed, is asked from the shell, and shares a database.
//!
//! Every test has directories and databases of its own and leaves no process behind. `make test` starts the
//! PostgreSQL of those that need one; to run these alone: `tests/with-postgres.sh cargo nextest run --test
//! process`.

mod support;

mod commands;
mod crash;
mod listen;
mod private_postgres;
mod probes;
mod repeats;
mod replicas;
mod stop;
mod tokens;
mod verify;
