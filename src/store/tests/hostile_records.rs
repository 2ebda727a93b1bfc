//! Forged records are refused, whatever they contain.

use super::*;

/// Returns a record with one change, given as bytes.
fn record_of(change: &[u8]) -> Vec<u8> {
    let head = [1, 1, 0, 1, 1];
    [&head, change].concat()
}

/// Regression: each reply of a transaction nested in another took a stack frame.
#[test]
fn replies_do_not_nest() {
    let remembered = [6, 1, 0];
    for nested in [[1, 0, 0, 1], [4, 0, 0, 1], [1, 1, 1, 1]] {
        let change = [&remembered[..], &nested.repeat(1_000_000)].concat();
        assert!(roomy().replay(&record_of(&change)).is_err());
    }
}

#[test]
fn lengths_that_lie_are_refused() {
    let huge = [253, 255, 255, 255, 255, 255, 255, 255, 127];
    let starts: [&[u8]; 6] = [
        &[0],
        &[0, 1, b'k'],
        &[1],
        &[6, 1, 0, 1, 1, 0],
        &[6, 1, 0, 0, 2, 1],
        &[6, 1, 0, 1, 1, 0, 1, 2, 1],
    ];
    for start in starts {
        let change = [start, &huge, b"rest"].concat();
        assert!(roomy().replay(&record_of(&change)).is_err(), "{start:?}");
    }
}
