//! The connections of this node that speak the Centrifuge protocol, by their users.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use windlass_task::{Tenant, UnixMillis};

use crate::api::UserControl;
use crate::client::ClientId;
use crate::desk::Desk;

/// Who is connected to this node.
#[derive(Debug, Default)]
pub(crate) struct Clients(Mutex<HashMap<User, HashMap<ClientId, Weak<Desk>>>>);

/// A user of a tenant; the name is empty for those whom nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct User {
    pub(crate) tenant: Tenant,
    pub(crate) name: String,
}

impl Clients {
    /// Adds a connection of a user, if the user has not as many as may be. Of those whom nobody knows there may be any
    /// number: nobody can tell them apart.
    #[must_use]
    pub(crate) fn add(&self, user: &User, client: ClientId, desk: &Arc<Desk>, most: Option<usize>) -> bool {
        let mut users = self.lock();
        let has = users.get(user).map_or(0, HashMap::len);
        if !user.name.is_empty() && most.is_some_and(|most| has >= most) {
            return false;
        }
        users
            .entry(user.clone())
            .or_default()
            .insert(client, Arc::downgrade(desk));
        true
    }

    /// Takes it off the list.
    pub(crate) fn remove(&self, user: &User, client: ClientId) {
        let mut users = self.lock();
        if let Some(connections) = users.get_mut(user) {
            connections.remove(&client);
            if connections.is_empty() {
                users.remove(user);
            }
        }
    }

    /// The connections of one user of a tenant, or of all its users.
    pub(crate) fn of(&self, tenant: &Tenant, name: Option<&str>) -> Vec<Arc<Desk>> {
        let users = self.lock();
        let wanted = |user: &User| user.tenant == *tenant && name.is_none_or(|name| user.name == name);
        let connections = users.iter().filter(|(user, _)| wanted(user));
        connections
            .flat_map(|(_, connections)| connections.values())
            .filter_map(Weak::upgrade)
            .collect()
    }

    /// How many users of a tenant there are.
    pub(crate) fn users(&self, tenant: &Tenant) -> usize {
        self.lock().keys().filter(|user| user.tenant == *tenant).count()
    }

    /// How many users there are of all tenants.
    pub(crate) fn all_users(&self) -> usize {
        self.lock().len()
    }

    /// Does with the connections of a user what is asked.
    pub(crate) fn steer(&self, control: &UserControl) {
        let Some(order) = control.act.order(UnixMillis::now()) else {
            return;
        };
        for desk in self.of(&control.tenant, Some(&control.user)) {
            let client = desk.client().to_string();
            let meant = control.client.is_empty() || control.client == client;
            if meant && !control.except.contains(&client) {
                desk.order(order.clone());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<User, HashMap<ClientId, Weak<Desk>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
