//! [`Addresses`]: the number of connections from each address.

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::address::network;
use crate::fair::FairShares;

/// The number of connections from each address, over all listeners of a service.
///
/// For IPv6, the network counts, its first 64 bits, because the owner of one of its addresses has all
/// of them.
#[derive(Default)]
pub(crate) struct Addresses {
    open: Mutex<FairShares<IpAddr>>,
}

/// A counted connection; dropping it ends the count.
pub(crate) struct AddressSlot {
    addresses: Arc<Addresses>,
    from: IpAddr,
}

impl Addresses {
    /// Counts a connection from `peer`, unless there are already `max` from its address.
    pub(crate) fn enter(self: &Arc<Self>, peer: IpAddr, max: usize) -> Option<AddressSlot> {
        let from = network(peer);
        let mut open = self.open.lock();
        if open.held(from) >= max as u64 {
            return None;
        }
        open.take(from, 1);
        Some(AddressSlot { addresses: Arc::clone(self), from })
    }
}

impl Drop for AddressSlot {
    fn drop(&mut self) {
        self.addresses.open.lock().give_back(self.from, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn z5_an_address_has_so_many_places_and_gives_them_back() {
        let addresses = Arc::new(Addresses::default());
        let first = addresses.enter(at("10.0.0.1"), 2).unwrap();
        let second = addresses.enter(at("::ffff:10.0.0.1"), 2).unwrap();
        assert!(addresses.enter(at("10.0.0.1"), 2).is_none());
        assert!(addresses.enter(at("10.0.0.2"), 2).is_some(), "another has its own");
        drop(first);
        drop(addresses.enter(at("10.0.0.1"), 2).unwrap());
        drop(second);
        assert_eq!(addresses.open.lock().total(), 0);
    }

    #[test]
    fn z5_all_addresses_of_one_network_are_one() {
        let addresses = Arc::new(Addresses::default());
        let _one = addresses.enter(at("2001:db8::1"), 1).unwrap();
        assert!(addresses.enter(at("2001:db8::2:0:0:1"), 1).is_none());
        assert!(addresses.enter(at("2001:db8:0:1::1"), 1).is_some());
    }
}
