//! Admission, rate limit and metrics, on fleets with scripted links and simulated time.

pub(in crate::fleet) mod bench;
mod figures;
mod pace;
mod random;
mod running;
mod starts;
