//! [`World`]: a server with users, on which the probed things exist, or others.

use std::net::SocketAddr;
use std::time::Duration;

use super::peer::Peer;
use crate::auth::{Action, Auth, AuthFile, NewToken, Pattern, UserStore, hash_password};
use crate::config::{AuthConfig, Config};
use crate::error::Error;
use crate::handle::Wakeful;
use crate::jobs::Jobs;
use crate::methods::{MethodContext, Service};
use crate::model::{
    JobId, JobRef, KvRequest, LeaseGrantRequest, LeaseId, PushOptions, PushRequest, ReserveRequest,
    Schedule, SetRequest, Settlement, Verdict,
};
use crate::operations::Operations;

/// The states of a topic's jobs, in order of their ids; each state is also the index of its job.
pub(super) const STATES: [&str; 6] = ["runs", "dead", "done", "cancelled", "delayed", "waits"];

/// The lease whose id was chosen by the caller.
pub(super) const LEASE: LeaseId = 1_001;

/// The limits of the servers: anything beyond them still fits in the frame of an unauthenticated peer.
pub(super) fn config() -> Config {
    let mut config = Config::new();
    (config.store.value_bytes_max, config.store.key_bytes_max) = (64, 32);
    (config.queue.output_bytes_max, config.queue.progress_bytes_max) = (64, 64);
    config.queue.push_jobs_max = 4;
    // A turn that ends between two requests would change the order of their answers.
    config.rpc.turn_max = Duration::from_secs(3_600);
    config.rpc.shutdown_grace = Duration::from_millis(1);
    config
}

/// The sender of requests.
pub(super) struct Role {
    pub(super) name: String,
    /// Each action, and whether it is granted on the probed names or on the role's own.
    pub(super) grants: Vec<(Action, bool)>,
    admin: bool,
    token: Option<NewToken>,
}

pub(super) struct Roles {
    /// All roles; none of them grants everything.
    pub(super) all: Vec<Role>,
    pub(super) root: Role,
}

/// A server. The probed things have names that contain `taken`.
pub(super) struct World {
    wakeful: Wakeful,
    addr: SocketAddr,
    /// The jobs of the probed topic, or the ids that they would have.
    pub(super) jobs: [JobId; 6],
    /// A granted lease and a private one.
    pub(super) leases: [LeaseId; 2],
    _dir: tempfile::TempDir,
}

impl Role {
    fn new(name: &str, grants: Vec<(Action, bool)>) -> Self {
        Self { name: name.to_owned(), grants, admin: false, token: Some(NewToken::draw()) }
    }

    fn enter_in(&self, store: &mut UserStore) {
        let Some(token) = &self.token else { return };
        store.add_role(&self.name).unwrap();
        store.set_admin(&self.name, self.admin).unwrap();
        for (action, asked_about) in &self.grants {
            let name = if *asked_about { "taken" } else { "mine" };
            for pattern in [name.to_owned(), format!("{name}/*")] {
                store.grant(&self.name, *action, Pattern::parse(&pattern).unwrap()).unwrap();
            }
        }
        store.add_user(&self.name, None).unwrap();
        store.give_role(&self.name, &self.name).unwrap();
        store.add_token(&self.name, "", token).unwrap();
    }
}

impl Roles {
    /// Makes the roles: none; no grants; each action alone, and all of them, on its own names; the same
    /// with each action on the probed names.
    pub(super) fn new() -> Self {
        let own = Action::ALL.map(|action| (action, false));
        let stranger = Role { token: None, ..Role::new("stranger", Vec::new()) };
        let mut all = vec![stranger, Role::new("nobody", Vec::new()), Role::new("own", own.into())];
        for action in Action::ALL {
            all.push(Role::new(&format!("own-{action}"), vec![(action, false)]));
            let mut grants = own.to_vec();
            grants.push((action, true));
            all.push(Role::new(&format!("taken-{action}"), grants));
        }
        Self { all, root: Role { admin: true, ..Role::new("root", Vec::new()) } }
    }
}

impl World {
    /// Starts a server on which the probed things exist, or others in their place.
    pub(super) async fn start(roles: &Roles, there: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = AuthFile::new(dir.path().join("users.toml"));
        let filled = file.update(&AuthConfig::new(), |store| {
            roles.all.iter().chain([&roles.root]).for_each(|role| role.enter_in(store));
            let cheap =
                AuthConfig { hash_memory_bytes: 64 * 1024, hash_passes: 1, ..AuthConfig::new() };
            let hash = hash_password("a long password", &cheap).unwrap();
            store.add_user(if there { "taken" } else { "other" }, Some(&hash)).unwrap();
            Ok(())
        });
        filled.unwrap();
        let config = config();
        let auth = Auth::open(file.path(), &config.auth).unwrap();
        let wakeful = Wakeful::start(config).unwrap();
        wakeful.require_login(auth).await.unwrap();
        for name in ["mine", if there { "taken" } else { "other" }] {
            let method = |(): (), _: MethodContext| async { Ok::<(), Error>(()) };
            wakeful.register(Service::new(name).method("Do", method)).unwrap();
        }
        let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
        let mut world = Self { wakeful, addr, jobs: [0; 6], leases: [LEASE, 0], _dir: dir };
        world.fill(there).await;
        world
    }

