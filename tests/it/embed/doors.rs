//! An embedded Wakeful with a TCP port, and without one.

use futures_util::StreamExt;
use wakeful::{
    Client, ClientConfig, Config, ErrorCode, KeyRange, Operations, SetRequest, WaitOutcome,
    WaitRequest, Wakeful, WatchRequest,
};

use super::{events, held, start, within};

#[actix_rt::test]
async fn e1_those_inside_and_those_outside_see_each_other() {
    let wakeful = start();
    let addr = wakeful.listen("127.0.0.1:0").await.unwrap().to_string();
    let outside = within(Client::connect(&addr)).await.unwrap();
    let mut watch = within(wakeful.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
    let wait = outside.go_wait(WaitRequest::new(KeyRange::key("from inside")));
    let set = within(outside.set(SetRequest::new("from outside", "1"))).await.unwrap();
    assert_eq!(events(within(watch.next()).await.unwrap().unwrap())[0].revision(), set.revision);
    assert_eq!(within(wakeful.get("from outside")).await.unwrap().kv.unwrap().value, "1");
    within(wakeful.set(SetRequest::new("from inside", "2"))).await.unwrap();
    assert!(matches!(within(wait).await.unwrap(), WaitOutcome::Met { revision: 3, .. }));
    let owners = within(outside.watchers(0, 0)).await.unwrap().watchers;
    assert_eq!(owners.iter().map(|watcher| &*watcher.owner).collect::<Vec<_>>(), ["in process"]);
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn a_wakeful_may_have_several_doors_and_a_system_several_wakefuls() {
    let (one, other) = (start(), start());
    let mut clients = Vec::new();
    for _ in 0..2 {
        let addr = one.listen("127.0.0.1:0").await.unwrap().to_string();
        clients.push(within(Client::connect(addr)).await.unwrap());
    }
    within(clients[0].set(SetRequest::new("a", "1"))).await.unwrap();
    assert_eq!(within(clients[1].get("a")).await.unwrap().kv.unwrap().value, "1");
    assert_eq!(within(one.status()).await.unwrap().connections, 2);
    assert_eq!(within(other.get("a")).await.unwrap().kv, None);
    within(one.stop()).await;
    within(other.set(SetRequest::new("b", "1"))).await.unwrap();
    within(other.stop()).await;
}

#[actix_rt::test]
async fn t5_a_connection_that_closes_frees_what_it_held() {
    let wakeful = start();
    let addr = wakeful.listen("127.0.0.1:0").await.unwrap().to_string();
    let named = ClientConfig { name: "nosy".into(), ..ClientConfig::new(&addr) };
    let client = within(Client::connect_with(named)).await.unwrap();
    let waits: Vec<_> =
        (0..50).map(|_| client.go_wait(WaitRequest::new(KeyRange::all()))).collect();
    let watch = within(client.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
    assert_eq!(held(&wakeful).await, (50, 1, 1));
    let watchers = within(wakeful.watchers(0, 0)).await.unwrap().watchers;
    assert!(watchers.iter().all(|watcher| watcher.owner.contains("nosy")), "{watchers:?}");
    drop((waits, watch, client));
    while within(wakeful.status()).await.unwrap().connections > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(held(&wakeful).await, (0, 0, 0));
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn a_door_that_cannot_open_harms_nothing() {
    let wakeful = start();
    let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
    let taken = wakeful.listen(addr).await.unwrap_err();
    assert_eq!(taken.code, ErrorCode::Unavailable);
    within(wakeful.set(SetRequest::new("a", "1"))).await.unwrap();
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn a_configuration_that_contradicts_itself_is_refused() {
    let mut config = Config::new();
    config.rpc.frame_bytes_max = 1;
    let refusal = Wakeful::start(config).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::InvalidArgument);
    assert!(refusal.message.contains("rpc.frame_bytes_max"), "{refusal}");
}
