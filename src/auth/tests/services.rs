//! The list of services, as users see it.

use super::super::{Action, Credentials, NewToken};
use super::logins::World;
use crate::{Client, ClientConfig, Config, Methods, Service, Wakeful};

#[actix_rt::test]
async fn a2_a_service_that_may_not_be_called_is_not_listed() {
    let world = World::new(|_| {});
    let tokens = [("app", NewToken::draw()), ("root", NewToken::draw())];
    world.update(|store| {
        store.add_role("root").unwrap();
        store.set_admin("root", true).unwrap();
        store.grant("app", Action::Call, "Mail*".parse().unwrap()).unwrap();
        for (name, token) in &tokens {
            store.add_user(name, None).unwrap();
            store.give_role(name, name).unwrap();
            store.add_token(name, "t", token).unwrap();
        }
    });
    world.auth.reload().unwrap();
    let wakeful = Wakeful::start(Config::new()).unwrap();
    for name in ["Mail", "Mailbox", "Payroll"] {
        wakeful.register(Service::new(name).method("Nothing", async |(): (), _| Ok(()))).unwrap();
    }
    wakeful.require_login(world.auth.clone()).await.unwrap();
    let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
    let listed = [&["Mail", "Mailbox"][..], &["Mail", "Mailbox", "Payroll"]];
    for ((user, token), expected) in tokens.iter().zip(listed) {
        let mut config = ClientConfig::new(addr.to_string());
        config.credentials = Some(Credentials::token(token.secret()));
        let client = Client::connect_with(config).await.unwrap();
        let services = client.services().await.unwrap();
        let mut names: Vec<&str> = services.iter().map(|it| it.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, expected, "{user}");
        client.close().await;
    }
    wakeful.stop().await;
}
