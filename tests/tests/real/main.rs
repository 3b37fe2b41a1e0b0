//! The real programs, some minutes (`--features real`).
mod apply;
mod canary;
mod captured;
mod common;
mod counter;
mod independent;
mod inhibitors;
mod kills;
mod operators;
mod payments;
mod queue;
mod reserve;
mod selftest;
mod settlement;
mod supervised;
mod tls;
