//! [`Mix`]: the operations of a load, and their proportions.

use std::fmt;
use std::str::FromStr;

/// A kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// Sets a key.
    Set,
    /// Reads a key.
    Get,
}

/// The operations of a load, by weight; written `set:50,get:50`, or `set` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mix {
    weights: Vec<(Operation, u32)>,
    total: u32,
}

impl Mix {
    /// Returns the operation for `draw`, any number.
    pub(super) fn pick(&self, draw: u32) -> Operation {
        let mut left = draw % self.total;
        for (operation, weight) in &self.weights {
            if left < *weight {
                return *operation;
            }
            left -= weight;
        }
        Operation::Get
    }

    /// Returns the operation if there is only one, so that no draw is needed.
    pub(super) fn only(&self) -> Option<Operation> {
        match self.weights.as_slice() {
            [(operation, _)] => Some(*operation),
            _ => None,
        }
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut weights = Vec::new();
        for part in text.split(',') {
            let (name, weight) = part.split_once(':').unwrap_or((part, "1"));
            let operation = match name.trim() {
                "set" => Operation::Set,
                "get" => Operation::Get,
                other => return Err(format!("no operation {other:?}; there are set and get")),
            };
            let weight: u32 = weight
                .trim()
                .parse()
                .ok()
                .filter(|weight| (1..=1_000_000).contains(weight))
                .ok_or_else(|| format!("weight {weight:?} is not of 1 ..= 1000000"))?;
            if weights.iter().any(|(known, _)| *known == operation) {
                return Err(format!("{name} is there twice"));
            }
            weights.push((operation, weight));
        }
        let total = weights.iter().map(|(_, weight)| weight).sum();
        Ok(Self { weights, total })
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (operation, weight)) in self.weights.iter().enumerate() {
            let name = match operation {
                Operation::Set => "set",
                Operation::Get => "get",
            };
            let comma = if place == 0 { "" } else { "," };
            match self.weights.len() {
                1 => write!(f, "{name}")?,
                _ => write!(f, "{comma}{name}:{weight}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_refuses_the_rest() {
        for text in ["set", "get", "set:50,get:50", "get:1,set:3"] {
            assert_eq!(text.parse::<Mix>().unwrap().to_string(), text);
        }
        for text in ["", "put", "set:0", "set:x", "set,set", "set:2000000"] {
            text.parse::<Mix>().unwrap_err();
        }
    }

    #[test]
    fn picks_by_weight() {
        let mix: Mix = "set:1,get:3".parse().unwrap();
        let sets = (0..400).filter(|draw| mix.pick(*draw) == Operation::Set).count();
        assert_eq!(sets, 100);
        assert_eq!(mix.only(), None);
        assert_eq!("get".parse::<Mix>().unwrap().only(), Some(Operation::Get));
    }
}
