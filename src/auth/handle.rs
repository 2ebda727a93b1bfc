//! [`Auth`]: the users who may log in, from the present user file.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::environment::RandomState;
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use super::change::changes;
use super::file::{FileReading, FileStamp};
use super::login_limiter::LoginLimiter;
use super::password::PasswordHash;
use super::pool::{Pool, Refused};
use super::user_store::is_name;
use super::users::{Account, ProvedToken, Users};
use super::{Access, AuthFile, Credentials, LoginOrigin, UserStore};
use crate::config::{AuthConfig, Config};
use crate::error::{Details, Error, ErrorCode};
use crate::fair::Excess;
use crate::fair_places::FairPlaces;
use crate::session::{Identity, Peer, Via};
pub(crate) use crate::stranger_lines::AUDIT;
use crate::stranger_lines::{LineKind, StrangerLines, log_stranger};

/// The users and grants of the present user file. Cheap to clone.
///
/// Passed to [`Wakeful::require_login`](crate::Wakeful::require_login), it guards every listener,
/// and ends with that service.
///
/// ```no_run
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), wakeful::Error> {
/// use wakeful::auth::Auth;
/// use wakeful::{Config, Wakeful};
///
/// let config = Config::new();
/// let auth = Auth::open("users.toml", &config.auth)?;
/// let wakeful = Wakeful::start(config)?;
/// wakeful.require_login(auth).await?;
/// wakeful.listen("0.0.0.0:7117").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Auth {
    inner: Arc<AuthShared>,
}

struct AuthShared {
    file: AuthFile,
    config: AuthConfig,
    started: Instant,
    decoy: PasswordHash,
    known: RwLock<KnownUsers>,
    /// Held while the file is read and applied, so that no earlier content is applied over later
    /// one.
    seen: Mutex<LastReading>,
    /// Incremented with each change of users or grants.
    generation: AtomicU64,
    login_limiter: Mutex<LoginLimiter>,
    /// Hashes the names of origins.
    hasher: RandomState,
    pool: Pool,
    /// Passwords that wait to be checked, by origin.
    waiting: FairPlaces<Option<LoginOrigin>>,
    /// Bounds the log lines of failed logins; those of the service or relay that asks.
    lines: OnceLock<StrangerLines>,
    /// Callbacks for changes, by connection.
    listeners: Mutex<HashMap<u64, Box<dyn Fn() + Send + Sync>>>,
}

struct KnownUsers {
    store: UserStore,
    users: Arc<Users>,
}

/// The last reading of the file, successful or not.
struct LastReading {
    stamp: Option<FileStamp>,
    /// True if the stamp distinguishes the file from later versions; otherwise the file is read
    /// again in any case.
    settled: bool,
    /// The reason why the file could not be used.
    refusal: Option<Error>,
}

/// The proof of a login, to check whether it is still valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    Password(ProvedPassword),
    Token(ProvedToken),
    Certificate,
}

/// The hash that a password was checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProvedPassword(PasswordHash);

/// A login attempt: claimed user and origin.
#[derive(Debug, Clone)]
struct Claim {
    /// The origin whose failures count; `None` in this process.
    origin: Option<LoginOrigin>,
    /// The claimed user, in a form safe to log.
    user: String,
    peer: Peer,
}

/// A successful login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) identity: Identity,
    pub(crate) proof: Proof,
}

impl Login {
    fn new(account: &Account, via: Via, proof: Proof) -> Self {
        Self { identity: Identity { name: account.name.clone(), via }, proof }
    }
}