    async fn fill(&mut self, there: bool) {
        self.push("mine", PushOptions::default()).await;
        // As many jobs that are no longer known come after them, or before.
        let name = if there { "taken" } else { "other" };
        if there {
            self.jobs = self.push_all(name).await;
            self.push_and_clear().await;
        } else {
            self.jobs = self.push_and_clear().await;
            self.push_all(name).await;
        }
        let schedule = Schedule {
            name: name.into(),
            cron: "0 0 1 1 *".to_owned(),
            timezone: "UTC".to_owned(),
            push: PushRequest::new(name, "p"),
        };
        self.wakeful.set_schedule(schedule).await.unwrap();
        self.wakeful.set(SetRequest::new("mine/k", "v")).await.unwrap();
        let id = if there { LEASE } else { LEASE + 1 };
        let ttl = Duration::from_secs(3_600);
        self.wakeful.call(KvRequest::LeaseGrant(LeaseGrantRequest { id, ttl })).await.unwrap();
        let leased = SetRequest { lease: id, ..SetRequest::new(format!("{name}/leased"), "v") };
        self.wakeful.set(leased).await.unwrap();
        let private = SetRequest { ttl: Some(ttl), ..SetRequest::new(format!("{name}/ttl"), "v") };
        let private = self.wakeful.set(private).await.unwrap();
        self.wakeful.set(SetRequest::new(format!("{name}/k"), "v")).await.unwrap();
        // No other lease is likely to have this id, drawn at random from 53 bits.
        self.leases = [LEASE, if there { private.lease } else { 1 << 54 }];
    }

    async fn push(&self, topic: &str, options: PushOptions) -> JobId {
        self.wakeful.push(topic, "p", options).await.unwrap().id
    }

    async fn push_and_clear(&self) -> [JobId; 6] {
        let mut ids = [0; 6];
        for id in &mut ids {
            *id = self.push("void", PushOptions::default()).await;
        }
        self.wakeful.clear_topic("void").await.unwrap();
        ids
    }

    /// Pushes a job for each of [`STATES`], and brings it into that state.
    async fn push_all(&self, topic: &str) -> [JobId; 6] {
        let mut ids = [0; 6];
        for (id, state) in ids.iter_mut().zip(STATES) {
            let delay = Duration::from_secs(if state == "delayed" { 3_600 } else { 0 });
            let index = Some(state.into());
            *id = self.push(topic, PushOptions { delay, index, ..PushOptions::default() }).await;
            let verdict = match state {
                "runs" => None,
                "dead" => Some(Verdict::Fail { error: "why".to_owned() }),
                "done" => Some(Verdict::Done { output: "o".into() }),
                "cancelled" => {
                    self.wakeful.cancel_job(JobRef::Id(*id)).await.unwrap();
                    continue;
                }
                _ => continue,
            };
            // Longer than any test takes.
            let visibility = Some(Duration::from_secs(3_600));
            let reserve = ReserveRequest { visibility, ..ReserveRequest::new(topic) };
            let reserved = self.wakeful.reserve(reserve).await.unwrap();
            let reservation = reserved.first().unwrap().reservation;
            assert_eq!((reservation.id, reservation.epoch), (*id, 1));
            if let Some(verdict) = verdict {
                let settlement = Settlement { reservation, verdict };
                assert_eq!(self.wakeful.settle(vec![settlement]).await.unwrap(), [None]);
            }
        }
        ids
    }

    /// Connects as a role.
    pub(super) async fn enter(&self, role: &Role) -> Peer {
        Peer::connect(self.addr, role.token.as_ref().map(NewToken::secret)).await
    }

    /// Returns the state of the probed things.
    pub(super) async fn look(&self) -> String {
        let mut seen = String::new();
        for id in self.jobs {
            seen += &format!("{:?}\n", self.wakeful.get_job(JobRef::Id(id)).await);
        }
        let revision = self.wakeful.status().await.unwrap().revision;
        let ttl = self.wakeful.lease_time_to_live(LEASE).await.map(|lease| lease.keys);
        let schedules = self.wakeful.schedules().await;
        seen + &format!("{revision} {ttl:?} {schedules:?}")
    }

    pub(super) async fn stop(self) {
        self.wakeful.stop().await;
    }
}
