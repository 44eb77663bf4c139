//! Seeded workloads against a second model, which is slower and simpler: it prices event by event and knows nothing of
//! segments, stretches or merged prices. And customers' lives, beside a model that recomputes every ledger ([`life`]).
//!
//! `SIM_CASES=100000` takes more cases than the usual ones, `SIM_SEED=7` one alone, which is printed where one fails.

mod balances;
mod drawdown;
mod life;
mod naive;
mod naive_drawdown;
mod pricing;
mod random;
mod workload;
