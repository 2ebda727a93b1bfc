//! [`bring`]: the clients of a life, each over a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::told_answers::ToldAnswers;
use super::super::{WRITERS, jobs, load};
use super::attack::attack;
use super::owner::{KeyOwner, attend, own};
use super::wire::Network;
use crate::{Client, ClientConfig, Revision};

/// Maximum pause of a refused client before a retry, milliseconds.
const PAUSE_MS_MAX: u64 = 20;

/// Maximum number of jobs that a worker reserves before it leaves with the last of them.
const JOBS_MAX: usize = 40;

/// The knowledge of clients.
pub(super) struct ClientKnowledge {
    pub(super) told: Arc<Mutex<ToldAnswers>>,
    pub(super) owners: Vec<Arc<Mutex<KeyOwner>>>,
}

/// Starts the clients of a life that continues with the revision `next`.
pub(super) fn bring(
    network: &Network,
    known: ClientKnowledge,
    next: Revision,
    attackers: usize,
    seed: u64,
) {
    let mut chance = StdRng::seed_from_u64(seed);
    let ClientKnowledge { told, owners } = known;
    for owner in owners {
        let (owned, seed) = (owner.clone(), chance.random());
        again(network, "an owner", chance.random(), move |client| own(client, owned.clone(), seed));
        again(network, "a watcher of an owner", chance.random(), move |client| {
            attend(client, owner.clone(), next)
        });
    }
    for _ in 0..attackers {
        actix_rt::spawn(attack(network.clone(), chance.random()));
    }
    for number in 0..WRITERS {
        let told = told.clone();
        again(network, "a writer", chance.random(), move |client| {
            load::write(client, told.clone(), number)
        });
    }
    let leases = told.clone();
    again(network, "a holder of leases", chance.random(), move |client| {
        load::lease(client, leases.clone())
    });
    let watched = told.clone();
    again(network, "a watcher", chance.random(), move |client| {
        // Changes between the end of a watch and the next one are not shown.
        watched.lock().shown.clear();
        load::watch(client, watched.clone())
    });
    for jobs in [usize::MAX, chance.random_range(1..=JOBS_MAX)] {
        let told = told.clone();
        again(network, "a pusher", chance.random(), {
            let told = told.clone();
            move |client| jobs::push(client, told.clone())
        });
        again(network, "a worker", chance.random(), move |client| {
            let told = told.clone();
            async move { jobs::work(client, told, jobs, &mut Vec::new()).await }
        });
    }
}

/// Makes a client `act` repeatedly, with pauses in between.
fn again<F: Future<Output = ()> + 'static>(
    network: &Network,
    whose: &'static str,
    seed: u64,
    act: impl Fn(Client) -> F + 'static,
) {
    let network = network.clone();
    actix_rt::spawn(async move {
        let mut chance = StdRng::seed_from_u64(seed);
        loop {
            let config =
                ClientConfig { name: whose.to_owned(), ..ClientConfig::new("simulated:1") };
            if let Ok(client) = Client::over(network.opener(whose), config).await {
                act(client).await;
            }
            let pause = chance.random_range(1..=PAUSE_MS_MAX);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    });
}
