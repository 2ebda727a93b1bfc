//! Users of a service in one's own process.

use wakeful::auth::{Action, Auth, Credentials};
use wakeful::{Client, ClientConfig, Config, ErrorCode, Operations, SetRequest, Wakeful};

use super::{PASSWORD, Users};
use crate::support::{until, within};

/// How many threads of this process check passwords: no other test has them in it.
fn hashing() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.starts_with(b"wakeful-hash")).count()
}

#[actix_rt::test]
async fn e2_a_service_with_users_guards_its_doors_and_stops_without_a_rest() {
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
    // A thread names itself when it begins.
    until("the threads are there", async || hashing() == 2).await;
    let mut config = ClientConfig::new(addr.to_string());
    config.credentials = Some(Credentials::password("app", PASSWORD));
    let client = within(Client::connect_with(config)).await.unwrap();
    within(client.get("a")).await.unwrap();
    let denied = within(client.set(SetRequest::new("a", "1"))).await.unwrap_err();
    assert_eq!(denied.code, ErrorCode::PermissionDenied);
    // This process is not asked who it is.
    wakeful.set(SetRequest::new("a", "1")).await.unwrap();
    // A reload need not wait until it is looked at the file.
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
