//! Who may begin and when, and the figures, on fleets of scripted links and in invented time.

mod bench;
mod figures;
mod pace;
mod random;
mod running;
