//! What is not granted is indistinguishable from what does not exist: every request of the protocol, by
//! every role, is sent to two servers. On one, the things that it names exist; on the other, as many
//! others do. All numbers are equal, so that the bytes of the answers can be compared.

mod disk;
mod peer;
mod probes;
mod world;

use std::collections::BTreeSet;

use self::peer::Peer;
use self::probes::{NAMES_NOTHING, Probe, beside, probes};
use self::world::{Roles, World};
use crate::auth::Action;
use crate::rpc::proto::{name_of, request_names};

/// Sends a probe to both servers, with a request beside it; returns the frames of each.
async fn send(peers: &mut [Peer; 2], probe: &Probe) -> [Vec<String>; 2] {
    let mut answers = [Vec::new(), Vec::new()];
    for (peer, answers) in peers.iter_mut().zip(&mut answers) {
        *answers = peer.ask(&[probe.call.clone(), beside()]).await;
    }
    answers
}

async fn two(roles: &Roles) -> [World; 2] {
    [World::start(roles, true).await, World::start(roles, false).await]
}

#[test]
fn a2_every_request_of_the_protocol_is_in_the_table() {
    let probes = probes([0; 6], [0; 2]);
    let sent: BTreeSet<String> = probes.iter().map(|probe| name_of(&probe.call)).collect();
    let all: BTreeSet<String> = request_names().into_iter().collect();
    assert_eq!(sent, all, "give each request a probe");
}

#[actix_rt::test]
async fn a2_what_is_not_granted_is_answered_as_what_is_not_there() {
    let roles = Roles::new();
    let worlds = two(&roles).await;
    let [there, not_there] = &worlds;
    assert_eq!(there.jobs, not_there.jobs, "the numbers are alike");
    let before = there.look().await;
    let mut compared = 0;
    for role in &roles.all {
        let mut peers = [there.enter(role).await, not_there.enter(role).await];
        for probe in probes(there.jobs, there.leases) {
            if probe.is_told(&role.grants) {
                continue;
            }
            let [one, other] = send(&mut peers, &probe).await;
            assert_eq!(one, other, "to {}, of {:?}", role.name, probe.call);
            compared += 1;
        }
    }
    assert!(compared > roles.all.len() * request_names().len(), "only {compared} were compared");
    assert_eq!(there.look().await, before, "nothing was changed");
    for world in worlds {
        world.stop().await;
    }
}

/// The comparison can fail: an unrestricted user sees what exists.
#[actix_rt::test]
async fn a2_to_an_admin_what_is_there_is_not_as_what_is_not() {
    let roles = Roles::new();
    for name in request_names().iter().filter(|name| !NAMES_NOTHING.contains(&name.as_str())) {
        let worlds = two(&roles).await;
        let [there, not_there] = &worlds;
        let mut peers = [there.enter(&roles.root).await, not_there.enter(&roles.root).await];
        let mut differ = false;
        let probes = probes(there.jobs, there.leases);
        for probe in probes.into_iter().filter(|it| name_of(&it.call) == *name && !it.parks()) {
            let [one, other] = send(&mut peers, &probe).await;
            differ |= one != other;
        }
        assert!(differ, "{name} tells an admin nothing");
        // The connections would keep the server from stopping.
        drop(peers);
        for world in worlds {
            world.stop().await;
        }
    }
}

#[test]
fn a2_the_roles_of_the_table_grant_each_action_alone_and_on_what_is_asked_about() {
    let roles = Roles::new();
    for action in Action::ALL {
        let alone = |it: &world::Role| it.grants == [(action, false)];
        let both = |it: &world::Role| it.grants.contains(&(action, true));
        assert!(roles.all.iter().any(alone) && roles.all.iter().any(both), "{action}");
    }
}
