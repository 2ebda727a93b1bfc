//! [`FairPlaces`]: a bounded number of places, of which a client holds no more than it leaves for
//! others.

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::fair::{Excess, FairShares, Sharer};

/// An address shares the places of a port.
impl Sharer for IpAddr {}

/// Counts the places that each client holds.
#[derive(Debug)]
pub(crate) struct FairPlaces<Who> {
    shares: Arc<Mutex<FairShares<Who>>>,
    max: usize,
}

/// A place; freed when dropped.
#[derive(Debug)]
pub(crate) struct FairPlace<Who: Sharer> {
    shares: Arc<Mutex<FairShares<Who>>>,
    who: Who,
}

impl<Who: Sharer> FairPlaces<Who> {
    pub(crate) fn new(max: usize) -> Self {
        Self { shares: Arc::default(), max }
    }

    /// Takes a place for `who`.
    pub(crate) fn enter(&self, who: Who) -> Result<FairPlace<Who>, Excess> {
        let mut shares = self.shares.lock();
        shares.check(who, 1, self.max as u64)?;
        shares.take(who, 1);
        Ok(FairPlace { shares: Arc::clone(&self.shares), who })
    }
}

impl<Who: Sharer> Drop for FairPlace<Who> {
    fn drop(&mut self) {
        self.shares.lock().give_back(self.who, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fair::ClientId;

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let places = FairPlaces::new(3);
        let client = ClientId::Connection;
        let first = places.enter(client(1)).unwrap();
        let second = places.enter(client(1)).unwrap();
        assert_eq!(places.enter(client(1)).unwrap_err(), Excess::Share);
        let third = places.enter(client(2)).unwrap();
        assert_eq!(places.enter(client(2)).unwrap_err(), Excess::Full);
        drop((second, third));
        drop(places.enter(client(2)).unwrap());
        drop(first);
        assert_eq!(places.shares.lock().total(), 0);
    }
}
