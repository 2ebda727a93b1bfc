//! The actors on a journal whose disk does as it is told.

mod asked;