impl Auth {
    /// Reads the user file, and starts the threads that check passwords.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` if the file is missing, readable by everybody or malformed, or if the
    /// configuration contradicts itself; `Unavailable` if threads cannot be started.
    pub fn open(path: impl Into<PathBuf>, config: &AuthConfig) -> Result<Self, Error> {
        config.check()?;
        let file = AuthFile::new(path);
        let FileReading { stamp, settled, store } = file.read_stamped(config);
        let store = store?;
        let decoy = PasswordHash::decoy(config)
            .ok_or_else(|| Error::new(ErrorCode::Internal, "cannot hash passwords"))?;
        let users = Arc::new(Users::new(&store, &decoy));
        let pool = Pool::start(config.hash_threads, config.hash_queue_max).map_err(|error| {
            Error::new(
                ErrorCode::Unavailable,
                format!("cannot start the threads that check passwords: {error}"),
            )
        })?;
        let login_limiter = LoginLimiter::new(
            config.login_failures_max,
            config.login_failure_interval,
            config.login_addresses_max,
        );
        let inner = AuthShared {
            file,
            config: config.clone(),
            started: Instant::now(),
            decoy,
            known: RwLock::new(KnownUsers { store, users }),
            seen: Mutex::new(LastReading { stamp, settled, refusal: None }),
            generation: AtomicU64::new(0),
            login_limiter: Mutex::new(login_limiter),
            hasher: RandomState::new(),
            pool,
            waiting: FairPlaces::new(config.hash_queue_max),
            lines: OnceLock::new(),
            listeners: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Reads the file again. Connections of removed users, and requests no longer granted, end at
    /// once. Returns true if anything changed.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) about the file; nothing changes.
    pub fn reload(&self) -> Result<bool, Error> {
        self.inner.read_again(&mut self.inner.seen.lock())
    }

    /// Reads the file again if it seems to have changed, or changed too recently to tell.
    ///
    /// # Errors
    ///
    /// Those of [`reload`](Self::reload); the same error is not returned again until the file
    /// changes.
    pub fn reload_if_changed(&self) -> Result<bool, Error> {
        let mut seen = self.inner.seen.lock();
        if seen.settled && seen.stamp == self.inner.file.stamp() {
            return Ok(false);
        }
        let said = (seen.stamp.take(), seen.refusal.take());
        match self.inner.read_again(&mut seen) {
            Err(_) if (&seen.stamp, &seen.refusal) == (&said.0, &said.1) => Ok(false),
            read => read,
        }
    }

    /// Checks periodically whether the file has changed.
    pub(crate) async fn keep_reloading(&self) {
        loop {
            tokio::time::sleep(self.inner.config.reload_interval).await;
            let looking = self.clone();
            match tokio::task::spawn_blocking(move || looking.reload_if_changed()).await {
                Ok(Ok(true)) => tracing::info!("the user file changed and was reloaded"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    tracing::error!(%error, "the user file is invalid; the users are unchanged");
                }
                Err(error) => tracing::error!(%error, "cannot examine the user file"),
            }
        }
    }

    /// Ends the threads that check passwords; blocks until they have ended. Later logins with a
    /// password are refused.
    pub(crate) fn close(&self) {
        self.inner.pool.close();
    }

    /// Sets the bound of log lines of failed logins, unless one is set.
    pub(crate) fn bound_lines(&self, lines: StrangerLines) {
        let _ = self.inner.lines.set(lines);
    }

    /// Returns the maximum time from a connection to its login.
    pub(crate) fn login_timeout(&self) -> Duration {
        self.inner.config.login_timeout
    }

    /// Returns a number that grows with every change of users or grants.
    pub(crate) fn generation(&self) -> u64 {
        self.inner.generation.load(Ordering::Acquire)
    }

    /// Calls `tell` at every change, until [`leave`](Self::leave).
    pub(crate) fn listen(&self, connection: u64, tell: impl Fn() + Send + Sync + 'static) {
        self.inner.listeners.lock().insert(connection, Box::new(tell));
    }

    pub(crate) fn leave(&self, connection: u64) {
        self.inner.listeners.lock().remove(&connection);
    }

    /// Returns the present grants of a login; `None` if it is no longer valid.
    pub(crate) fn access(&self, login: &Login) -> Option<Arc<Access>> {
        let users = Arc::clone(&self.inner.known.read().users);
        let name = &login.identity.name;
        let account = users.account(name)?;
        let valid = match &login.proof {
            Proof::Password(ProvedPassword(hash)) => account.password.as_ref() == Some(hash),
            Proof::Token(token) => users.has_token(token, name),
            Proof::Certificate => true,
        };
        valid.then(|| Arc::clone(&account.access))
    }

    /// Logs in a peer that has shown a certificate in the name of a user; `None` if the user does
    /// not exist.
    pub(crate) fn enter_by_certificate(
        &self,
        peer: &Peer,
        identity: Identity,
    ) -> Option<(Login, Arc<Access>)> {
        let login = Login { identity, proof: Proof::Certificate };
        let access = self.access(&login)?;
        let Identity { name, via } = &login.identity;
        tracing::info!(target: AUDIT, act = "login", user = name, ?via, %peer);
        Some((login, access))
    }

    /// Checks credentials. Neither the answer nor its timing reveals whether the user exists.
    ///
    /// # Errors
    ///
    /// `LoginFailed`; `LimitExceeded` if too many logins from the address, or of the user behind a
    /// link, have failed, or too many passwords wait to be checked.
    pub(crate) async fn login(
        &self,
        peer: &Peer,
        credentials: Credentials,
    ) -> Result<Login, Error> {
        let (login, claim) = match credentials {
            Credentials::Token(token) => {
                let claim = self.inner.claim(peer, None);
                (self.check_token(&claim, &token), claim)
            }
            Credentials::Password { user, password } => {
                let claim = self.inner.claim(peer, Some(&user));
                (self.check_password(&claim, user, password).await, claim)
            }
        };
        match &login {
            Ok(login) => {
                let Identity { name, via } = &login.identity;
                tracing::info!(target: AUDIT, act = "login", user = name, ?via, %peer);
            }
            Err(error) if error.code == ErrorCode::LoginFailed => {
                let lines = self.inner.lines();
                let user = &*claim.user;
                log_stranger!(lines, LineKind::LoginFailed, target: AUDIT, WARN, act = "login failed", user, %peer);
            }
            Err(error) => {
                let lines = self.inner.lines();
                log_stranger!(lines, LineKind::LoginRefused, DEBUG, %peer, %error, "login refused");
            }
        }
        login
    }

    /// Checks a token. That is cheap, and tokens cannot be guessed, so only failures count.
    fn check_token(&self, claim: &Claim, token: &str) -> Result<Login, Error> {
        let users = Arc::clone(&self.inner.known.read().users);
        if let Some((proved, account)) = users.of_token(token) {
            return Ok(Login::new(account, Via::Token, Proof::Token(proved)));
        }
        self.inner.check_throttle(claim)?;
        self.inner.fail(claim);
        Err(failed())
    }

    async fn check_password(
        &self,
        claim: &Claim,
        user: String,
        password: String,
    ) -> Result<Login, Error> {
        self.inner.check_throttle(claim)?;
        let place = self.inner.waiting.enter(claim.origin);
        let place = place.map_err(|excess| self.inner.too_many_wait(excess))?;
        let (answer, answered) = oneshot::channel();
        let (inner, claim) = (Arc::clone(&self.inner), claim.clone());
        let check = move || {
            drop(place);
            // A client that has gone needs no check.
            if !answer.is_closed() {
                let _ = answer.send(inner.check_password(&claim, &user, &password));
            }
        };
        match self.inner.pool.run(check) {
            Ok(()) => {}
            Err(Refused::Full) => return Err(self.inner.too_many_wait(Excess::Full)),
            Err(Refused::Closed) => {
                return Err(Error::new(ErrorCode::Unavailable, "the service has stopped"));
            }
        }
        let gone = |_| Error::new(ErrorCode::Internal, "cannot check the password");
        answered.await.unwrap_or_else(|error| Err(gone(error)))
    }
}

impl AuthShared {
    /// Reads the file and applies its content.
    fn read_again(&self, seen: &mut LastReading) -> Result<bool, Error> {
        let FileReading { stamp, settled, store } = self.file.read_stamped(&self.config);
        *seen = LastReading { stamp, settled, refusal: store.as_ref().err().cloned() };
        let store = store?;
        let users = Arc::new(Users::new(&store, &self.decoy));
        {
            let mut known = self.known.write();
            if known.store == store {
                return Ok(false);
            }
            for change in changes(&known.store, &store) {
                let from = self.file.path().display();
                tracing::info!(target: AUDIT, act = change.act, about = change.name, %from);
            }
            *known = KnownUsers { store, users };
            self.generation.fetch_add(1, Ordering::Release);
        }
        self.listeners.lock().values().for_each(|tell| tell());
        Ok(true)
    }

    fn lines(&self) -> &StrangerLines {
        self.lines.get_or_init(|| StrangerLines::new(&Config::new().rpc))
    }

    /// Returns the claim of a login attempt.
    fn claim(&self, peer: &Peer, user: Option<&str>) -> Claim {
        let named = |user: &&str| is_name(user) && user.len() <= self.config.name_bytes_max;
        Claim {
            origin: LoginOrigin::new(peer, user, &self.hasher),
            // An invalid name may be a password typed by mistake.
            user: user.filter(named).unwrap_or("?").to_owned(),
            peer: peer.clone(),
        }
    }

    /// Checks a password on a thread of the pool. Checks the origin again, because other logins may
    /// have failed since: so the number of checks exceeds the allowed failures by at most one per
    /// thread.
    fn check_password(&self, claim: &Claim, user: &str, password: &str) -> Result<Login, Error> {
        self.check_throttle(claim)?;
        let users = Arc::clone(&self.known.read().users);
        let (hash, own) = users.password_of(user);
        let same = hash.is_some_and(|hash| hash.is_of(password));
        match (users.account(user), hash) {
            (Some(account), Some(hash)) if own && same => {
                let proof = Proof::Password(ProvedPassword(hash.clone()));
                Ok(Login::new(account, Via::Password, proof))
            }
            _ => {
                self.fail(claim);
                Err(failed())
            }
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn check_throttle(&self, claim: &Claim) -> Result<(), Error> {
        let Some(origin) = claim.origin else { return Ok(()) };
        match self.login_limiter.lock().blocked(self.now(), origin) {
            None => Ok(()),
            Some(wait) => {
                let whose = match origin {
                    LoginOrigin::Addr(_) => "from this address",
                    LoginOrigin::Link(_) => "as this user over this link",
                };
                let wait = wait.as_secs() + 1;
                let what = format!("too many logins {whose} have failed; try again in {wait} s");
                let max = u64::from(self.config.login_failures_max);
                Err(self.limit("auth.login_failures_max", max, &what))
            }
        }
    }

    /// Records a failed login. Each of these lines stands for one check: refused logins add none.
    fn fail(&self, claim: &Claim) {
        let Claim { origin: Some(origin), user, peer } = claim else { return };
        if !self.login_limiter.lock().fail(self.now(), *origin) {
            return;
        }
        let user = matches!(origin, LoginOrigin::Link(_)).then_some(&**user);
        let (lines, act) = (self.lines(), "logins slowed");
        log_stranger!(lines, LineKind::LoginsSlowed, target: AUDIT, WARN, act, user, %peer);
    }

    fn too_many_wait(&self, excess: Excess) -> Error {
        let what = match excess {
            Excess::Full => "too many passwords wait to be checked; try again later",
            Excess::Share => {
                "as many passwords from there wait to be checked as may still come from all others; try \
                 again later"
            }
        };
        self.limit("auth.hash_queue_max", self.config.hash_queue_max as u64, what)
    }

    fn limit(&self, name: &str, value: u64, what: &str) -> Error {
        let message = format!("{what}: the limit {name} is {value}; nothing was changed");
        Error::new(ErrorCode::LimitExceeded, message)
            .with_details(Details::Limit { name: name.to_owned(), value })
    }
}

/// Returns the same error for every cause.
fn failed() -> Error {
    let message = "login failed: unknown user or token, or wrong password";
    Error::new(ErrorCode::LoginFailed, message)
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("file", &self.inner.file).finish_non_exhaustive()
    }
}
