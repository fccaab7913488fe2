//! Who may ask, once: the five refusals of contract.md and the single use of a signed request.

mod refusals;
mod replays;
mod restarts;
