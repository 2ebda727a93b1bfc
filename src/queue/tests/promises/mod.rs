//! The promises of `docs/guarantees.md` about jobs, one readable test each.

mod clock;
mod ends;
mod failures;
mod order;
mod pushes;
mod resume;
mod runs;
mod unique;
