//! The facts about the node that a protocol may need for its greeting and its refusals. Everything
//! else goes through [`ask`](RequestDispatcher::ask).

use std::sync::Arc;

use super::{End, Fatal, RequestDispatcher};
use crate::config::RpcConfig;
use crate::error::Error;
use crate::model::{Revision, ServiceInfo};
use crate::operations::Operations;

impl RequestDispatcher {
    /// Returns the limits with which the connection was accepted.
    pub(crate) fn config(&self) -> &Arc<RpcConfig> {
        &self.rpc
    }

    /// Returns the name of the server, if set.
    pub(crate) fn server_name(&self) -> Option<&str> {
        self.wakeful.name()
    }

    /// Returns the id of the store.
    pub(crate) fn store_id(&self) -> u64 {
        self.wakeful.store_id()
    }

    /// Returns the revision of the store.
    ///
    /// # Errors
    /// The store is gone.
    pub(crate) async fn revision(&self) -> Result<Revision, End> {
        let status = self.wakeful.status().await;
        status.map(|it| it.revision).map_err(|error| End::Fatal(Fatal::Error(error)))
    }

    /// Returns true if a service offers a method of this name. Not to be revealed before a login.
    pub(crate) fn offers(&self, method: &str) -> bool {
        self.wakeful.methods().offers(method)
    }

    /// Returns all services, including those that the peer may not call.
    pub(crate) fn services(&self) -> Vec<ServiceInfo> {
        self.wakeful.methods().services()
    }

    /// Checks whether the peer may call a method, without calling it.
    ///
    /// # Errors
    /// `PermissionDenied` or `NotLoggedIn`.
    pub(crate) fn check_method(&self, method: &str) -> Result<(), Error> {
        self.authorization.check_method(method)
    }
}
