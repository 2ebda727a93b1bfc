//! Users of an embedded service.

use std::sync::Arc;

use parking_lot::Mutex;
use wakeful::auth::{Action, Auth, Credentials, Pattern};
use wakeful::{
    Client, ClientConfig, Config, Error, ErrorCode, MethodContext, Operations, Service, SetRequest,
    Wakeful,
};

use super::{PASSWORD, Users};
use crate::support::{until, within};

/// Locked by each test with threads that check passwords in this process, because they are counted.
pub(crate) static HASHES: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Returns the number of threads of this process that check passwords.
fn hashing() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.starts_with(b"wakeful-hash")).count()
}

#[actix_rt::test]
async fn a4_a_method_is_dropped_when_the_grant_to_call_it_ends() {
    let _hashes = HASHES.lock().await;
    let users = Users::new(&[(Action::Call, "Slow"), (Action::Call, "Other")]);
    users.set_password("app");
    let config = Config::new();
    let auth = Auth::open(users.path(), &config.auth).unwrap();
    let wakeful = Wakeful::start(config).unwrap();
    let seen: Arc<Mutex<Vec<MethodContext>>> = Arc::default();
    for name in ["Slow", "Other"] {
        let seen = Arc::clone(&seen);
        let never = move |(): (), cx: MethodContext| {
            seen.lock().push(cx);
            std::future::pending::<Result<(), Error>>()
        };
        wakeful.register(Service::new(name).method("Never", never)).unwrap();
    }
    wakeful.require_login(auth.clone()).await.unwrap();
    let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
    let mut config = ClientConfig::new(addr.to_string());
    config.credentials = Some(Credentials::password("app", PASSWORD));
    let client = within(Client::connect_with(config)).await.unwrap();
    let slow = client.go_invoke::<()>("Slow.Never", &());
    until("the first has begun", async || seen.lock().len() == 1).await;
    let other = client.go_invoke::<()>("Other.Never", &());
    until("both have begun", async || seen.lock().len() == 2).await;
    users.change(|book| {
        book.revoke("app", Action::Call, &Pattern::parse("Slow").unwrap()).unwrap();
    });
    auth.reload().unwrap();
    let denied = within(slow).await.unwrap_err();
    assert_eq!(denied.code, ErrorCode::PermissionDenied, "{denied}");
    let contexts = seen.lock().clone();
    within(contexts[0].cancelled()).await;
    assert!(!contexts[1].is_cancelled(), "it is granted still");
    drop(contexts);
    drop(other);
    within(client.close()).await;
    within(wakeful.stop()).await;
    until("the threads have ended", async || hashing() == 0).await;
}

#[actix_rt::test]
async fn e2_a_service_with_users_guards_its_doors_and_stops_without_a_rest() {
    let _hashes = HASHES.lock().await;
    let users = Users::new(&[(Action::Read, "*")]);
    users.set_password("app");
    let config = Config::new();
    let auth = Auth::open(users.path(), &config.auth).unwrap();
    let wakeful = Wakeful::start(config).unwrap();
    wakeful.require_login(auth.clone()).await.unwrap();
    let twice = wakeful.require_login(auth.clone()).await.unwrap_err();
    assert_eq!(twice.code, ErrorCode::InvalidArgument);
    let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
    let open = Wakeful::start(Config::new()).unwrap();
    open.listen("127.0.0.1:0").await.unwrap();
    let late = open.require_login(auth.clone()).await.unwrap_err();
    assert_eq!(late.code, ErrorCode::InvalidArgument, "a door is open");
    open.stop().await;
    // A thread sets its name after its start.
    until("the threads are there", async || hashing() == 2).await;
    let mut config = ClientConfig::new(addr.to_string());
    config.credentials = Some(Credentials::password("app", PASSWORD));
    let client = within(Client::connect_with(config)).await.unwrap();
    within(client.get("a")).await.unwrap();
    let denied = within(client.set(SetRequest::new("a", "1"))).await.unwrap_err();
    assert_eq!(denied.code, ErrorCode::PermissionDenied);
    // The process itself needs no login.
    wakeful.set(SetRequest::new("a", "1")).await.unwrap();
    // A reload does not wait for the next check of the file.
    users.change(|book| book.remove_user("app").unwrap());
    auth.reload().unwrap();
    let gone = within(client.get("a")).await.unwrap_err();
    assert!(
        matches!(gone.code, ErrorCode::LoginFailed | ErrorCode::Unavailable),
        "it was being asked, or not: {gone}"
    );
    client.close().await;
    wakeful.stop().await;
    until("the threads have ended", async || hashing() == 0).await;
}
