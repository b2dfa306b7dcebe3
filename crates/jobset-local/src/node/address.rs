//! Addresses for Pods.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Hands out addresses, one per Pod: of `127.0.0.0/8` where Pods are processes.
///
/// Every Linux machine answers on all of that network without configuration, so Pods can listen
/// on the same port at once as long as each binds its own address. The second octet differs
/// between clusters, so that two of them on one machine rarely meet.
#[derive(Debug)]
pub(crate) struct Addresses {
    first: u8,
    octet: u8,
    next: u32,
    free: BTreeSet<u32>,
}

impl Addresses {
    /// Addresses of `<first>.<octet>.0.0/16`, continuing in the next such network when it is full.
    pub(crate) fn new(first: u8, octet: u8) -> Self {
        Self {
            first,
            octet,
            next: 1,
            free: BTreeSet::new(),
        }
    }

    /// An address that no other Pod has. Released ones come back only when the network is full:
    /// a name that was cached must not lead to a stranger.
    pub(crate) fn take(&mut self) -> Ipv4Addr {
        let number = if self.next < 0xffff {
            self.next += 1;
            self.next - 1
        } else if let Some(number) = self.free.pop_first() {
            number
        } else {
            self.next += 1;
            self.next - 1
        };
        let [_, high, middle, low] = number.to_be_bytes();
        Ipv4Addr::new(self.first, self.octet.wrapping_add(high), middle, low)
    }

    /// Gives an address back.
    pub(crate) fn release(&mut self, address: Ipv4Addr) {
        let [_, high, middle, low] = address.octets();
        let high = high.wrapping_sub(self.octet);
        self.free.insert(u32::from_be_bytes([0, high, middle, low]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_distinct_and_come_back_late() {
        let mut addresses = Addresses::new(127, 40);
        let first = addresses.take();
        assert_eq!(first, Ipv4Addr::new(127, 40, 0, 1));
        addresses.release(first);
        assert_eq!(addresses.take(), Ipv4Addr::new(127, 40, 0, 2));
        let mut seen = BTreeSet::new();
        for _ in 2..0xffff - 1 {
            assert!(seen.insert(addresses.take()));
        }
        assert_eq!(addresses.take(), first);
        assert_eq!(addresses.take().octets()[1], 40);
        assert_eq!(addresses.take().octets(), [127, 41, 0, 0]);
    }
}
