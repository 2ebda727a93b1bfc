//! [`LinkRegistry`]: the names of links. Pure.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorCode};
use crate::session::Identity;

/// The names of links.
///
/// A name belongs to the identity that uses it. A link of the same identity takes it over, so that
/// a server that comes back need not wait until its lost link is noticed. Any other is refused.
pub(super) struct LinkRegistry<L> {
    names: BTreeMap<String, NamedLink<L>>,
    next: u64,
}

struct NamedLink<L> {
    place: u64,
    identity: Option<Identity>,
    link: L,
}

/// A registered link.
pub(super) struct Registration<L> {
    /// The argument of [`LinkRegistry::leave`].
    pub(super) place: u64,
    /// The link that had the name before.
    pub(super) replaced: Option<L>,
}

impl<L> Default for LinkRegistry<L> {
    fn default() -> Self {
        Self { names: BTreeMap::new(), next: 1 }
    }
}

impl<L: Clone> LinkRegistry<L> {
    /// Registers `link` under `name`.
    ///
    /// # Errors
    ///
    /// `NameTaken` if another identity has the name. Nothing changes.
    pub(super) fn enter(
        &mut self,
        name: &str,
        identity: Option<Identity>,
        link: L,
    ) -> Result<Registration<L>, Error> {
        // Regardless of how it was proved.
        let who = |identity: &Option<Identity>| identity.as_ref().map(|it| it.name.clone());
        let owner = self.names.get(name).map(|entry| who(&entry.identity));
        if owner.is_some_and(|owner| owner != who(&identity)) {
            let message = format!(
                "the name {} is in use by a link of another identity; choose another",
                name.escape_debug()
            );
            return Err(Error::new(ErrorCode::NameTaken, message));
        }
        let place = self.next;
        self.next += 1;
        let entry = NamedLink { place, identity, link };
        let replaced = self.names.insert(name.to_owned(), entry).map(|before| before.link);
        Ok(Registration { place, replaced })
    }

    /// Frees the name, unless a newer link has it.
    pub(super) fn leave(&mut self, name: &str, place: u64) {
        if self.names.get(name).is_some_and(|entry| entry.place == place) {
            self.names.remove(name);
        }
    }

    /// Returns the link named `name`; without a name, the only one.
    ///
    /// # Errors
    ///
    /// `NoSuchServer`, with advice.
    pub(super) fn find(&self, name: &str) -> Result<L, Error> {
        let mut all = self.names.values();
        let found = match (name, all.next(), all.next()) {
            ("", Some(only), None) => Ok(only),
            ("", None, _) => {
                Err("no server is connected; start one with `wakeful serve --dial`".into())
            }
            ("", _, _) => Err(format!(
                "{} servers are connected; select one with --server, WAKEFUL_SERVER or \
                 ClientConfig::server",
                self.names.len()
            )),
            (name, _, _) => self.names.get(name).ok_or_else(|| {
                format!(
                    "no server {} is connected at present; try again, or start it with \
                     `wakeful serve --dial --dial-name`",
                    name.escape_debug()
                )
            }),
        };
        let found: Result<_, String> = found;
        match found {
            Ok(entry) => Ok(entry.link.clone()),
            Err(message) => Err(Error::new(ErrorCode::NoSuchServer, message)),
        }
    }

    /// Returns all names, in order.
    pub(super) fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    /// Returns all links, in order of name.
    pub(super) fn links(&self) -> Vec<L> {
        self.names.values().map(|entry| entry.link.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Via;

    fn who(name: &str) -> Option<Identity> {
        Some(Identity { name: name.to_owned(), via: Via::Token })
    }

    #[test]
    fn l4_the_same_identity_takes_its_name_over_and_another_is_refused() {
        let mut registry = LinkRegistry::default();
        let first = registry.enter("edge", who("alice"), 1).unwrap();
        assert_eq!(first.replaced, None);
        for other in [who("bob"), None] {
            let refusal = registry.enter("edge", other, 2).map(|_| ()).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::NameTaken);
            assert_eq!(registry.find("edge"), Ok(1), "nothing changed");
        }
        let second = registry.enter("edge", who("alice"), 3).unwrap();
        assert_eq!(second.replaced, Some(1));
        registry.leave("edge", first.place);
        assert_eq!(registry.find("edge"), Ok(3), "the end of the older one changes nothing");
        registry.leave("edge", second.place);
        assert_eq!(registry.find("edge").unwrap_err().code, ErrorCode::NoSuchServer);
        assert!(
            registry.enter("edge", who("bob"), 4).is_ok(),
            "a free name is available to anyone"
        );
    }

    #[test]
    fn l5_no_name_means_the_only_one() {
        let mut registry = LinkRegistry::default();
        assert_eq!(registry.find("").unwrap_err().code, ErrorCode::NoSuchServer);
        registry.enter("a", None, 1).unwrap();
        assert_eq!(registry.find(""), Ok(1));
        registry.enter("b", None, 2).unwrap();
        let refusal = registry.find("").unwrap_err();
        assert!(refusal.message.contains("2 servers") && refusal.message.contains("--server"));
        assert_eq!(registry.find("b"), Ok(2));
        assert_eq!(registry.names(), ["a", "b"]);
    }
}
