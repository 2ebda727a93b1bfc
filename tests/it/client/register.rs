//! [`Register`]: what a key does, one step after the other; what concurrent histories are held
//! against.

use stateright::semantics::SequentialSpec;

/// A key, by its value.
#[derive(Debug, Clone, Default)]
pub(super) struct Register(pub(super) Option<u64>);

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Op {
    Set(u64),
    Get,
    /// Set to the second if it is the first.
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
