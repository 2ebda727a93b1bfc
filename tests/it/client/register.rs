//! [`Register`]: the sequential behaviour of a key, the specification for concurrent histories.

use stateright::semantics::SequentialSpec;

/// A key, represented by its value.
#[derive(Debug, Clone, Default)]
pub(super) struct Register(pub(super) Option<u64>);

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Op {
    Set(u64),
    Get,
    /// Sets the second value if the first is the current one.
    Swap(Option<u64>, u64),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ret {
    Set,
    Got(Option<u64>),
    Swapped(bool),
}

impl SequentialSpec for Register {
    type Op = Op;
    type Ret = Ret;

    fn invoke(&mut self, op: &Op) -> Ret {
        match *op {
            Op::Set(value) => {
                self.0 = Some(value);
                Ret::Set
            }
            Op::Get => Ret::Got(self.0),
            Op::Swap(expected, value) => {
                let holds = self.0 == expected;
                if holds {
                    self.0 = Some(value);
                }
                Ret::Swapped(holds)
            }
        }
    }
}
